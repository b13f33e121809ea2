#include "backend/cpu/phase.h"

#include "base/clock.h"

/* ---- recording ------------------------------------------------------------------------------ */

struct phase *phase_add(struct cpu_backend *b, phase_fn *run, const char *name)
{
    struct phase *p = &b->phase[b->n_phases++];
    *p = (struct phase){ .run = run, .name = name, .parts_a_thread = 1 };
    return p;
}

void phase_set_cost(struct cpu_backend *b, struct phase *p, double ns)
{
    const uint32_t n_threads = b->params.n_threads;
    const double n = ns / n_threads / (n_threads > FEW_THREADS ? PART_NS : FEW_THREADS_PART_NS);
    if (n_threads == 1 || n < 2) return;
    p->parts_a_thread = n < MAX_PARTS_A_THREAD ? (uint32_t)n : MAX_PARTS_A_THREAD;
}

/* ---- running -------------------------------------------------------------------------------- */

/* This thread's parts of a phase, and what others have not begun; where each has one, its own. */
static void run_parts(struct cpu_backend *b, uint32_t phase, uint32_t id)
{
    const struct phase *p = &b->phase[phase];
    const uint32_t n_threads = b->params.n_threads, n_parts = n_threads * p->parts_a_thread;
    struct lot_walk walk = lot_walk_begin(b->lots, n_threads, p->parts_a_thread, phase, id);
    if (p->parts_a_thread == 1) {
        p->run(b, p, (struct part){ id, n_parts, id });
        return;
    }
    for (uint32_t i; lot_walk_next(&walk, &i);) p->run(b, p, (struct part){ i, n_parts, id });
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
    lots_clear(b->lots, b->params.n_threads);
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
