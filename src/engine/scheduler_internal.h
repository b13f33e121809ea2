/* Shared by scheduler*.c alone. */
#ifndef ENGINE_SCHEDULER_INTERNAL_H
#define ENGINE_SCHEDULER_INTERNAL_H

#include "engine/scheduler.h"

/* A page of a prompt that a step computes, whole or in part. */
struct claim {
    struct prefix_key key;
    const struct seq *by;       /* NULL: removed since */
    uint32_t n_cols;            /* how fast it goes: prompt columns of this step; UINT32_MAX: the
                                 * last ones of its prompt */
};

struct scheduler {
    struct scheduler_params params;
    struct kv_pool *pool[MAX_KV_GROUPS], *states;
    copy_page_fn *copy;
    void *copy_arg;

    struct seq_list line;       /* of those without memory, in order of rank */
    struct seq_list running;    /* those with, in the order in which they got it */
    uint32_t n_paused;          /* of the line: these have slots */
    struct seq **slot;          /* (n_slots) NULL: free */
    void *block;                /* has all arrays */

    bool may_admit;             /* since everybody in the line was looked at: somebody came or
                                 * left, pages were freed, or a prompt was computed */
    uint64_t n_composed;
    uint32_t oldest, n_in_flight;
    struct step step[MAX_IN_FLIGHT];        /* a ring: in flight from `oldest` on */
};

/* The i-th step in flight, the oldest first; i = n_in_flight: the next. */
static inline struct step *step_at(struct scheduler *s, uint32_t i)
{
    return &s->step[(s->oldest + i) % MAX_IN_FLIGHT];
}

static inline uint32_t pages_of(uint32_t n_tokens)
{
    return n_tokens / PAGE_TOKENS + (n_tokens % PAGE_TOKENS != 0);
}

/* The first page of a KV group that positions from pos on see anything of. */
static inline uint32_t first_needed(const struct scheduler *s, uint32_t kv_group, uint32_t pos)
{
    const uint32_t chunk = s->params.chunk_pages;
    const uint32_t first = window_start(pos, s->params.kv.group[kv_group].window);
    return first / (chunk * PAGE_TOKENS) * chunk;
}

static inline const int32_t *page_tokens(const struct seq *q, uint32_t page)
{
    return q->token + (size_t)page * PAGE_TOKENS;
}

/* Full pages before the one that holds the last token that is read before it decodes. */
static inline uint32_t n_shareable(const struct seq *q)
{
    return (q->n_prefill - 1) / PAGE_TOKENS;
}

static inline bool is_in_prefill(const struct seq *q)
{
    return q->n_issued < q->n_prefill;
}

static inline uint32_t n_in_slots(const struct scheduler *s)
{
    return s->running.n + s->n_paused;
}

/* M1. Pages that are left free for a sequence that has n. */
static inline uint32_t growth_of(const struct scheduler *s, const struct seq *q, uint32_t n)
{
    const uint32_t n_more = pages_of(q->max_tokens) - n;
    return n_more < s->params.growth_pages ? n_more : s->params.growth_pages;
}

/* Positions up to n_computed were found, or taken from another, that were computed up to `before`:
 * those of its prompt count once. */
static inline void count_found(struct seq *q, uint32_t before, struct step *step)
{
    const uint32_t first = before < q->n_reached ? q->n_reached : before;
    const uint32_t end = q->n_computed < q->n_prompt ? q->n_computed : q->n_prompt;
    if (end <= first) return;
    q->n_cached += end - first;
    step->n_cached_tokens += end - first;
}

/* ---- scheduler_pause.c: when pages run short ------------------------------------------------ */

/* Pages that the next columns of those that decode want and that are not reserved. */
uint32_t scheduler_n_wanted(const struct scheduler *s);

/* M2. Reserves these pages. Where there are too few, and no step is in flight, some are paused. */
void scheduler_make_room(struct scheduler *s, struct step *step);

/* Of those that run and whose readers are slow the last by rank, or NULL. */
struct seq *scheduler_last_stalled(const struct scheduler *s);

/* Takes the memory of one that runs, with none in flight, and puts it into the line. */
void scheduler_pause(struct scheduler *s, struct step *step, struct seq *q);

/* Nobody waits for this sequence any more, to fork from it or to go on where it was. */
void scheduler_forget(struct scheduler *s, const struct seq *q);

/* ---- scheduler_admit.c: the line ------------------------------------------------------------ */

/* Moves sequences from the line to those that run. The step names those that enter a slot. */
void scheduler_admit(struct scheduler *s, struct step *step);

/* A sequence leaves the line: nobody has passed it any more. */
void scheduler_leave_line(struct scheduler *s, struct seq *q);

/* ---- scheduler_pages.c: what is shared ------------------------------------------------------ */

/* Shares what is there of the tokens that it reads and reserves the rest, or leaves the sequence as
 * it was: where fewer than n_spare pages would be left. */
bool scheduler_take_memory(struct scheduler *s, struct seq *q, uint64_t n_spare);

/* Gives back the pages and the reservation of a sequence. */
void scheduler_give_back(struct scheduler *s, struct seq *q);

/* Takes the sequence's next page, of every KV group. */
void scheduler_take_page(struct scheduler *s, struct seq *q);

/* Gives back what no window of the positions to come sees. */
void scheduler_leave_behind(struct scheduler *s, struct seq *q);

/* Enters the pages that are full now into the index. */
void scheduler_enter_pages(struct scheduler *s, struct seq *q);

/* Takes pages of prompts that others have computed meanwhile. */
void scheduler_take_up(struct scheduler *s, struct step *step);

/* ---- scheduler_states.c: what is remembered in place of positions ---------------------------- */

/* A sequence that enters a slot holds what was found of its prompt; NO_STATE: nothing was. */
void scheduler_begin_state(struct scheduler *s, struct seq *q, uint32_t found);

void scheduler_give_back_states(struct scheduler *s, struct seq *q);

/* The sequence's next n columns, or as many of them as leave all states that are to be kept. */
uint32_t scheduler_cut_at_states(const struct scheduler *s, const struct seq *q, uint32_t n);

/* Where the span's state comes from and goes to. */
void scheduler_add_state(struct scheduler *s, struct seq *q, struct span *span);

/* Enters what was kept after page i, of this key, into the index. */
void scheduler_enter_state(struct scheduler *s, struct seq *q, uint32_t i, struct prefix_key key);

/* Whether, and whom, a sequence that enters a slot waits for. */
void scheduler_follow(struct scheduler *s, struct seq *q);

/* True once when what it waited for was computed. */
bool scheduler_has_followed(struct seq *q);

/* ---- scheduler_prefill.c: whose prompt is read ---------------------------------------------- */

/* Shares the step's prompt columns out. */
void scheduler_add_prefill(struct scheduler *s, struct step *step);

uint32_t scheduler_max_claims(const struct scheduler_params *p);

/* ---- scheduler_columns.c -------------------------------------------------------------------- */

/* Columns for the next n positions of a sequence, and the pages they are written to. */
void scheduler_add_span(struct scheduler *s, struct step *p, struct seq *q, uint32_t n);

#endif
