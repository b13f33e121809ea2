/* A fixed team of computing threads with a spin barrier.
 *
 * The caller of thread_pool_run is member 0 and works too. Between runs the others spin for a
 * moment and then park: an idle pool uses no processor time. Where the OS allows, members are
 * pinned to a core each, if there is one for every core that the process may use: a smaller team
 * would meet other processes on the cores it chose. The caller is pinned only if it asks to be.
 * One thread at a time may run a pool.
 *
 * On an oversubscribed machine a spinning member yields after a bounded number of rounds. */
#ifndef BASE_THREAD_POOL_H
#define BASE_THREAD_POOL_H

#include <stdint.h>

#include "base/status.h"

struct thread_pool;

typedef void thread_pool_fn(void *arg, uint32_t id, uint32_t n_threads);

pl_status thread_pool_open(struct thread_pool **out, uint32_t n_threads, pl_err *err);
void thread_pool_close(struct thread_pool *pool);

uint32_t thread_pool_n(const struct thread_pool *pool);

/* Gives the calling thread, which will run the pool from now on and do little else, the core of
 * member 0. Threads it starts later inherit that. */
void thread_pool_pin_caller(const struct thread_pool *pool);

/* Gives it back all cores that the opening thread might use. */
void thread_pool_unpin_caller(const struct thread_pool *pool);

/* fn runs once on every member; returns when all are done. What one member wrote is seen by the
 * caller afterwards. */
void thread_pool_run(struct thread_pool *pool, thread_pool_fn *fn, void *arg);

/* Inside fn, called by every member: none goes on before all arrived. */
void thread_pool_barrier(struct thread_pool *pool, uint32_t id);

#endif
