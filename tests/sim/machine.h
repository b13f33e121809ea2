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

/* The row of the step before it that gives a column its token, or -1. */
static inline int32_t sim_row_of(struct sim *sim, const struct seq *q, uint32_t i)
{
    const struct step *step = &sim_flight_at(sim, i)->step;
    for (uint32_t o = 0; o < step->batch.n_outputs; o++)
        if (step_seq(step, o) == q) return (int32_t)step->batch.output[o].first_row;
    return -1;
}

/* I7. The machine keeps the page tables of each slot, and takes from a step what is new. */
static inline void take_table(struct sim *sim, const struct span *span, uint32_t g, uint32_t *to)
{
    uint32_t *table = sim->table[span->slot][g];
    const uint32_t n = span->n_pages, n_kept = n - span->n_new_pages;
    memcpy(table + n_kept, span->page[g] + n_kept, span->n_new_pages * sizeof *table);
    memcpy(to, table, n * sizeof *to);
    sim->stats.n_kept_pages += n_kept;
    for (uint32_t i = 0; i < n; i++)
        if (table[i] != span->page[g][i] && span->page[g][i] != NO_PAGE)
            SIM_FAIL(sim, "I7: entry %u of slot %u is %u, the step did not say so", i, span->slot,
                     span->page[g][i]);
}

static inline void machine_take(struct sim *sim, const struct step *step)
{
    struct sim_flight *f = sim_flight_at(sim, sim->n_in_flight++);
    const struct batch *b = &step->batch;
    f->step = *step;
    f->is_all_picked = true;
    for (uint32_t o = 0; o < b->n_outputs; o++) {
        const struct seq *q = step_seq(step, o);
        f->is_all_picked &= !q->wants_every_logit && !q->hidden && q->id % 7 != 0;
    }
    memcpy(f->token, b->token, b->n_cols * sizeof *f->token);
    for (uint32_t i = 0; i < b->n_spans; i++) {
        f->span[i] = b->span[i];
        for (uint32_t g = 0; g < sim->params.kv.n; g++) {
            take_table(sim, &b->span[i], g, f->page[i][g]);
            f->span[i].page[g] = f->page[i][g];
        }
    }
    f->step.batch.token = f->token;
    f->step.batch.span = f->span;
}

/* Where the chunk begins that holds the first position which one at `pos` sees. */
static inline uint32_t sim_first_read(const struct sim *sim, uint32_t g, uint32_t pos)
{
    const uint32_t window = sim->params.kv.group[g].window;
    const uint32_t first = window == 0 || pos < window ? 0 : pos - window + 1;
    return first - first % (sim->params.chunk_pages * PAGE_TOKENS);
}

/* Every position a column attends to holds the sequence's own. */
static inline void check_context(struct sim *sim, const struct step *step, uint32_t g)
{
    for (uint32_t i = 0; i < step->batch.n_spans; i++) {
        const struct span *span = &step->batch.span[i];
        const struct seq *q = step->span_seq[i];
        if (!q) continue;
        const uint32_t first = sim_first_read(sim, g, span->first_pos);
        const uint32_t pos = fake_kv_foreign(&sim->kv, span, g, first, q->token);
        sim->stats.n_unseen += first;
        if (pos < span->first_pos + span->n_cols)
            SIM_FAIL(sim, "request %llu, group %u: position %u in page %u is not its own",
                     (unsigned long long)q->id, g, pos, span->page[g][pos / PAGE_TOKENS]);
    }
}

/* What a sequence remembers is its own history, and nobody else's. */
static inline void check_states(struct sim *sim, const struct step *step)
{
    for (uint32_t i = 0; i < step->batch.n_spans && sim->states; i++) {
        const struct span *span = &step->batch.span[i];
        const struct seq *q = step->span_seq[i];
        sim->stats.n_states_kept += span->state_kept != NO_STATE;
        if (q && !fake_state_is_own(&sim->kv, span, q->token))
            SIM_FAIL(sim, "request %llu at position %u: a state is not its own",
                     (unsigned long long)q->id, span->first_pos);
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
    for (uint32_t g = 0; g < sim->params.kv.n; g++) check_context(sim, &f->step, g);
    check_states(sim, &f->step);
    for (const struct output *o = b->output; o < b->output + b->n_outputs; o++)
        for (uint32_t i = 0; i < output_n_rows(o); i++) {
            const uint32_t pos = b->pos[o->first_col + i];
            const struct place *place = fake_kv_at(&sim->kv, &b->span[o->span], 0, pos);
            sim->picked[o->first_row + i] = fake_sample(place->chain, sim->n_vocab);
        }
    sim->n_picked = b->n_rows;
}

#endif
