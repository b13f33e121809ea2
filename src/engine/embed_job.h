/* Where the hidden rows of a stream go, and what they are pooled to.
 *
 * The mean is summed in double, in the order of positions, row by row, however the rows were cut
 * into steps: so it is the same bits whoever else was in them.
 *
 * Threads: rows of one job come one after another, from any of the backend's threads; what came of
 * them is read after the stream's end. Memory is shared between whoever asked for the embedding and
 * the streams that write into it, which the engine may still be at when they were closed: the last
 * of these holders frees it. */
#ifndef ENGINE_EMBED_JOB_H
#define ENGINE_EMBED_JOB_H

#include <stdatomic.h>

#include "backend/backend.h"

struct embed_memory {
    _Atomic uint32_t n_holders;     /* the last one to let go has acquired what others released */
    float *row;                     /* of all texts */
    double *sum;                    /* (n_jobs, d_model) of the mean; NULL: another pooling */
    struct embed_job *job;          /* (n_jobs) */
};

struct embed_job {
    struct embed_memory *memory;
    pl_pooling pooling;             /* NONE, MEAN or LAST */
    uint32_t d_model, n_prompt;
    float *out;                     /* NONE: (n_prompt, d_model); else (d_model) */
    double *sum;                    /* (d_model) zeros to begin with; of the mean alone */
    uint32_t n_summed;              /* positions: one that is computed again is not summed again */
};

/* Of an output: rows of positions from pos on. */
void embed_job_take(struct embed_job *job, uint32_t pos, const struct logit_rows *rows,
                    uint32_t n_rows);

/* For the caller, its only holder. NULL: no memory. */
struct embed_memory *embed_memory_take(size_t n_floats, uint32_t n_jobs, size_t n_sums);
void embed_memory_hold(struct embed_memory *m);
void embed_memory_let_go(struct embed_memory *m);

#endif
