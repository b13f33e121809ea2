/* Shared by scheduler*.c alone: the lines of sequences, and the arrays of the step. */
#ifndef ENGINE_SCHEDULER_INTERNAL_H
#define ENGINE_SCHEDULER_INTERNAL_H

#include "engine/scheduler.h"

/* In order of arrival. */
struct seq_list {
    struct seq *first, *last;
    uint32_t n;
};

struct scheduler {
    struct scheduler_params params;
    struct kv_pool *pool;
    copy_page_fn *copy;
    void *copy_arg;

    struct seq_list waiting, running;
    struct seq **slot;          /* (n_slots) NULL: free */

    bool is_planned;            /* between plan and commit */
    uint32_t n_cols, n_spans, n_outs, n_admitted;
    int32_t *token;             /* (step_tokens) and so the next four */
    uint32_t *pos;
    uint32_t *out_col, *out_pos;
    struct seq **out_seq;
    struct span *span;          /* (n_slots) and so the next two */
    struct seq **span_seq;
    struct seq **admitted;
};

static inline uint32_t pages_of(uint32_t n_tokens)
{
    return n_tokens / PAGE_TOKENS + (n_tokens % PAGE_TOKENS != 0);
}

void seq_list_append(struct seq_list *list, struct seq *q);
void seq_list_remove(struct seq_list *list, struct seq *q);

/* Moves sequences from the head of the line into free slots, as long as the head's memory can be
 * had. */
void scheduler_admit(struct scheduler *s);

/* Gives back the pages and the reservation of a sequence. */
void scheduler_give_back(struct scheduler *s, struct seq *q);

/* Enters the pages that are full now into the index. */
void scheduler_publish(struct scheduler *s, struct seq *q);

#endif
