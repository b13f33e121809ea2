/* Shared by scheduler*.c alone: the lines of sequences, and the arrays of the step. */
#ifndef ENGINE_SCHEDULER_INTERNAL_H
#define ENGINE_SCHEDULER_INTERNAL_H

#include "engine/scheduler.h"

/* In order of arrival. */
struct seq_list {
    struct seq *first, *last;
    uint32_t n;
};

/* A step from its plan to its commit. */
struct planned {
    uint32_t n_cols, n_spans, n_outs, n_admitted;
    int32_t *token;             /* (step_tokens) and so the next four */
    uint32_t *pos;
    uint32_t *out_col, *out_pos;
    struct seq **out_seq;
    struct span *span;          /* (n_slots) and so the next two */
    struct seq **span_seq;
    struct seq **admitted;
};

struct scheduler {
    struct scheduler_params params;
    struct kv_pool *pool;
    copy_page_fn *copy;
    void *copy_arg;

    struct seq_list waiting, running;
    struct seq **slot;          /* (n_slots) NULL: free */

    bool is_short_of_pages;     /* the head of the line found no memory, and none was freed since */
    uint32_t oldest, n_in_flight;
    struct planned step[MAX_IN_FLIGHT];     /* a ring: in flight from `oldest` on */
};

/* The i-th step in flight, the oldest first; i = n_in_flight: the next. */
static inline struct planned *planned_at(struct scheduler *s, uint32_t i)
{
    return &s->step[(s->oldest + i) % MAX_IN_FLIGHT];
}

static inline uint32_t pages_of(uint32_t n_tokens)
{
    return n_tokens / PAGE_TOKENS + (n_tokens % PAGE_TOKENS != 0);
}

void seq_list_append(struct seq_list *list, struct seq *q);
void seq_list_remove(struct seq_list *list, struct seq *q);

/* Moves sequences from the head of the line into free slots, as long as the head's memory can be
 * had, and names them in the step. */
void scheduler_admit(struct scheduler *s, struct planned *step);

/* Gives back the pages and the reservation of a sequence. */
void scheduler_give_back(struct scheduler *s, struct seq *q);

/* Enters the pages that are full now into the index. */
void scheduler_publish(struct scheduler *s, struct seq *q);

#endif
