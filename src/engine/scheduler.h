/* Which columns make up the next step. It may be composed while the step before is being computed;
 * then nobody is admitted, and a column's token may be what that step will pick.
 *
 *   WAITING --admit--> PREFILL --prompt computed--> DECODE --remove--> GONE
 *      |                 ^  |                        |                  ^
 *      |          resume |  |                        |                  |
 *      |                PAUSED <---- pages run short-+                  |
 *      +-------------------+---------------------- remove --------------+
 *
 * A sequence is admitted when a slot is free and the pages that its prompt needs now (less what the
 * prefix index or its fork source already holds) and some to grow are there. It takes pages as it
 * grows; when they run short, some are paused, and go on later as if nothing had been. A fork can
 * start once its source's prompt is computed. A step holds one column of every sequence that
 * decodes and, up to the budget, columns of those that prefill: prompts, and what was lost of
 * paused ones.
 *
 * I1  at most n_slots sequences are admitted, each in its own slot, paused ones included
 * I2  every sequence in DECODE that is not stalled has exactly one column in every step
 *     (prefill_first: not while an admitted sequence prefills)
 * I3  a step has at most step_tokens columns; while others decode, at most prefill_tokens of them
 *     are prompt columns (at least 1, so that prompts always advance), and what fills the last
 *     column_unit
 * I4  a page is written only by a sequence that holds it alone and that is not in the index; a step
 *     that is in flight may still write the page of a sequence that was removed, and so only a
 *     later step may write or read it then: steps are computed in their order
 * I5  pages reserved and held are given back when the sequence is removed or paused
 * I6  what is in the index was computed by steps that were committed; no content is in two pages
 *     of it, and of a prompt n_cached and the columns computed for it for the first time are
 *     n_prompt together
 * I7  a slot's page tables are what its spans' new pages, step after step, make of them, but for
 *     entries that became NO_PAGE
 * I9  a sequence holds three states at most, and there are as many for every slot
 *     (scheduler_n_states): nobody waits for one. What a state is read from is not written before
 *     a later step
 * I8  of a KV group with a window a sequence holds the pages that its next columns see, and gives
 *     the others back before the next step. The group has pages for that, whatever else is asked
 *     for (scheduler_window_pages): nothing of it is reserved, nobody waits for it
 *
 * Memory:
 * M1  a sequence starts (is admitted, or resumes) when there are pages for the tokens that it has,
 *     and beside them growth_pages for itself and for each that runs, or what these may still come
 *     to. So nobody is paused for want of pages in the growth_pages * PAGE_TOKENS steps after
 *     somebody started: nobody is moved in and out
 * M2  when there are fewer pages than the next columns want, the last by rank of those that run is
 *     paused, and the next; those whose readers are slow before all others, and for the first of
 *     the line, too. So the first by rank always goes on: max_tokens fit into the pool
 * M3  who is paused keeps its slot and gives back everything else. It resumes from what the index
 *     still has of it, and computes the rest again: the same columns, so the same bytes. Nothing is
 *     wanted of positions before n_reached: it was told already
 * With a step in flight nobody is paused, and none is composed on top that would have to.
 *
 * The line, of those who wait and those who are paused:
 * L1  who can start does, in order of rank. The head of the line is the first that cannot for want
 *     of pages; those behind it may pass it under L2 or L3, whatever it waits for
 * L2  a later one passes freely as long as all that passed so and still run, and the head itself,
 *     could have all their pages at once: the head has them at the latest when those that ran
 *     before are done
 * L3  others pass as long as their max_tokens together are at most the head's own
 *     So a head starts when all that ran when it got there and those of L3 have ended or are paused
 *     and, should the slots be full of those of L2 then, one of these: nobody starves, as ranks do
 *     not change.
 *
 * Prompts:
 * P1  the oldest prompt, by order of admission, is read with all that the others do not take
 * P2  the others take a third of the budget (whole pages of it, where it has any) and what the
 *     oldest cannot use, the one with the least left first. So a short prompt is read in
 *     a few steps, and a long one takes at most half as long again as it would alone
 * P3  each looks in the index before its turn, and again before every chunk: what another computed
 *     meanwhile is taken. It is held back while its next page is computed by a step in flight, or
 *     by another prompt in this one which gets as many columns as it would, or ends. Who holds
 *     others back has columns itself, so somebody advances always. Where streams have states, it is
 *     held back while one that was admitted before reads the same beginning: pages alone are of no
 *     use, and what that one remembers is kept where the two part
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
#include "engine/seq.h"

/* M1: seconds of a reply, so that whoever starts does not pay more for moving than it gains. */
enum { SCHEDULER_GROWTH_PAGES = 4 };

struct scheduler_params {
    uint32_t n_slots;
    uint32_t step_tokens, prefill_tokens;
    uint32_t column_unit;       /* of the backend; 0: 1 */
    uint32_t score_tokens;      /* most columns of a step for all of wants_every_logit; 0: no limit.
                                 * So a step has fewer than n_slots + score_tokens rows */
    struct kv_groups kv;        /* n 0: only group 0, whose pages the pool counts */
    uint32_t chunk_pages;       /* of the backend; 0: 1 */
    uint32_t growth_pages;      /* M1; 0: SCHEDULER_GROWTH_PAGES */
    bool prefill_first, no_prefix_cache;
};

/* Called when a shared page of a KV group must be copied before it is written: page `to` = page
 * `from`. */
typedef void copy_page_fn(void *arg, uint32_t kv_group, uint32_t to, uint32_t from);

/* States that there must be room for (I9). */
uint32_t scheduler_n_states(const struct scheduler_params *params);

/* Pages that a KV group of this window wants (I8). */
uint32_t scheduler_window_pages(const struct scheduler_params *params, uint32_t window);

struct scheduler;

/* step_tokens must be at least n_slots and prefill_tokens at least 1: I2 and I3 at once. pool: one
 * for each KV group; states: of states; NULL where streams have none. Where they have, there is one
 * KV group. The scheduler is their only user. */
pl_status scheduler_open(struct scheduler **out, const struct scheduler_params *params,
                         struct kv_pool *const *pool, struct kv_pool *states, copy_page_fn *copy,
                         void *copy_arg, pl_err *err);
void scheduler_close(struct scheduler *s);

/* Puts a sequence into the line. seq.n_tokens becomes n_prompt. Its fork_of goes before it by rank.
 * The owner has checked that the pool of group 0 has as many pages as max_tokens takes, so that it
 * can be admitted at last.
 * Who wants every column shares nothing: fork_of is ignored. One with `hidden` is to be removed
 * once its prompt is computed; no step may be composed on top of one that has an output of it. */
void scheduler_add(struct scheduler *s, struct seq *seq);

/* Takes a sequence out, in whatever state, and gives its pages back. In a step that is in flight
 * its places become NULL. A sequence that was to fork from it goes on without sharing. */
void scheduler_remove(struct scheduler *s, struct seq *seq);

/* Whether a sequence's reader is slow. Between steps. */
void scheduler_stall(struct scheduler *s, struct seq *seq, bool is_stalled);

/* A step, from when it is composed to its commit: an entry of the scheduler's ring. */
struct step {
    struct batch batch;             /* n_cols 0: nothing to do. One output at most of each span */
    struct seq **span_seq;          /* (n_spans) whose columns they are; NULL: removed since */
    struct seq **admitted;          /* (n_admitted) entered a slot just now */
    uint32_t n_admitted;
    uint32_t n_paused;              /* were paused before it */
    uint32_t n_cached_tokens;       /* of prompts: found in the index or shared just now */
    uint32_t n_prefill_cols, n_decode_cols;
    uint32_t n_prompt_cols;         /* of the former: of prompts, for the first time */
    uint32_t n_recomputed_cols;     /* and what paused ones had computed before */

    /* Room for the owner, while the step is in flight. */
    struct pick *pick;              /* (n_rows) */
    bool is_all_picked;             /* by the backend: the next step may be composed on top of it */
    uint64_t begin_ns;
    double work;                    /* step_watch_work */

    /* The scheduler's: what the batch points to. */
    int32_t *token;                 /* (step_tokens) and so the next */
    uint32_t *pos;
    struct span *span;              /* (n_slots) and so the next */
    struct output *output;
    struct claim *claim;            /* (scheduler_max_claims) */
    uint32_t n_claims;
};

/* Whose output it is; NULL: removed since. */
static inline struct seq *step_seq(const struct step *s, uint32_t output)
{
    return s->span_seq[s->batch.output[output].span];
}

/* Composes the next step; with none in flight, admits before. One that has columns is in flight
 * until it is committed or abandoned, and valid until the next is composed; at most MAX_IN_FLIGHT
 * are. Copies pages (copy_page_fn) before it returns, and only with no other in flight. */
struct step *scheduler_compose(struct scheduler *s);

/* Steps in flight, and the i-th of them, the oldest first. */
uint32_t scheduler_n_in_flight(const struct scheduler *s);
struct step *scheduler_step(struct scheduler *s, uint32_t i);

/* With one step in flight, none of whose outputs is needed to compose the next: whether the next
 * may be composed already. Not where somebody could be admitted once it is done. */
bool scheduler_may_run_ahead(const struct scheduler *s);

/* The oldest step in flight was computed: advances the sequences and enters full pages into the
 * index.
 * Afterwards the owner appends each sampled token (seq.token[seq.n_tokens++]) or removes the
 * sequence; a sequence in DECODE with no column in flight has exactly one token that is not
 * computed yet when the next step is composed, and fewer than max_tokens: the owner removes it when
 * it gets there. */
void scheduler_commit(struct scheduler *s);

/* A step failed: none in flight advances. The owner removes all of their span_seq, whose pages may
 * hold anything at the positions of the steps, before it composes the next. */
void scheduler_abandon(struct scheduler *s);

/* The sequence in a slot, or NULL. */
struct seq *scheduler_slot(const struct scheduler *s, uint32_t slot);
uint32_t scheduler_n_waiting(const struct scheduler *s);    /* for a slot */
uint32_t scheduler_n_running(const struct scheduler *s);    /* in slots */
uint32_t scheduler_n_paused(const struct scheduler *s);     /* of these */

/* Bytes taken by scheduler_open, for the plan. */
uint64_t scheduler_bytes(const struct scheduler_params *params);

/* Checks the invariants; NULL, or what is wrong. */
const char *scheduler_audit(struct scheduler *s);

#endif
