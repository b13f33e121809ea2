/* A thread that does jobs in the order they come, off those who may not wait for them.
 *
 * Threads: worker_add from any; open and close by the owner. A job is its owner's memory: it must
 * live until it has run, and may be added again or freed from then on, by its `run` too. */
#ifndef BASE_WORKER_H
#define BASE_WORKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

struct worker_job {
    void (*run)(struct worker_job *job);
    struct worker_job *next;    /* the worker's */
};

struct worker {
    pthread_t thread;
    pthread_mutex_t lock;       /* guards what follows */
    pthread_cond_t changed;
    struct worker_job *first, *last;
    bool is_open, is_closing;
};

pl_status worker_open(struct worker *w, size_t stack_bytes, pl_err *err);
void worker_add(struct worker *w, struct worker_job *job);

/* What waits is done first. A zeroed worker may be closed. */
void worker_close(struct worker *w);

#endif
