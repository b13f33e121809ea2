/* Waiting on a condition for a bounded time on the monotonic clock. */
#ifndef BASE_COND_H
#define BASE_COND_H

#include <pthread.h>
#include <stdint.h>

#include "base/clock.h"

/* 0, or an error number. */
static inline int cond_init(pthread_cond_t *c)
{
#ifdef __APPLE__
    return pthread_cond_init(c, NULL);
#else
    pthread_condattr_t attr;
    int failed = pthread_condattr_init(&attr);
    if (failed) return failed;
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    failed = pthread_cond_init(c, &attr);
    pthread_condattr_destroy(&attr);
    return failed;
#endif
}

/* Waits until signalled or until clock_ns() is deadline_ns; may wake for no reason. */
static inline void cond_wait_until(pthread_cond_t *c, pthread_mutex_t *m, uint64_t deadline_ns)
{
#ifdef __APPLE__
    const uint64_t now = clock_ns(), left = deadline_ns > now ? deadline_ns - now : 0;
    const struct timespec t = { (time_t)(left / 1000000000u), (long)(left % 1000000000u) };
    pthread_cond_timedwait_relative_np(c, m, &t);
#else
    const struct timespec t = { (time_t)(deadline_ns / 1000000000u),
                                (long)(deadline_ns % 1000000000u) };
    pthread_cond_timedwait(c, m, &t);
#endif
}

#endif
