/* Who is paused and who starts: the scheduler's M1 to M3, by books of the simulator's own. */
#ifndef SIM_PAUSES_H
#define SIM_PAUSES_H

#include "sim/sim.h"
#include "sim/traffic.h"

static inline uint32_t sim_pages_of(uint32_t n_tokens)
{
    return (n_tokens + PAGE_TOKENS - 1) / PAGE_TOKENS;
}

static inline bool sim_goes_before(const struct request *a, const struct request *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->seq.id < b->seq.id;
}

static inline bool is_any_stalled(const struct sim *sim)
{
    for (int i = 0; i < MAX_REQUESTS; i++)
        if (sim->request[i].is_alive && sim->request[i].seq.is_stalled) return true;
    return false;
}

/* M1. Pages that one with n of them is to find free. */
static inline uint32_t sim_growth(const struct sim *sim, const struct seq *q, uint32_t n)
{
    const uint32_t n_more = sim_pages_of(q->max_tokens) - n;
    return n_more < sim->params.growth_pages ? n_more : sim->params.growth_pages;
}

static inline uint32_t sim_growth_of_running(const struct sim *sim)
{
    uint32_t n = 0;
    for (int i = 0; i < MAX_REQUESTS; i++) {
        const struct request *r = &sim->request[i];
        if (!r->is_alive || !r->is_running) continue;
        n += sim_growth(sim, &r->seq, r->seq.n_pages + r->seq.n_reserved);
    }
    return n;
}

/* M2: it was the last of those that ran, or its reader is slow. M1: nobody started a moment ago. */
static inline void check_pause(struct sim *sim, const struct request *r)
{
    for (int i = 0; i < MAX_REQUESTS && !r->seq.is_stalled; i++) {
        const struct request *other = &sim->request[i];
        if (!other->is_alive || !other->is_running || other->seq.state == SEQ_PAUSED) continue;
        if (other->seq.is_stalled || sim_goes_before(r, other))
            SIM_FAIL(sim, "M2: request %llu is paused, %llu runs", (unsigned long long)r->seq.id,
                     (unsigned long long)other->seq.id);
    }
    if (!r->seq.is_stalled &&
        sim->n_composed - sim->last_start < sim->params.growth_pages * PAGE_TOKENS)
        SIM_FAIL(sim, "M1: request %llu is paused %llu steps after one started",
                 (unsigned long long)r->seq.id,
                 (unsigned long long)(sim->n_composed - sim->last_start));
    if (sim->n_in_flight)
        SIM_FAIL(sim, "M2: request %llu is paused beside a step in flight",
                 (unsigned long long)r->seq.id);
}

/* What it had is computed again, and others may pass it again: all wait for that. */
static inline void note_pause(struct sim *sim, struct request *r)
{
    sim->stats.n_paused++;
    sim->stats.n_stalled_paused += r->seq.is_stalled;
    sim->stats.n_paused_in[r->n_had >= r->seq.n_prompt ? SEQ_DECODE : SEQ_PREFILL]++;
    r->passed_id = r->n_passed_tokens = 0;
    for (int i = 0; i < MAX_REQUESTS; i++)
        sim->request[i].work_ahead += r->n_had + work_passing(r);
}

static inline void note_pauses(struct sim *sim, const struct step *step)
{
    uint32_t n = 0;
    for (int i = 0; i < MAX_REQUESTS; i++) {
        struct request *r = &sim->request[i];
        if (!r->is_alive || r->seq.state != SEQ_PAUSED || r->is_paused) continue;
        if (sim->trace)
            printf("%llu: pause %llu stalled=%d\n", (unsigned long long)sim->step,
                   (unsigned long long)r->seq.id, r->seq.is_stalled);
        check_pause(sim, r);
        note_pause(sim, r);
        n++;
    }
    for (int i = 0; i < MAX_REQUESTS; i++) {
        struct request *r = &sim->request[i];
        if (!r->is_alive || r->seq.state != SEQ_PAUSED) continue;
        r->is_paused = true;
        r->is_running = false;
    }
    if (n != step->n_paused) SIM_FAIL(sim, "%u were paused, the step says %u", n, step->n_paused);
}

/* The next by rank of those that have started and are not noted yet: the line is looked at in this
 * order. */
static inline struct request *sim_next_start(struct sim *sim)
{
    struct request *next = NULL;
    for (int i = 0; i < MAX_REQUESTS; i++) {
        struct request *r = &sim->request[i];
        const bool runs = r->seq.state == SEQ_PREFILL || r->seq.state == SEQ_DECODE;
        if (!r->is_alive || !runs || r->is_running) continue;
        if (!next || sim_goes_before(r, next)) next = r;
    }
    return next;
}

/* Positions computed, and those found. */
static inline void note_positions(struct sim *sim)
{
    for (int i = 0; i < MAX_REQUESTS; i++) {
        struct request *r = &sim->request[i];
        if (r->is_alive && r->n_had < r->seq.n_computed) r->n_had = r->seq.n_computed;
    }
}

/* n columns were computed for it, whose positions it may have had before. */
static inline void count_prompt_cols(struct sim *sim, struct request *r, uint32_t first, uint32_t n)
{
    for (uint32_t pos = first; pos < first + n; pos++) {
        sim->stats.n_recomputed += pos < r->n_had;
        r->n_prompt_cols += pos >= r->n_had && pos < r->seq.n_prompt;
    }
}

#endif
