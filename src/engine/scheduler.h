/* Which columns make up the next step. It may be planned while the step before is being computed;
 * then nobody is admitted, and a column's token may be what that step will pick.
 *
 *   WAITING --admit--> PREFILL --prompt computed--> DECODE --remove--> GONE
 *      |                  |                                             ^
 *      +------------------+----------------------- remove --------------+
 *
 * Order of service is order of arrival. A sequence is admitted when a slot is free and the pages it
 * may ever need (prompt + reply, less what the prefix index or its fork source already holds) can
 * be reserved, so that it never runs short of memory later; nobody is admitted before an earlier
 * one. A fork waits, as head of the line, until its source's prompt is computed. The source came
 * before it, so this ends; and the prompts of those behind would get hardly a column meanwhile,
 * because the oldest prompt goes first. A step holds one column of every sequence that decodes and,
 * up to the budget, prompt columns of those that prefill, the oldest first.
 *
 * I1  at most n_slots sequences are admitted, each in its own slot
 * I2  every sequence in DECODE that is not paused has exactly one column in every step
 *     (prefill_first: not while an admitted sequence prefills)
 * I3  a step has at most step_tokens columns; while others decode, at most prefill_tokens of them
 *     are prompt columns (at least 1, so that prompts always advance), and what fills the last
 *     column_unit
 * I4  a page is written only by a sequence that holds it alone and that is not in the index; a step
 *     that is in flight may still write the page of a sequence that was removed, and so only a
 *     later step may write or read it then: steps are computed in their order
 * I5  pages reserved and held are given back when the sequence is removed
 *
 * I6  what is in the index was computed by steps that were committed
 *
 * It computes nothing and knows no model: the simulator drives it with a fake one and a virtual
 * clock. Engine thread only. No allocation after scheduler_open. */
#ifndef ENGINE_SCHEDULER_H
#define ENGINE_SCHEDULER_H

#include <stdbool.h>
#include <stdint.h>

#include "backend/backend.h"
#include "base/status.h"
#include "engine/kv_pool.h"

enum seq_state { SEQ_NONE, SEQ_WAITING, SEQ_PREFILL, SEQ_DECODE, SEQ_GONE };

/* A stream as the scheduler sees it; embedded in the stream. The first part is filled in before
 * scheduler_add, the second is the scheduler's. */
struct seq {
    uint64_t id;
    int32_t *token;             /* (max_tokens) the prompt, then the reply */
    uint32_t n_prompt;
    uint32_t max_tokens;        /* of prompt and reply together */
    uint32_t *page;             /* (pages of max_tokens) page table, storage of the owner */
    struct seq *fork_of;        /* same prompt: waits until that prompt is computed, then shares it;
                                 * NULL, or a sequence not yet removed */
    bool wants_every_logit;     /* score: every prompt column is an output; takes nothing from the
                                 * prefix index */
    bool is_paused;             /* changed by the owner between plans: keeps its slot but, once it
                                 * decodes, takes no column (its reader is slow) */

    enum seq_state state;
    uint32_t slot;
    uint32_t n_tokens;          /* prompt, and the reply so far */
    uint32_t n_computed;        /* positions whose KV is in pages */
    uint32_t n_issued;          /* and of the steps in flight */
    uint32_t out;               /* its output of the last step that had one */
    uint32_t n_cached;          /* of the prompt, found in the index or shared by the fork source */
    uint32_t n_pages, n_reserved; /* together the pages of max_tokens, once admitted */
    uint32_t n_published;       /* full pages entered into the index or found there */
    struct prefix_key key;      /* of the last of those */
    bool is_unpublishable;      /* the next page's hash was taken: it and its successors stay out */
    struct seq *next, *previous;
};

struct scheduler_params {
    uint32_t n_slots;
    uint32_t step_tokens, prefill_tokens;
    uint32_t column_unit;       /* of the backend; 0: 1 */
    uint32_t score_tokens;      /* most columns of a step for all of wants_every_logit; 0: no limit.
                                 * So a step has fewer than n_slots + score_tokens outputs */
    bool prefill_first, no_prefix_cache;
};

/* Called when a shared page must be copied before it is written: page `to` = page `from`. */
typedef void copy_page_fn(void *arg, uint32_t to, uint32_t from);

struct scheduler;

/* step_tokens must be at least n_slots and prefill_tokens at least 1: I2 and I3 at once. The
 * scheduler is the pool's only user. */
pl_status scheduler_open(struct scheduler **out, const struct scheduler_params *params,
                         struct kv_pool *pool, copy_page_fn *copy, void *copy_arg, pl_err *err);
void scheduler_close(struct scheduler *s);

/* Puts a sequence at the end of the line. seq.n_tokens becomes n_prompt. The owner has checked that
 * the pool has as many pages as max_tokens takes, so that it can be admitted at last. With
 * wants_every_logit nothing is shared: fork_of is ignored. */
void scheduler_add(struct scheduler *s, struct seq *seq);

/* Takes a sequence out, in whatever state, and gives its pages back. In a step that is in flight
 * its places become NULL. A sequence that was to fork from it goes on without sharing. */
void scheduler_remove(struct scheduler *s, struct seq *seq);

struct step {
    struct batch batch;             /* n_cols 0: nothing to do */
    struct seq *const *span_seq;    /* (n_spans) whose columns they are; NULL: removed since */
    struct seq *const *out_seq;     /* (n_outs) whose output it is; NULL: removed since */
    const uint32_t *out_pos;        /* (n_outs) its position; the last of what is known so far
                                     * except for wants_every_logit */
    struct seq *const *admitted;    /* (n_admitted) entered a slot just now */
    uint32_t n_admitted;
    uint32_t n_prefill_cols, n_decode_cols;
};

/* Plans the next step; with none in flight, admits before. One that has columns is in flight until
 * it is committed or abandoned, and valid until the plan after that; at most MAX_IN_FLIGHT are.
 * Copies pages (copy_page_fn) before it returns, and only with no other in flight. */
void scheduler_plan(struct scheduler *s, struct step *out);

/* With one step in flight, none of whose outputs is needed to plan the next: whether the next may
 * be planned already. Not where somebody could be admitted once it is done. */
bool scheduler_may_run_ahead(const struct scheduler *s);

/* The oldest step in flight was computed: advances the sequences and publishes full pages.
 * Afterwards the owner appends each sampled token (seq.token[seq.n_tokens++]) or removes the
 * sequence; a sequence in DECODE with no column in flight has exactly one token that is not
 * computed yet when the next step is planned, and fewer than max_tokens: the owner removes it when
 * it gets there. */
void scheduler_commit(struct scheduler *s);

/* A step failed: none in flight advances. The owner removes all of their span_seq, whose pages may
 * hold anything at the positions of the steps, before it plans the next. */
void scheduler_abandon(struct scheduler *s);

/* The sequence in a slot, or NULL. */
struct seq *scheduler_slot(const struct scheduler *s, uint32_t slot);
uint32_t scheduler_n_waiting(const struct scheduler *s);
uint32_t scheduler_n_running(const struct scheduler *s);

/* Bytes taken by scheduler_open, for the plan. */
uint64_t scheduler_bytes(const struct scheduler_params *params);

/* Checks the invariants; NULL, or what is wrong. */
const char *scheduler_audit(struct scheduler *s);

#endif
