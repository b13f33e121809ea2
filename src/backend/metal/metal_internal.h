/* Inside the Metal backend: its state and what its files share.
 *
 * Buffers by column have rows of ld_* elements, whole tiles of TILE_ROWS, and whole fragments of
 * 8 columns, so that a product reads and stores whole ones. What lies beyond the step's columns
 * is read and written, but no column ever depends on it: a column of a matrix product is its
 * own. */
#ifndef BACKEND_METAL_METAL_INTERNAL_H
#define BACKEND_METAL_METAL_INTERNAL_H

#include "backend/backend.h"
#include "backend/kv_places.h"
#include "backend/metal/device.h"
#include "backend/metal/fragment.h"
#include "backend/metal/op_args.h"
#include "backend/op_timing.h"
#include "backend/pack/pack_cache.h"
#include "base/thread_pool.h"
#include "base/workspace.h"

enum { METAL_MAX_D_HEAD = 512 };    /* as in vectors.metal */
enum { METAL_SIMDGROUP = 32, METAL_STEPS = MAX_IN_FLIGHT };
_Static_assert((int)METAL_STEPS <= METAL_MAX_COMMITTED, "a step is a command buffer");
_Static_assert(METAL_STEPS == 2, "the one that is not `at` is the step before it");

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
    struct metal_buffer cos_sin;    /* (n_positions, n_rot / 2, 2) f32 */
    uint32_t n_rot;
    bool is_interleaved;
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
};

/* Compiled kernels; NULL: of a format that no loaded matrix has. */
struct metal_kernels {
    struct metal_pipeline *product[N_FRAGMENT_FORMATS][MAX_FRAGMENTS]; /* [n] for n + 1 fragments */
    struct metal_pipeline *few[N_FRAGMENT_FORMATS][FEW_COLUMNS];        /* [n] for n + 1 columns */
    struct metal_pipeline *tensor[N_FRAGMENT_FORMATS];  /* where has_tensors, instead of those */
    struct metal_pipeline *embed[N_FRAGMENT_FORMATS];
    struct metal_pipeline *norm, *norm_indexed, *add_norm, *norm_rows, *add_bias, *gate_rows,
        *largest, *finish_queries, *finish_kv, *add_rows, *scale_rows,
        *shrink_rows, *layer_inputs, *gate_input, *copy_track, *shrink_track, *match_track,
        *predict_tracks, *correct_tracks, *join_tracks, *hold_rows, *cut_gates;
};

struct metal_attention;             /* attention.h: its work list, partial results and kernels */
struct metal_experts;               /* experts.h: NULL where the model has none */
struct metal_sampling;              /* sampling.h */

/* A step from begin to finish. While the GPU computes one, the host records the other. */
struct metal_step {
    /* What the kernels read of the batch, copied by begin. */
    struct metal_buffer token;      /* (max_cols) */
    struct metal_buffer pos;        /* (max_cols) */
    struct metal_buffer col_page[MAX_KV_GROUPS];    /* (max_cols) page that the column's token goes
                                     * to */
    struct metal_buffer row_col;    /* (max_cols): columns of the outputs' rows */

    struct batch batch;             /* of the caller's arrays: outputs and picks alone */
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

    struct metal_kv kv_layout[2];   /* [1]: of layers with other heads */
    struct kv_places places;        /* of a layer of a page: (n_kv_heads) of head_bytes */
    struct metal_buffer kv;

    uint32_t n_col_rows;            /* max_cols in whole fragments */
    uint32_t ld_model, ld_q, ld_kv, ld_ff, ld_vocab, ld_in, ld_low;
    struct metal_buffer x, y;       /* (n_col_rows, ld_model) f32; y: before a post norm */
    struct metal_buffer h;          /* (n_col_rows, ld_model) f16 */
    struct metal_buffer q, k, v;    /* (n_col_rows, ld_q) and (n_col_rows, ld_kv) f32 */
    struct metal_buffer q_half;     /* (n_col_rows, ld_q) f16: queries as attention reads them */
    struct metal_buffer att;        /* (n_col_rows, ld_q) f16 */
    struct metal_buffer gate;       /* (n_col_rows, ld_ff) f32: gates, of ups of another format */
    struct metal_buffer up;         /* (n_col_rows, ld_ff) f32: ups, where the model has biases */
    struct metal_buffer act;        /* (n_col_rows, ld_ff) f16, scaled by ACT_SCALE */
    struct metal_buffer held;       /* (n_col_rows, ld_model) f32: waits for another branch */
    struct metal_buffer layer_in, layer_row;    /* (n_col_rows, ld_in) f32: every layer's part of
                                                 * the token itself; rows it is made of */
    struct metal_buffer tracks;     /* (n_tracks, n_col_rows, ld_model) f32 */
    struct metal_buffer low, low_half;  /* (n_col_rows, ld_low) f32 and f16 */
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
    const struct head_params *head; /* logits, as recorded; recorded at the step's end, in turns */
    const struct matrix *head_weight;
    struct op_timings timings;
};

/* What the parts of a workspace take, each a buffer of its own. */
static inline uint64_t metal_workspace_bytes(const struct workspace *w)
{
    uint64_t n_bytes = 0;
    for (uint32_t i = 0; i < w->n; i++)
        n_bytes += w->part[i].n_bytes ? w->part[i].n_bytes : METAL_LEAST_BUFFER;
    return n_bytes;
}

static inline pl_status metal_workspace_take(struct metal_backend *b, const struct workspace *w,
                                             pl_err *err)
{
    pl_status st = PL_OK;
    for (uint32_t i = 0; i < w->n && !st; i++)
        st = metal_buffer_take(b->device, w->part[i].n_bytes, w->part[i].what, w->part[i].to, err);
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

/* Of an operation on one track, or, 0, on all. */
static inline struct track_args metal_track_args(const struct metal_backend *b, uint32_t track)
{
    const struct dims *d = &b->params.dims;
    return (struct track_args){ .n = d->d_model, .ld = b->ld_model, .n_tracks = d->n_tracks,
                                .n_rows = b->n_col_rows, .track = track, .scale = 1 };
}

/* Y, where a branch's result stands, joins X: by its norms, HELD and scales. */
void metal_join(struct metal_backend *b, const struct residual *r);

#define LOG2_E 1.44269504089f       /* softmax runs in base 2 */

/* Whether the layer's keys lie in pages without their bias. */
static inline bool metal_keeps_bias_out(const struct metal_backend *b, const struct qkv_weights *w)
{
    return kv_keeps_bias_out(b->kv_layout[0].k_type, w->k.bias, w->norm_k.weight);
}

/* Units of a page of the layer's KV group, and before the layer's part of page 0, counted from the
 * beginning of the KV memory. */
static inline uint32_t metal_page_units(const struct metal_backend *b,
                                        const struct attention_params *a)
{
    return (uint32_t)(b->places.page_bytes[a->kv_group] / KV_UNIT);
}

static inline uint32_t metal_first_unit(const struct metal_backend *b,
                                        const struct attention_params *a)
{
    return (uint32_t)(kv_place(&b->places, a, 0) / KV_UNIT);
}

static inline struct heads metal_heads(const struct metal_backend *b,
                                       const struct attention_params *a)
{
    return dims_heads(&b->params.dims, a->has_other_heads);
}

static inline uint32_t whole(uint32_t n, uint32_t unit)
{
    return (n + unit - 1) / unit * unit;
}

/* The seam's operations, by file. */
void metal_begin_step(struct backend *b, const struct batch *batch);
void metal_embed(struct backend *b, const struct matrix *embedding, float scale);
void metal_layer_inputs(struct backend *b, const struct layer_inputs *w);
void metal_gate_input(struct backend *b, const struct linear *gate, uint32_t layer,
                      const struct ffn_params *p);
void metal_tracks_begin(struct backend *b, const struct track_ends *w);
void metal_tracks_predict(struct backend *b, const struct track_layer *w);
void metal_tracks_correct(struct backend *b, const struct track_layer *w);
void metal_tracks_end(struct backend *b, const struct track_ends *w);
void metal_low_rank(struct backend *b, const struct norm *norm, const struct linear *down,
                    const struct linear *up, const struct norm *post);
void metal_put_x(struct backend *b, const float *rows);
void metal_take_x(struct backend *b, float *rows);
void metal_norm(struct backend *b, const struct norm *norm);
void metal_copy_page(struct backend *b, uint32_t kv_group, uint32_t to, uint32_t from);

void metal_logits(struct backend *b, const struct head_params *p, const struct matrix *weight);
void metal_sample(struct backend *b, sample_fn *fn, void *arg);
pl_status metal_submit(struct backend *b, pl_err *err);
pl_status metal_start(struct backend *b, pl_err *err);
pl_status metal_finish(struct backend *b, struct picked *picked, pl_err *err);

void metal_qkv(struct backend *b, const struct qkv_weights *w, const struct attention_params *a);
void metal_attention_add(struct backend *b, const struct linear *w, const struct residual *r);
void metal_gate_up(struct backend *b, const struct linear *gate, const struct linear *up,
                   const struct ffn_params *p);
void metal_down_add(struct backend *b, const struct linear *w, const struct residual *r);

uint64_t metal_matrix_bytes(uint32_t type, uint32_t n_rows, uint32_t n_k);
pl_status metal_load_matrix(struct backend *b, const struct weight_view *view, struct matrix **out,
                            pl_err *err);
pl_status metal_load_vector(struct backend *b, const float *values, uint32_t n, struct vector **out,
                            pl_err *err);
pl_status metal_load_rope(struct backend *b, const struct rope_view *view, struct rope **out,
                          pl_err *err);
pl_status metal_load_done(struct backend *b, pl_err *err);
uint64_t metal_shared_bytes(const struct backend *b);
void metal_forget_loaded(struct metal_backend *b);      /* frees their records */

#endif
