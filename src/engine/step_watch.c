#include "engine/step_watch.h"

enum {
    LEAST_COLS = 16,
    FAR_TOKENS = 1024,      /* looking back so far is taken to cost as much as a column does. Most
                             * models do so much later: steps far back get more time, not less */
    FORGETS = 16,           /* a step forgets this part of the slowest one */
};

double step_watch_work(const struct batch *b)
{
    double work = 0;
    for (uint32_t i = 0; i < b->n_spans; i++) {
        const struct span *s = &b->span[i];
        work += s->n_cols * (1 + (s->first_pos + s->n_cols / 2.0) / FAR_TOKENS);
    }
    return work > LEAST_COLS ? work : LEAST_COLS;
}

void step_watch_begin(struct step_watch *w, double work, uint64_t now_ns)
{
    const double ns = w->ns_per_unit > 0 ? STEP_WATCH_FACTOR * w->ns_per_unit * work
                                         : (double)STEP_WATCH_FIRST_NS * work;
    const uint64_t allowed_ns =
        ns > (double)STEP_WATCH_FLOOR_NS ? (uint64_t)ns : STEP_WATCH_FLOOR_NS;
    atomic_store_explicit(&w->due_ns, now_ns + allowed_ns, memory_order_relaxed);
}

void step_watch_measure(struct step_watch *w, double work, uint64_t ns)
{
    const double measured = (double)ns / work;
    w->ns_per_unit -= w->ns_per_unit / FORGETS;
    if (measured > w->ns_per_unit) w->ns_per_unit = measured;
}

void step_watch_rest(struct step_watch *w)
{
    atomic_store_explicit(&w->due_ns, 0, memory_order_relaxed);
}

bool step_watch_is_well(const struct step_watch *w, uint64_t now_ns)
{
    const uint64_t due_ns = atomic_load_explicit(&w->due_ns, memory_order_relaxed);
    return due_ns == 0 || now_ns < due_ns;
}
