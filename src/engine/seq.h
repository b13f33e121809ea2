/* A stream as the scheduler sees it, and lists of such. Engine thread only. */
#ifndef ENGINE_SEQ_H
#define ENGINE_SEQ_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/prefix_index.h"

enum seq_state { SEQ_NONE, SEQ_WAITING, SEQ_PREFILL, SEQ_DECODE, SEQ_PAUSED, SEQ_GONE };

/* Which hidden rows of its prompt a sequence is there for. */
enum seq_hidden { HIDDEN_NONE, HIDDEN_LAST, HIDDEN_EVERY };

/* Embedded in the stream. The first part is filled in before
 * scheduler_add, the second is the scheduler's. */
struct seq {
    uint64_t id;
    int64_t rank;               /* whose turn it is: the smaller one's; of equal ones the smaller
                                 * id's */
    int32_t *token;             /* (max_tokens) the prompt, then the reply */
    uint32_t n_prompt;
    uint32_t max_tokens;        /* of prompt and reply together */
    uint32_t *page[MAX_KV_GROUPS];      /* (pages of max_tokens) page table of each KV group,
                                 * storage of the owner */
    struct seq *fork_of;        /* same prompt: waits until that prompt is computed, then shares it;
                                 * NULL, or a sequence not yet removed */
    bool wants_every_logit;     /* score: every prompt column is an output */
    enum seq_hidden hidden;     /* embedding: no logits are wanted, but these */
    bool computes_prompt;       /* all of it: takes nothing from the prefix index. Who wants every
                                 * column does: of what lies in pages there are no rows */
    bool is_stalled;            /* changed by scheduler_stall between steps: keeps its slot but,
                                 * once it decodes, takes no column (its reader is slow) */

    enum seq_state state;
    uint32_t slot;
    uint32_t n_tokens;          /* prompt, and the reply so far */
    uint32_t n_prefill;         /* tokens that are read before it decodes: the prompt, and of one
                                 * that was paused what it had of its reply, too */
    uint32_t n_reached;         /* positions that it had before it was paused: what is computed of
                                 * them is computed again, and nothing is wanted of it */
    uint32_t n_computed;        /* positions whose KV is in pages */
    uint32_t n_issued;          /* and of the steps in flight */
    uint32_t row;               /* its last output's, of the last step that had one */
    uint32_t n_cached;          /* of the prompt, found in the index or shared by the fork source;
                                 * grows until the prompt is computed */
    uint32_t n_pages, n_reserved; /* together those of n_prefill, until that is computed; then at
                                 * most one is reserved */
    uint32_t first_page[MAX_KV_GROUPS];     /* of the n_pages, those before it are given back: their
                                 * entries are NO_PAGE */
    uint32_t own_state;         /* where what it remembers after n_issued positions is; NO_STATE:
                                 * nothing yet */
    uint32_t kept, kept_pages;  /* what it remembered after so many pages, until the step is
                                 * committed; NO_STATE */
    uint32_t entered, entered_pages;    /* likewise, the last that is in the index; NO_STATE */
    const struct seq *follows;  /* reads n_followed pages of the same beginning and will keep its
                                 * state there: this one waits for it. NULL */
    uint32_t n_followed;
    uint32_t n_told_pages;      /* the first of its pages, which its last step had as they are */
    uint32_t n_indexed;         /* full pages entered into the index or found there */
    struct prefix_key key;      /* of the last of those */
    bool is_unindexable;        /* the next page's hash was taken: it and its successors stay out */
    struct prefix_key ahead_key; /* of page n_ahead - 1: columns in flight included */
    uint32_t n_ahead;
    uint64_t seen_at;           /* number of the last step that looked at its prompt */

    bool has_looked;            /* in the line: the index was asked. n_found pages of it were */
    uint32_t n_found;           /* there; then `missing` was not (or n_found is all) */
    struct prefix_key missing;
    uint32_t n_passed_tokens;   /* L3: max_tokens of those that passed it, as head */
    const struct seq *passed;   /* L2: the head that it passed, while that one waits */
    struct seq *next, *previous;
};

struct seq_list {
    struct seq *first, *last;
    uint32_t n;
};

static inline bool seq_wants_every_column(const struct seq *q)
{
    return q->wants_every_logit || q->hidden == HIDDEN_EVERY;
}

static inline bool seq_goes_before(const struct seq *a, const struct seq *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->id < b->id;
}

void seq_list_append(struct seq_list *list, struct seq *q);

/* In a list in order of rank: behind its equals. */
void seq_list_insert(struct seq_list *list, struct seq *q);
void seq_list_remove(struct seq_list *list, struct seq *q);

#endif
