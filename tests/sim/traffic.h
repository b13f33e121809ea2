/* Who comes and who leaves: prompts that share beginnings, next turns of chats, forks, scores,
 * embeddings, cancellations. */
#ifndef SIM_TRAFFIC_H
#define SIM_TRAFFIC_H

#include <math.h>

#include "sim/sim.h"

/* Streams with states have one KV group. */
static inline void sim_draw_states(struct sim *sim)
{
    struct scheduler_params *p = &sim->params;
    if (!sim_chance(sim, 0.3)) return;
    p->kv.n = p->kv.n_state_layers = 1;
    p->kv.n_states = scheduler_n_states(p);
}

/* Windows from one position to more than any request has. */
static inline void sim_draw_groups(struct sim *sim)
{
    struct scheduler_params *p = &sim->params;
    p->chunk_pages = 1u << sim_between(sim, 0, 3);
    p->kv = (struct kv_groups){ .n = sim_between(sim, 1, MAX_KV_GROUPS),
                                .group = { { .n_pages = sim->n_pages } } };
    for (uint32_t g = 1; g < p->kv.n; g++) {
        const uint32_t window = sim_log_between(sim, 1, MAX_TOKENS + 20);
        p->kv.group[g].window = window;
        p->kv.group[g].n_pages = scheduler_window_pages(p, window);
    }
    sim_draw_states(sim);
}

/* Draws the machine: slots, budgets and memory from tight to ample. */
static inline void sim_draw_machine(struct sim *sim)
{
    struct scheduler_params *p = &sim->params;
    p->n_slots = sim_log_between(sim, 1, MAX_SLOTS);
    p->step_tokens = sim_log_between(sim, p->n_slots, MAX_COLS);
    p->prefill_tokens = sim_log_between(sim, 1, 256);
    p->prefill_first = sim_chance(sim, 0.2);
    p->column_unit = sim_chance(sim, 0.5) ? 1 : 8;
    p->growth_pages = sim_between(sim, 1, SCHEDULER_GROWTH_PAGES);
    p->no_prefix_cache = sim_chance(sim, 0.15);
    sim->n_pages = sim_log_between(sim, 1, p->n_slots * (MAX_TOKENS / PAGE_TOKENS) + 40);
    sim->score_share = 0.06;
    sim->has_long_replies = sim_chance(sim, 0.5);
    if (sim->has_long_replies) {
        sim->n_pages = sim_between(sim, 1 + p->n_slots, 40 + 2 * p->n_slots);
        if (sim_chance(sim, 0.5)) p->prefill_tokens = sim_between(sim, 2, 8);
        sim->score_share = 0.15;
    }
    sim_draw_groups(sim);
    sim->n_vocab = sim_log_between(sim, 1, 1000);
    sim->rate = 0.02 + 0.5 * rng_unit(&sim->rng);
    sim->cancel_share = 0.05 * rng_unit(&sim->rng);
    sim->runs_ahead = sim_chance(sim, 0.6);
    sim->failure_share = sim_chance(sim, 0.5) ? 0.005 : 0;
    sim->stall_share = sim_chance(sim, 0.3) ? 0.05 : 0;
    sim->n_priorities = sim_chance(sim, 0.5) ? 1 : 3;
    for (int t = 0; t < N_TEMPLATES; t++)
        for (int i = 0; i < MAX_TOKENS; i++)
            sim->template[t][i] = (int32_t)rng_below(&sim->rng, sim->n_vocab);
}

/* A beginning that others have too, or none. Returns its length. */
static inline uint32_t draw_beginning(struct sim *sim, struct request *r, uint32_t max_tokens)
{
    const struct request *other = &sim->request[sim_between(sim, 0, MAX_REQUESTS - 1)];
    const int32_t *from = sim->template[sim_between(sim, 0, N_TEMPLATES - 1)];
    uint32_t n = MAX_TOKENS;

    switch (sim_between(sim, 0, 4)) {
    case 0:
        return 0;
    case 1: /* the next turn of a chat */
        from = sim->history;
        n = sim->n_history;
        break;
    case 2: /* the prompt of one who is being served, or waits */
        if (other == r || !other->is_alive) break;
        from = other->token;
        n = other->seq.n_prompt;
        break;
    default:
        break;
    }
    if (n > max_tokens) n = max_tokens;
    if (n && sim_chance(sim, 0.5)) n = sim_between(sim, 0, n);
    memcpy(r->token, from, n * sizeof *from);
    return n;
}

static inline void draw_prompt(struct sim *sim, struct request *r)
{
    const uint32_t held = sim->n_pages * PAGE_TOKENS < MAX_TOKENS ? sim->n_pages * PAGE_TOKENS
                                                                  : MAX_TOKENS;
    struct seq *q = &r->seq;
    const uint32_t n_shared = draw_beginning(sim, r, held - 1);
    uint32_t n_own = sim_log_between(sim, n_shared ? 0 : 1, held - 1 - n_shared);
    if (sim->has_long_replies && n_own > 40 && sim_chance(sim, 0.7)) n_own = 40;

    q->n_prompt = n_shared + n_own;
    for (uint32_t i = n_shared; i < q->n_prompt; i++)
        r->token[i] = (int32_t)rng_below(&sim->rng, sim->n_vocab);
    q->max_tokens = sim_log_between(sim, q->n_prompt + 1, held);
    if (sim->has_long_replies) q->max_tokens = held;
}

/* A step of priority is worth as much as having come a while before. */
static inline int64_t draw_rank(struct sim *sim)
{
    enum { STEPS_A_PRIORITY = 200 };
    return (int64_t)sim->step - STEPS_A_PRIORITY * sim_between(sim, 0, sim->n_priorities - 1);
}

/* The fork of someone who is there: same prompt, own reply. */
static inline bool draw_fork(struct sim *sim, struct request *r)
{
    struct request *source = &sim->request[sim_between(sim, 0, MAX_REQUESTS - 1)];
    if (source == r || !source->is_alive || source->seq.max_tokens == source->seq.n_prompt)
        return false;
    memcpy(r->token, source->token, source->seq.n_prompt * sizeof *source->token);
    r->seq.n_prompt = source->seq.n_prompt;
    r->seq.max_tokens = source->seq.max_tokens;
    r->seq.fork_of = &source->seq;
    r->rank = source->rank;
    return true;
}

/* Columns a request may need at most. */
static inline uint64_t work_of(const struct request *r)
{
    return (uint64_t)r->seq.n_prompt + r->n_reply;
}

/* What one in the line may let pass (scheduler.h L3), and one that has its slot. */
static inline uint64_t work_passing(const struct request *r)
{
    return (uint64_t)r->seq.max_tokens + MAX_TOKENS;
}

static inline uint64_t work_left(const struct sim *sim)
{
    uint64_t work = 0;
    for (int i = 0; i < MAX_REQUESTS; i++) {
        const struct request *r = &sim->request[i];
        if (!r->is_alive) continue;
        work += work_of(r) - r->seq.n_computed;
        if (r->seq.state == SEQ_WAITING) work += work_passing(r);
    }
    return work;
}

/* Those whose turn is behind its own wait for it, too. */
static inline void add_work_behind(struct sim *sim, const struct request *r)
{
    for (int i = 0; i < MAX_REQUESTS; i++) {
        struct request *other = &sim->request[i];
        if (other->is_alive && r->rank < other->rank)
            other->work_ahead += work_of(r) + work_passing(r);
    }
}

static inline void sim_arrive(struct sim *sim, struct request *r)
{
    struct seq *q = &r->seq;
    *q = (struct seq){ .id = ++sim->next_id, .token = r->token,
                       .page = { r->page[0], r->page[1], r->page[2] } };
    r->n_outs = r->n_prompt_cols = r->n_passed_tokens = r->n_had = 0;
    r->started_as = r->passed_id = 0;
    r->is_running = r->is_paused = false;
    r->rank = draw_rank(sim);

    if (!(sim_chance(sim, 0.25) && draw_fork(sim, r))) draw_prompt(sim, r);
    if (!q->fork_of && sim_chance(sim, sim->score_share)) {
        const uint64_t kind = q->id % 4;    /* 3: a score, and a reply behind it */
        q->wants_every_logit = kind == 0 || kind == 3;
        q->hidden = kind == 1 ? HIDDEN_LAST : kind == 2 ? HIDDEN_EVERY : HIDDEN_NONE;
        r->n_reply = kind == 3 ? q->max_tokens - q->n_prompt : 0;
        q->max_tokens = q->n_prompt + r->n_reply;
        if (kind == 1) r->n_outs = q->n_prompt - 1;     /* it comes without those before it */
    } else {
        const uint32_t room = q->max_tokens - q->n_prompt;
        r->n_reply = sim_chance(sim, 0.5) ? room : sim_between(sim, 1, room);
    }
    q->rank = r->rank;
    r->added_step = sim->step;
    r->stalled_before = sim->n_stalled_steps;
    r->work_ahead = work_left(sim) + work_of(r) + work_passing(r);
    add_work_behind(sim, r);
    sim->work_added += work_of(r);
    r->work_before = sim->work_added;
    r->is_alive = true;
    scheduler_add(sim->scheduler, q);
    sim->stats.n_added++;
    if (sim->trace)
        printf("%llu: add %llu prompt=%u reply=%u max=%u fork_of=%llu score=%d hidden=%d\n",
               (unsigned long long)sim->step, (unsigned long long)q->id, q->n_prompt, r->n_reply,
               q->max_tokens, (unsigned long long)(q->fork_of ? q->fork_of->id : 0),
               q->wants_every_logit, q->hidden);
}

static inline void sim_arrivals(struct sim *sim)
{
    for (int i = 0; i < MAX_REQUESTS && sim->next_arrival <= sim->now; i++) {
        if (sim->request[i].is_alive) continue;
        sim_arrive(sim, &sim->request[i]);
        if (sim_chance(sim, 0.6)) /* else together with the next: a burst */
            sim->next_arrival = sim->now - log(1 - rng_unit(&sim->rng)) / sim->rate;
    }
}

static inline void sim_leave(struct sim *sim, struct request *r)
{
    sim->stats.n_removed_in_flight += r->seq.n_issued > r->seq.n_computed;
    sim->n_history = r->seq.n_tokens;
    memcpy(sim->history, r->token, sim->n_history * sizeof *sim->history);
    scheduler_remove(sim->scheduler, &r->seq);
    r->is_alive = false;
}

/* Readers become slow, and catch up. */
static inline void sim_stalls(struct sim *sim)
{
    bool is_any_stalled = false;
    for (int i = 0; i < MAX_REQUESTS; i++) {
        struct request *r = &sim->request[i];
        if (!r->is_alive) continue;
        if (r->seq.is_stalled && sim_chance(sim, 0.03))
            scheduler_stall(sim->scheduler, &r->seq, false);
        is_any_stalled |= r->seq.is_stalled;
    }
    sim->n_stalled_steps += is_any_stalled;
    if (!sim_chance(sim, sim->stall_share)) return;
    struct seq *q = scheduler_slot(sim->scheduler, sim_between(sim, 0, sim->params.n_slots - 1));
    if (q && q->state == SEQ_DECODE) scheduler_stall(sim->scheduler, q, true);
}

static inline void sim_cancellations(struct sim *sim)
{
    if (!sim_chance(sim, sim->cancel_share)) return;
    struct request *r = &sim->request[sim_between(sim, 0, MAX_REQUESTS - 1)];
    if (sim_chance(sim, 0.3)) /* prefill is short: look for one on purpose */
        for (int i = 0; i < MAX_REQUESTS; i++)
            if (sim->request[i].is_alive && sim->request[i].seq.state == SEQ_PREFILL)
                r = &sim->request[i];
    if (!r->is_alive) return;
    if (sim->trace)
        printf("%llu: cancel %llu state=%d\n", (unsigned long long)sim->step,
               (unsigned long long)r->seq.id, r->seq.state);
    sim->stats.n_cancelled_in[r->seq.state]++;
    sim->stats.n_cancelled++;
    sim_leave(sim, r);
}

#endif
