#include "engine/embed_job.h"

#include <stdlib.h>
#include <string.h>

static void add_to_mean(struct embed_job *job, const float *row)
{
    for (uint32_t i = 0; i < job->d_model; i++) job->sum[i] += (double)row[i];
    if (++job->n_summed < job->n_prompt) return;
    for (uint32_t i = 0; i < job->d_model; i++) job->out[i] = (float)(job->sum[i] / job->n_prompt);
}

void embed_job_take(struct embed_job *job, uint32_t pos, const struct logit_rows *rows,
                    uint32_t n_rows)
{
    for (uint32_t i = 0; i < n_rows; i++, pos++) {
        const float *row = rows->hidden + i * rows->ld_hidden;
        const size_t at = job->pooling == PL_POOLING_NONE ? (size_t)pos * job->d_model : 0;
        if (job->pooling != PL_POOLING_MEAN)
            memcpy(job->out + at, row, job->d_model * sizeof *row);
        else if (pos == job->n_summed)
            add_to_mean(job, row);
    }
}

static void free_memory(struct embed_memory *m)
{
    free(m->row);
    free(m->sum);
    free(m->job);
    free(m);
}

struct embed_memory *embed_memory_take(size_t n_floats, uint32_t n_jobs, size_t n_sums)
{
    struct embed_memory *m = calloc(1, sizeof *m);
    if (!m) return NULL;
    atomic_init(&m->n_holders, 1);
    m->row = calloc(n_floats, sizeof *m->row);
    m->job = calloc(n_jobs, sizeof *m->job);
    m->sum = n_sums ? calloc(n_sums, sizeof *m->sum) : NULL;
    if (m->row && m->job && (m->sum || !n_sums)) return m;
    free_memory(m);
    return NULL;
}

void embed_memory_hold(struct embed_memory *m)
{
    atomic_fetch_add_explicit(&m->n_holders, 1, memory_order_relaxed);
}

void embed_memory_let_go(struct embed_memory *m)
{
    if (atomic_fetch_sub_explicit(&m->n_holders, 1, memory_order_acq_rel) == 1) free_memory(m);
}
