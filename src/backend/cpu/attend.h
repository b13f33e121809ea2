/* Attention of one thread: jobs are cut into walks, which the kernels run.
 *
 * The columns of a job may belong to several streams whose first pages are the same ones, or to one
 * stream that reads a prompt. Those pages are walked in tiles that stay in the cache, all rows of
 * the job over one tile before the next (cascade attention: Juravsky et al., "Hydragen", 2024; Ye
 * et al., "FlashInfer", 2024), then each stream's own pages. Unlike there, nothing is merged: a row
 * carries its sums on in the order it would have alone, so the bytes are the same. */
#ifndef BACKEND_CPU_ATTEND_H
#define BACKEND_CPU_ATTEND_H

#include "backend/cpu/kernels.h"

enum { MAX_JOB_PARTS = 64, MAX_JOB_ROWS = 256 };

/* Neighbouring columns of one stream. */
struct attend_part {
    const uint32_t *page;       /* page table of the stream */
    uint32_t first_pos, n_cols; /* columns at positions first_pos .. first_pos + n_cols - 1 */
    const float *q;             /* q[col * ld + head * d_head + i], see attend_row */
    float *out;                 /* likewise */
};

/* Query heads of one KV head, for columns that share pages. */
struct attend_job {
    const struct kv_layout *layout;
    struct key_bias key_bias;   /* as in attend_walk, and so what follows */
    const uint8_t *kv;
    size_t page_stride, ld;
    uint32_t window;
    float score_cap;
    const float *sinks;         /* (n_heads) in units of log e; NULL: none */
    uint32_t n_heads;           /* query heads */
    uint32_t n_shared;          /* first entries of all page tables that are equal and that all
                                 * columns see but for the window; even */
    uint32_t n_parts;           /* 1 .. MAX_JOB_PARTS; columns times heads: 1 .. MAX_JOB_ROWS */
    struct attend_part part[MAX_JOB_PARTS];
};

/* A thread's attention: begin, jobs, end. One walk is held back until its successor is known. */
struct attend_runner {
    const struct cpu_kernels *k;
    struct attend_state *state; /* (MAX_JOB_ROWS) */
    struct attend_walk walk[2];
    uint32_t n_walks;
};

static inline struct attend_runner attend_begin(const struct cpu_kernels *k,
                                                struct attend_state *state)
{
    return (struct attend_runner){ .k = k, .state = state };
}

void attend_run(struct attend_runner *a, const struct attend_job *job);
void attend_end(struct attend_runner *a);

#endif
