#include "backend/cpu/phase.h"

#include "base/clock.h"

/* ---- recording ------------------------------------------------------------------------------ */

struct phase *phase_add(struct cpu_backend *b, phase_fn *run, const char *name)
{
    struct phase *p = &b->phase[b->n_phases];
    *p = (struct phase){ .run = run, .name = name, .n_parts = b->params.n_threads };
    atomic_store_explicit(&b->n_taken[b->n_phases++], 0, memory_order_relaxed);
    return p;
}

void phase_set_cost(struct cpu_backend *b, struct phase *p, double ns)
{
    const uint32_t n_threads = b->params.n_threads;
    const double parts_a_thread = ns / n_threads / PART_NS;
    if (n_threads == 1 || b->batch.n_cols < MANY_COLS || parts_a_thread < 2) return;
    p->n_parts = n_threads * (parts_a_thread < MAX_PARTS_A_THREAD ? (uint32_t)parts_a_thread
                                                                   : MAX_PARTS_A_THREAD);
}

/* ---- running -------------------------------------------------------------------------------- */

/* This thread's parts of a phase: the one that is its own, or as many as it comes to. What a part
 * reads was written before the last barrier, so taking one orders nothing. */
static void run_parts(struct cpu_backend *b, uint32_t phase, uint32_t id)
{
    const struct phase *p = &b->phase[phase];
    if (p->n_parts == b->params.n_threads) {
        p->run(b, p, (struct part){ id, p->n_parts, id });
        return;
    }
    for (;;) {
        const unsigned next =
            atomic_fetch_add_explicit(&b->n_taken[phase], 1, memory_order_relaxed);
        if (next >= p->n_parts) return;
        p->run(b, p, (struct part){ next, p->n_parts, id });
    }
}

static void run_phases(void *arg, uint32_t id, uint32_t n_threads)
{
    struct cpu_backend *b = arg;
    (void)n_threads;
    uint64_t start_ns = id == 0 && b->timings.is_on ? clock_ns() : 0;
    for (uint32_t i = 0; i < b->n_phases; i++) {
        run_parts(b, i, id);
        thread_pool_barrier(b->pool, id);
        if (id == 0 && b->timings.is_on) {
            const uint64_t now_ns = clock_ns();
            op_timings_add(&b->timings, b->phase[i].name, now_ns - start_ns);
            start_ns = now_ns;
        }
    }
}

pl_status cpu_submit(struct backend *base, pl_err *err)
{
    struct cpu_backend *b = (struct cpu_backend *)base;
    (void)err;
    thread_pool_run(b->pool, run_phases, b);
    return PL_OK;
}

void cpu_timing(struct backend *base, bool on)
{
    op_timings_set(&((struct cpu_backend *)base)->timings, on);
}

uint32_t cpu_timings(struct backend *base, const char **name, uint64_t *ns, uint32_t max)
{
    return op_timings_take(&((struct cpu_backend *)base)->timings, name, ns, max);
}
