/* Inside the Metal backend: its state and what its files share.
 *
 * Buffers by column have rows of ld_* elements, whole tiles of TILE_ROWS, and whole fragments of
 * 8 columns, so that a product reads and stores whole ones. What lies beyond the step's columns
 * is read and written, but no column ever depends on it: a column of a matrix product is its
 * own. */
#ifndef BACKEND_METAL_METAL_INTERNAL_H
#define BACKEND_METAL_METAL_INTERNAL_H

#include "backend/backend.h"
#include "backend/metal/device.h"
#include "backend/metal/fragment.h"
#include "backend/metal/op_args.h"
#include "backend/op_timing.h"
#include "backend/pack/pack_cache.h"
#include "base/thread_pool.h"

enum { METAL_SIMDGROUP = 32, METAL_STEPS = MAX_IN_FLIGHT };
_Static_assert((int)METAL_STEPS <= METAL_MAX_COMMITTED, "a step is a command buffer");

struct loaded;              /* what was loaded, newest first */

struct matrix {
    enum fragment_format format;
    uint32_t n_rows, n_k, n_tiles, n_chunks, tile_bytes;
    struct metal_buffer tiles;
    uint8_t *packed;                /* its bytes: the pack cache knows where this stands */
};

struct vector {
    struct metal_buffer values;     /* (n) f32 */
    uint32_t n;
};

struct rope {
    struct metal_buffer cos_sin;    /* (n_positions, d_head / 2, 2) f32 */
    uint32_t n_positions;
    bool interleaved;
};

/* KV of one page, one layer and one KV head: K's scales, K's codes, V's scales, V's codes, each
 * starting at a multiple of 16 bytes.
 *     K codes  [d_head][16 tokens]        V codes  [16 tokens][d_head]
 *     scales   q8_0: [d_head / 32][16 tokens] f16; f8_e4m3: [16 tokens] f32; none else
 * A value is its code times its scale, bounded to +-65504 with NaN as 0 before it is written. */
struct metal_kv {
    enum kv_type k_type, v_type;
    uint32_t v_at;                  /* bytes from K's scales to V's */
    uint32_t head_bytes;            /* of both */
    uint64_t page_bytes;            /* n_layers * n_kv_heads * head_bytes */
};

/* Compiled kernels; NULL: of a format that no loaded matrix has. */
struct metal_kernels {
    struct metal_pipeline *product[N_FRAGMENT_FORMATS][MAX_FRAGMENTS]; /* [n] for n + 1 fragments */
    struct metal_pipeline *few[N_FRAGMENT_FORMATS][FEW_COLUMNS];        /* [n] for n + 1 columns */
    struct metal_pipeline *tensor[N_FRAGMENT_FORMATS];  /* where has_tensors, instead of those */
    struct metal_pipeline *embed[N_FRAGMENT_FORMATS];
    struct metal_pipeline *norm, *norm_indexed, *add_norm, *largest, *finish_queries, *finish_kv;
};

struct metal_attention;             /* attention.h: its work list, partial results and kernels */
struct metal_experts;               /* experts.h: NULL where the model has none */
struct metal_sampling;              /* sampling.h */

/* A step from begin to finish. While the GPU computes one, the host records the other. */
struct metal_step {
    /* What the kernels read of the batch, copied by begin. */
    struct metal_buffer token;      /* (max_cols) */
    struct metal_buffer pos;        /* (max_cols) */
    struct metal_buffer col_page;   /* (max_cols) page that the column's token goes to */
    struct metal_buffer out_col;    /* (max_cols) */

    uint32_t n_outs;
    const struct pick *pick;        /* (n_outs), the caller's; NULL: all are picked by sample */
    sample_fn *sample;              /* NULL: no outputs are wanted */
    void *sample_arg;
    bool is_over;                   /* its last command buffer was waited for */
    bool has_failed;
    pl_err failure;                 /* of the first command buffer of it that failed */
};

struct metal_backend {
    struct backend base;
    struct backend_params params;
    struct metal_device *device;
    struct thread_pool *pool;       /* packs weights, samples */
    struct pack_cache *pack;        /* NULL: none */
    struct loaded *loaded;
    struct fragment_layout layout;  /* which elements of a fragment a lane holds, as probed */
    struct metal_buffer lanes;      /* (40, 4) uint8: of each lane row, k and k, unused; of each row
                                     * the lanes that hold it, by rising k */
    bool has_tensors;               /* products are by tensor operations */
    bool has_few;                   /* products of few columns give the same bits, as probed */
    struct metal_kernels kernel;

    struct metal_kv kv_layout;
    struct metal_buffer kv;         /* (n_pages, n_layers, n_kv_heads) of head_bytes */

    uint32_t n_col_rows;            /* max_cols in whole fragments */
    uint32_t ld_model, ld_q, ld_kv, ld_ff, ld_vocab;
    struct metal_buffer x, y;       /* (n_col_rows, ld_model) f32; y: before a post norm */
    struct metal_buffer h;          /* (n_col_rows, ld_model) f16 */
    struct metal_buffer q, k, v;    /* (n_col_rows, ld_q) and (n_col_rows, ld_kv) f32 */
    struct metal_buffer q_half;     /* (n_col_rows, ld_q) f16: queries as attention reads them */
    struct metal_buffer att;        /* (n_col_rows, ld_q) f16 */
    struct metal_buffer gate;       /* (n_col_rows, ld_ff) f32: gates, of ups of another format */
    struct metal_buffer act;        /* (n_col_rows, ld_ff) f16, scaled by ACT_SCALE */
    struct metal_buffer head_in;    /* (max_outs in whole fragments, ld_model) f16 */
    struct metal_buffer logit_rows; /* (max_outs in whole fragments, ld_vocab) f32 */
    struct metal_buffer largest;    /* (max_outs, n_logit_blocks) f32 */
    uint32_t n_logit_blocks;

    struct metal_attention *attention;
    struct metal_experts *experts;
    struct metal_sampling *sampling;

    struct batch batch;             /* being recorded */
    struct metal_step step[METAL_STEPS];
    uint32_t at;                    /* the step being recorded, or the last one that was */
    uint32_t n_started;             /* steps that are not finished: up to `at` */
    const struct vector *head_norm; /* logits, as recorded; recorded at the step's end, in turns */
    const struct matrix *head_weight;
    float head_eps;
    struct op_timings timings;
};

/* Memory that a part of the backend wants. One list serves planning and opening: what is planned is
 * what is taken. */
struct metal_wanted {
    const char *what;               /* for messages */
    uint64_t n_bytes;
    struct metal_buffer *to;
};

static inline uint64_t metal_wanted_bytes(const struct metal_wanted *list, uint32_t n)
{
    uint64_t n_bytes = 0;
    for (uint32_t i = 0; i < n; i++) n_bytes += list[i].n_bytes;
    return n_bytes;
}

static inline pl_status metal_take_all(struct metal_backend *b, const struct metal_wanted *list,
                                       uint32_t n, pl_err *err)
{
    pl_status st = PL_OK;
    for (uint32_t i = 0; i < n && !st; i++)
        st = metal_buffer_take(b->device, list[i].n_bytes, list[i].what, list[i].to, err);
    return st;
}

/* ACT is kept times this, so that the largest activations of any known model fit a half: what the
 * following product multiplies its sums by is the inverse. */
#define ACT_SCALE (1.0f / 32.0f)

/* Learns what of the matrix unit is undocumented: sets layout, lanes and has_few. After the buffers
 * were taken, before anything is loaded. */
pl_status metal_probe(struct metal_backend *b, pl_err *err);

/* out = scale * (in * matrix) for n_cols columns, by the epilogue asked for. */
struct product {
    const struct matrix *matrix, *gate;     /* gate: for EPILOGUE_GATED */
    const struct metal_buffer *in, *out;    /* out: f32, or f16 of the gated epilogues */
    const struct metal_buffer *gate_rows;   /* of EPILOGUE_TIMES_GATE, rows of ld_out */
    uint32_t ld_in, ld_out, n_cols, epilogue, activation;
    float scale;
};
void metal_product(struct metal_backend *b, const struct product *p);

/* Records a kernel over `n_groups` threadgroups of n_threads, its buffers bound from the start of
 * each. */
void metal_record(struct metal_backend *b, const struct metal_pipeline *pipeline,
                  const struct metal_buffer *const *buffer, uint32_t n_buffers, const void *args,
                  uint32_t args_bytes, uint32_t n_x, uint32_t n_y, uint32_t n_threads);

/* Ends an operation: what follows sees what it wrote. `name` is for timing. */
void metal_end_operation(struct metal_backend *b, const char *name);

/* Runs what was recorded, waits, and goes on recording: what the host wrote for it may change now.
 */
uint64_t metal_run_so_far(struct metal_backend *b);

static inline uint32_t whole(uint32_t n, uint32_t unit)
{
    return (n + unit - 1) / unit * unit;
}

/* The seam's operations, by file. */
void metal_begin_step(struct backend *b, const struct batch *batch);
void metal_embed(struct backend *b, const struct matrix *embedding, float scale);
void metal_norm(struct backend *b, const struct vector *weight, float eps);
void metal_copy_page(struct backend *b, uint32_t to, uint32_t from);
void metal_timing(struct backend *b, bool on);
uint32_t metal_timings(struct backend *b, const char **name, uint64_t *ns, uint32_t max);

void metal_logits(struct backend *b, const struct vector *norm, float eps,
                  const struct matrix *weight);
void metal_sample(struct backend *b, sample_fn *fn, void *arg);
pl_status metal_submit(struct backend *b, pl_err *err);
pl_status metal_start(struct backend *b, pl_err *err);
pl_status metal_finish(struct backend *b, const int32_t **picked, pl_err *err);

void metal_qkv(struct backend *b, uint32_t layer, const struct qkv_weights *w,
               const struct rope *rope, float q_scale, float eps);
void metal_attention_add(struct backend *b, const struct matrix *weight,
                         const struct vector *post_norm, float eps);
void metal_gate_up(struct backend *b, const struct matrix *gate, const struct matrix *up,
                   enum activation activation);
void metal_down_add(struct backend *b, const struct matrix *weight, const struct vector *post_norm,
                    float eps);

uint64_t metal_matrix_bytes(uint32_t type, uint32_t n_rows, uint32_t n_k);
pl_status metal_load_matrix(struct backend *b, const struct weight_view *view, struct matrix **out,
                            pl_err *err);
pl_status metal_load_vector(struct backend *b, const float *values, uint32_t n, struct vector **out,
                            pl_err *err);
pl_status metal_load_rope(struct backend *b, const float *cos_sin, uint32_t n_positions,
                          bool interleaved, struct rope **out, pl_err *err);
pl_status metal_load_done(struct backend *b, pl_err *err);
uint64_t metal_shared_bytes(const struct backend *b);
void metal_forget_loaded(struct metal_backend *b);      /* frees their records */

#endif
