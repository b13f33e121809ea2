/* An operation runs at once when it is recorded: its items are split evenly over the threads. */
#include "backend/exact/exact_internal.h"
#include "base/clock.h"

struct run {
    struct exact_backend *b;
    uint32_t n_items;
    exact_item_fn *fn;
    const void *arg;
};

static void run_share(void *arg, uint32_t id, uint32_t n_threads)
{
    const struct run *r = arg;
    const uint32_t first = (uint32_t)((uint64_t)r->n_items * id / n_threads);
    const uint32_t last = (uint32_t)((uint64_t)r->n_items * (id + 1) / n_threads);
    for (uint32_t i = first; i < last; i++) r->fn(r->b, r->arg, i);
}

void exact_run(struct exact_backend *b, const char *name, uint32_t n_items, exact_item_fn *fn,
               const void *arg)
{
    struct run r = { b, n_items, fn, arg };
    const uint64_t start_ns = b->timings.is_on ? clock_ns() : 0;
    thread_pool_run(b->pool, run_share, &r);
    if (b->timings.is_on) op_timings_add(&b->timings, name, clock_ns() - start_ns);
}
