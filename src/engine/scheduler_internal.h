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

    struct seq_list waiting, running;
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

/* Full pages before the one that holds the last prompt token. */
static inline uint32_t n_shareable(const struct seq *q)
{
    return (q->n_prompt - 1) / PAGE_TOKENS;
}

static inline bool is_in_prefill(const struct seq *q)
{
    return q->n_issued < q->n_prompt;
}

/* ---- scheduler_admit.c: the line ------------------------------------------------------------ */

/* Moves sequences from the line into free slots and names them in the step. */
void scheduler_admit(struct scheduler *s, struct step *step);

/* A sequence leaves the line: nobody has passed it any more. */
void scheduler_leave_line(struct scheduler *s, struct seq *q);

/* ---- scheduler_pages.c: what is shared ------------------------------------------------------ */

/* Shares what is there of its prompt and reserves the rest, or leaves the sequence as it was. */
bool scheduler_take_memory(struct scheduler *s, struct seq *q);

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
