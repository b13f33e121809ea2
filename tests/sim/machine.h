/* The machine of the simulator: takes steps, computes them in their order when they are waited for,
 * as a GPU may, and picks the tokens of their outputs. What it needs of a step it copies, because
 * the sequences may be gone when it computes. */
#ifndef SIM_MACHINE_H
#define SIM_MACHINE_H

#include "sim/sim.h"

static inline struct sim_flight *sim_flight_at(struct sim *sim, uint32_t i)
{
    return &sim->flight[(sim->oldest + i) % MAX_IN_FLIGHT];
}

/* Columns of a sequence in the first n steps in flight. */
static inline uint32_t sim_in_flight(struct sim *sim, const struct seq *q, uint32_t n)
{
    uint32_t n_cols = 0;
    for (uint32_t k = 0; k < n; k++) {
        const struct step *step = &sim_flight_at(sim, k)->step;
        for (uint32_t i = 0; i < step->batch.n_spans; i++)
            n_cols += step->span_seq[i] == q ? step->batch.span[i].n_cols : 0;
    }
    return n_cols;
}

/* The output of the step before it that gives a column its token, or -1. */
static inline int32_t sim_output_of(struct sim *sim, const struct seq *q, uint32_t i)
{
    const struct step *step = &sim_flight_at(sim, i)->step;
    for (uint32_t o = 0; o < step->batch.n_outs; o++)
        if (step->out_seq[o] == q) return (int32_t)o;
    return -1;
}

static inline void machine_take(struct sim *sim, const struct step *step)
{
    struct sim_flight *f = sim_flight_at(sim, sim->n_in_flight++);
    const struct batch *b = &step->batch;
    f->step = *step;
    f->is_all_picked = true;
    for (uint32_t o = 0; o < b->n_outs; o++)
        f->is_all_picked &= !step->out_seq[o]->wants_every_logit && step->out_seq[o]->id % 7 != 0;
    memcpy(f->token, b->token, b->n_cols * sizeof *f->token);
    for (uint32_t i = 0; i < b->n_spans; i++) {
        const uint32_t n = b->span[i].first_pos + b->span[i].n_cols;
        memcpy(f->page[i], b->span[i].page, (n + PAGE_TOKENS - 1) / PAGE_TOKENS * 4);
        f->span[i] = b->span[i];
        f->span[i].page = f->page[i];
    }
    f->step.batch.token = f->token;
    f->step.batch.span = f->span;
}

/* Every position a column attends to holds the sequence's own. */
static inline void check_context(struct sim *sim, const struct step *step)
{
    for (uint32_t i = 0; i < step->batch.n_spans; i++) {
        const struct span *span = &step->batch.span[i];
        const struct seq *q = step->span_seq[i];
        const uint32_t n = span->first_pos + span->n_cols;
        if (!q) continue;
        const uint32_t pos = fake_kv_foreign(&sim->kv, span->page, q->token, n);
        if (pos < n)
            SIM_FAIL(sim, "request %llu: position %u in page %u is not its own",
                     (unsigned long long)q->id, pos, span->page[pos / PAGE_TOKENS]);
    }
}

/* Computes the oldest step; its picks are in ->picked until the machine takes another. */
static inline void machine_compute(struct sim *sim)
{
    struct sim_flight *f = sim_flight_at(sim, 0);
    const struct batch *b = &f->step.batch;
    const uint32_t off = sim->plant == PLANT_WRONG_PICK;
    for (uint32_t c = 0; c < b->n_cols; c++)
        if (f->token[c] < 0)
            f->token[c] = sim->picked[((uint32_t)(-1 - f->token[c]) + off) % sim->n_picked];
    fake_forward(&sim->kv, b);
    check_context(sim, &f->step);
    for (uint32_t i = 0, o = 0; i < b->n_spans; i++)
        for (; o < b->n_outs && b->out_col[o] < b->span[i].first_col + b->span[i].n_cols; o++)
            sim->picked[o] =
                fake_sample(fake_kv_at(&sim->kv, b->span[i].page, f->step.out_pos[o])->chain,
                            sim->n_vocab);
    sim->n_picked = b->n_outs;
}

#endif
