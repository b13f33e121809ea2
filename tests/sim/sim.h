/* The simulated server: random traffic over scheduler and KV pool, a fake model, a virtual clock.
 * Everything follows from the seed. */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "engine/kv_pool.h"
#include "engine/scheduler.h"
#include "sim/fake_kv.h"

enum {
    MAX_TOKENS = 320,           /* of one request */
    MAX_REQUESTS = 48,          /* alive at once */
    MAX_SLOTS = 32,
    MAX_COLS = 256,             /* of a step */
    N_TEMPLATES = 4,
};

/* Bugs the simulator must find. They are planted from outside: the product has no hooks. */
enum plant {
    PLANT_NONE,
    PLANT_NO_COPY,              /* the backend does not copy the page it is told to */
    PLANT_SECOND_RELEASE,       /* a page is given back that its holder still uses */
    PLANT_WRONG_PAGE,           /* the prefix index gave a page of other content */
    PLANT_WRONG_PICK,           /* a step takes another output's token of the step before */
    PLANT_WRONG_STATE,          /* the index gave a state of other content */
    PLANT_SHORT_WINDOW,         /* the machine's window is a page longer than the scheduler knows */
    PLANT_WRONG_RESUME,         /* who resumes skips a position */
    PLANT_OLDEST_PAUSED,        /* the first by rank is taken for the last */
    PLANT_TOLD_TWICE,           /* who resumes is asked again for what it has told */
};

struct request {
    struct seq seq;
    bool is_alive;
    uint32_t n_reply;           /* tokens it will generate, at most up to max_tokens */
    uint32_t n_outs;            /* of a score or an embedding: positions seen, or not wanted */
    uint32_t n_prompt_cols;     /* computed for it */
    uint64_t added_step, work_ahead, work_before, stalled_before;   /* sim_check_patience */
    uint64_t started_as;        /* place in the order in which requests started or resumed */
    int64_t rank;               /* its seq's, as it was drawn */
    bool is_running, is_paused; /* after the step composed last */
    uint32_t n_had;             /* positions that it has had in pages */
    uint64_t passed_id;         /* L2: the head that it passed */
    uint32_t n_passed_tokens;   /* L3: of those that passed it */
    int32_t token[MAX_TOKENS];
    uint32_t page[MAX_KV_GROUPS][MAX_TOKENS / PAGE_TOKENS];
};

struct sim_stats {
    uint64_t n_added, n_finished, n_cancelled, n_forks_shared, n_cached_tokens, n_cols;
    uint64_t n_ahead, n_removed_in_flight, n_failed;
    uint64_t n_passed, n_passed_at_cost, n_taken_up, n_kept_pages;
    uint64_t n_unseen;          /* positions behind windows, of all spans */
    uint64_t n_cached_behind;   /* prompts that began behind a window, with pages of the index */
    uint64_t n_states_found, n_states_taken_up, n_states_kept;
    uint64_t n_paused, n_resumed, n_recomputed, n_stalled_paused, n_outs_after_pause;
    uint64_t n_paused_in[SEQ_GONE + 1];     /* by what they were in before */
    uint64_t n_cancelled_in[SEQ_GONE + 1];
};

/* A step that the machine has taken. */
struct sim_flight {
    struct step step;           /* its tokens and spans are the copies below */
    int32_t token[MAX_COLS];
    struct span span[MAX_SLOTS];
    uint32_t page[MAX_SLOTS][MAX_KV_GROUPS][MAX_TOKENS / PAGE_TOKENS];
    bool is_all_picked;         /* by the machine: another may be planned on top of it */
};

struct sim {
    uint64_t seed;
    struct rng rng;
    struct scheduler_params params;
    uint32_t n_pages, n_vocab;
    double rate;                /* arrivals in a unit of virtual time */
    double cancel_share;        /* chance of a cancellation in a step */
    double score_share;         /* chance that one comes for its prompt: scores, embeddings */
    double stall_share;         /* chance that a reader becomes slow in a step */
    bool has_long_replies;      /* which pages run short of */
    uint32_t n_priorities;      /* 1: all requests are of one */
    enum plant plant;
    bool is_planted;
    bool trace;

    struct kv_pool *pool[MAX_KV_GROUPS], *states;
    struct scheduler *scheduler;
    struct fake_kv kv;
    bool runs_ahead;
    double failure_share;       /* chance that the machine fails a step */
    struct sim_flight flight[MAX_IN_FLIGHT];    /* a ring: in flight from `oldest` on */
    uint32_t oldest, n_in_flight;
    int32_t picked[MAX_COLS];   /* of the step computed last, by row */
    uint32_t table[MAX_SLOTS][MAX_KV_GROUPS][MAX_TOKENS / PAGE_TOKENS]; /* the machine's own */
    uint32_t n_picked;
    struct request request[MAX_REQUESTS];
    int32_t template[N_TEMPLATES][MAX_TOKENS];
    int32_t history[MAX_TOKENS]; /* of the last request that ended: the next turn of a chat */
    uint32_t n_history;

    double now, next_arrival;
    uint64_t step, next_id, n_started;
    uint64_t n_composed, last_start;        /* M1: number of the compose that let someone start */
    uint64_t n_stalled_steps;   /* in which some reader was slow */
    uint64_t work_added;        /* columns asked for since the start */
    struct sim_stats stats;
    char failure[256];          /* empty: all is well */
};

static inline uint32_t sim_between(struct sim *sim, uint32_t low, uint32_t high)
{
    return low + (uint32_t)rng_below(&sim->rng, (uint64_t)high - low + 1);
}

static inline bool sim_chance(struct sim *sim, double p)
{
    return rng_unit(&sim->rng) < p;
}

/* Small values as often as large ones. */
static inline uint32_t sim_log_between(struct sim *sim, uint32_t low, uint32_t high)
{
    uint32_t top = high;
    while (top / 2 >= low && sim_chance(sim, 0.5)) top /= 2;
    return sim_between(sim, low, top < low ? low : top);
}

static inline struct request *sim_request_of(struct seq *q)
{
    return (struct request *)q; /* its first member */
}

/* Notes the first failure only: what follows it is noise. */
#define SIM_FAIL(sim, ...)                                                                         \
    do {                                                                                           \
        if (!(sim)->failure[0]) snprintf((sim)->failure, sizeof(sim)->failure, __VA_ARGS__);       \
    } while (0)

#endif
