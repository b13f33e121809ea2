/* Inside the CUDA backend's host side: its state and what its files share. All of this is plain C;
 * the GPU is reached through the table of plugin.h.
 *
 * Buffers named x, q, ... are the device's: rows of columns without gaps, or, where products read
 * them, columns of f16 as tiles.h has them. */
#ifndef BACKEND_CUDA_CUDA_INTERNAL_H
#define BACKEND_CUDA_CUDA_INTERNAL_H

#include "backend/backend.h"
#include "backend/cuda/plugin.h"
#include "backend/kv_places.h"
#include "backend/op_timing.h"
#include "base/thread_pool.h"
#include "base/workspace.h"

struct cuda_loaded;             /* what was loaded, newest first */

struct matrix {
    enum tile_format format;
    uint32_t n_rows, n_k, n_blocks, block_rows;
    uint8_t *tiles;             /* the device's */
};

struct vector {
    float *values;              /* (n) the device's */
    float *host;                /* (n) the same for the host, which norms hidden rows */
    uint32_t n;
};

struct rope {
    float *cos_sin;             /* (n_positions, n_rot / 2, 2) the device's */
    uint32_t n_rot;
    bool is_interleaved;
};

/* What a step tells the kernels of its batch: the host's copy and the device's, (max_cols) each, in
 * one block of memory. */
struct cuda_lists {
    int32_t *token;
    uint32_t *pos, *row_col;    /* row_col: columns of the outputs' rows */
    struct col_group *group;
    uint32_t *col_page[MAX_KV_GROUPS];  /* page that the column's token goes to */
    uint32_t *pages[MAX_KV_GROUPS];     /* page tables of the step's spans, in a row */
};

enum { CUDA_STEPS = MAX_IN_FLIGHT };
_Static_assert(CUDA_STEPS == 2, "the one that is not `at` is the step before it");

/* Of the host, where the GPU reads and writes them. */
struct sampling_step {
    struct row_pick *pick;          /* (max_outs), as all */
    struct row_touch *touch;        /* (max_touched + 1) each */
    int32_t *token;
    struct row_probs *probs;
};

struct cuda_sampling {              /* sampling.h */
    struct sampling_step step[CUDA_STEPS];
    float *block_sum;               /* (max_outs, n_logit_blocks) the device's */
};

/* A step from begin to finish. While the GPU computes one, the host records the other. */
struct cuda_step {
    struct cuda_lists lists, host_lists;
    uint32_t n_groups;              /* of lists.group */
    struct batch batch;             /* of the caller's arrays: outputs and picks alone */
    sample_fn *sample;              /* NULL: no outputs are wanted */
    void *sample_arg;
};

struct cuda_backend {
    struct backend base;
    struct backend_params params;
    const struct cuda_plugin *api;
    struct cuda_device *device;
    struct cuda_facts facts;
    struct thread_pool *pool;       /* packs weights, samples */
    struct cuda_loaded *loaded;
    uint8_t *slab;                  /* device memory that weights are given from */
    uint64_t slab_left;
    uint8_t *staging;               /* (2, STAGING_BYTES) of the host: weights on their way */

    struct kv_places places;        /* of a layer of a page: as kv_args has it */
    uint8_t *kv;
    uint32_t ld_model, ld_q, ld_ff; /* of columns of f16: whole tiles */
    float *x, *y;                   /* (max_cols, d_model) y: before a post norm */
    float *q, *k, *v;               /* (max_cols, n_heads * d_head), (max_cols, n_kv_heads *
                                     * d_head) */
    float *gate, *up;               /* (max_cols, d_ff) */
    uint16_t *h, *att, *act, *head_in;  /* columns of f16: ld_model, ld_q, ld_ff, ld_model */
    uint16_t *q_half;               /* (max_cols, n_heads * d_head) */
    float *product_partial;         /* of products and of attention: op_args.h */
    uint32_t *product_flag;
    float *attend_partial;
    uint32_t *attend_done;
    float *logit_rows, *largest;    /* (max_outs, n_vocab), (max_outs, n_logit_blocks) */
    uint32_t n_logit_blocks;
    float *host_logits, *host_largest, *host_x;     /* the host's; x: (max_cols, d_model) */

    struct cuda_sampling sampling;
    struct batch batch;             /* being recorded */
    struct cuda_step step[CUDA_STEPS];
    uint32_t at;                    /* the step being recorded, or the last one that was */
    uint32_t n_started;             /* steps that are not finished: up to `at` */
    const struct head_params *head; /* logits, as recorded; run at the step's end, in turns */
    const struct matrix *head_weight;
    struct op_timings timings;
    struct cuda_recorder *recorder; /* recorder.c */
    uint32_t n_marks;               /* of the operations since the last wait, where timed */
    const char *mark_name[CUDA_MARKS];
};

enum {
    STAGING_BYTES = 32 << 20,
    ATTEND_PLACES = 16384,           /* parts of a sum that one pass of attention has room for */
    CUDA_TIMED_MARKS = CUDA_MARKS - 4,  /* behind them: */
    STAGING_MARK = CUDA_TIMED_MARKS,    /* one of each half of the staging */
    STEP_MARK = STAGING_MARK + 2,       /* one of each step */
};

/* ACT is kept times this, so that the largest activations of any known model fit a half: the
 * product that follows multiplies its sums by the inverse. */
#define ACT_SCALE (1.0f / 32.0f)
#define LOG2_E 1.44269504089f       /* softmax runs in base 2 */

/* ---- recording (recorder.c) ----------------------------------------------------------------- */

/* What is launched waits in a queue until it is flushed, for a queue that is known runs at once, as
 * a graph. args: the kernel's, by CUDA_KERNELS. */
void cuda_launch(struct cuda_backend *b, enum cuda_kernel kernel, const void *args,
                 size_t n_bytes);
void cuda_flush(struct cuda_backend *b);

pl_status cuda_recorder_open(struct cuda_backend *b, pl_err *err);
void cuda_recorder_close(struct cuda_backend *b);

/* What was launched since the last call was an operation of this name. */
void cuda_end_operation(struct cuda_backend *b, const char *name);

/* Until all is done that was launched. */
pl_status cuda_wait(struct cuda_backend *b, pl_err *err);

/* Until the step of this index is, which was started. */
pl_status cuda_wait_step(struct cuda_backend *b, uint32_t step, pl_err *err);

void cuda_timing(struct backend *b, bool on);
uint32_t cuda_timings(struct backend *b, const char **name, uint64_t *ns, uint32_t max);

/* ---- the seam's operations, by file --------------------------------------------------------- */

uint64_t cuda_matrix_bytes(uint32_t type, uint32_t n_rows, uint32_t n_k);
pl_status cuda_load_matrix(struct backend *b, const struct weight_view *view, struct matrix **out,
                           pl_err *err);
pl_status cuda_load_vector(struct backend *b, const float *values, uint32_t n, struct vector **out,
                           pl_err *err);
pl_status cuda_load_rope(struct backend *b, const struct rope_view *view, struct rope **out,
                         pl_err *err);
pl_status cuda_load_done(struct backend *b, pl_err *err);
void cuda_forget_loaded(struct cuda_backend *b);        /* frees their records */

void cuda_begin_step(struct backend *b, const struct batch *batch);
void cuda_embed(struct backend *b, const struct matrix *embedding, float scale);
void cuda_put_x(struct backend *b, const float *rows);
void cuda_take_x(struct backend *b, float *rows);
void cuda_norm(struct backend *b, const struct norm *norm);
void cuda_copy_page(struct backend *b, uint32_t kv_group, uint32_t to, uint32_t from);

void cuda_qkv(struct backend *b, const struct qkv_weights *w, const struct attention_params *a);
void cuda_attend(struct backend *b, const struct qkv_weights *w, const struct attention_params *a);
void cuda_attention_add(struct backend *b, const struct linear *w, const struct residual *r);
void cuda_gate_up(struct backend *b, const struct linear *gate, const struct linear *up,
                  const struct ffn_params *p);
void cuda_down_add(struct backend *b, const struct linear *w, const struct residual *r);
/* out = scale * (w in), for n_cols columns (products.c). */
void cuda_product_of(struct cuda_backend *b, const struct matrix *m, const uint16_t *in,
                     uint32_t n_cols, float scale, float *out);

void cuda_logits(struct backend *b, const struct head_params *p, const struct matrix *weight);
void cuda_sample(struct backend *b, sample_fn *fn, void *arg);
pl_status cuda_submit(struct backend *b, pl_err *err);
pl_status cuda_start(struct backend *b, pl_err *err);
pl_status cuda_finish(struct backend *b, struct picked *picked, pl_err *err);

#endif
