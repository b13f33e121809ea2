/* Inside the exact backend: its state, and how an operation is run. Each runs at once when it is
 * recorded, its items (rows of a matrix, columns, heads) split evenly over the threads. */
#ifndef BACKEND_EXACT_EXACT_INTERNAL_H
#define BACKEND_EXACT_EXACT_INTERNAL_H

#include "backend/exact/backend_exact.h"
#include "backend/kv_places.h"
#include "backend/op_timing.h"
#include "base/memory.h"
#include "base/thread_pool.h"

/* Rows as the file holds them: a row is dequantised whenever it is read. */
struct matrix {
    const uint8_t *rows;
    size_t row_bytes;
    uint32_t type, n_rows, n_k;
};

struct vector {
    const float *values;
    uint32_t n;
};

struct rope {
    const float *cos_sin;           /* (n_positions, n_rot / 2, 2) */
    uint32_t n_rot;
    bool is_interleaved;
};

/* Buffers have no gaps: a row is as long as its shape says. */
struct exact_backend {
    struct backend base;
    struct backend_params params;
    struct thread_pool *pool;
    struct memory memory;           /* what the plan counts */
    struct memory records;          /* the structs above, a few bytes a weight: not counted */

    struct kv_places places;        /* of a layer of a page: (n_kv_heads, K then V, 16, d_head) */
    float *held;                    /* (max_cols, d_model) what waits for another branch */
    float *layer_in;                /* (max_cols, n_layers * d_input) */
    float *layer_row;               /* likewise: rows of the embedding it is made of */
    float *tracks;                  /* (n_tracks, max_cols, d_model) */
    float *low;                     /* (max_cols, d_low or d_query) */
    float *q_raw;                   /* (max_cols, n_heads * (d_plain + d_turned)), then the values
                                     * that latents become, (max_cols, n_heads * d_value) */
    float *kv;
    float *x, *h;                   /* (max_cols, d_model) */
    float *y;                       /* likewise: what is yet to be added to x */
    float *q;                       /* (max_cols, n_heads * d_head) */
    float *attended;                /* likewise, or (max_cols, mixer_width) */
    float *k, *v;                   /* (max_cols, n_kv_heads * d_head) */
    float *gates;                   /* (max_cols, n_heads * d_head) of attention's results */
    float *gate, *up;               /* (max_cols, d_ff or d_expert); gate: the activation, too */
    float *logits;                  /* (max_outs, n_vocab) */
    float *largest;                 /* (max_outs, n_logit_blocks) */
    const struct span **span;       /* (max_cols) of each column */
    uint32_t n_logit_blocks;

    /* of mixers */
    float *mix_in, *mix_conv;       /* (max_cols, n_channels) before the convolution, behind it */
    float *mix_gate;                /* (max_cols, mixer_width) */

    /* of a mixture of experts */
    float *expert_score;            /* (max_cols, n_experts) the router's, then their shares */
    float *expert_rank;             /* likewise: by which they are chosen */
    float *expert_weight;           /* likewise; 0: not chosen */
    float *shared_weight;           /* (max_cols) */
    uint32_t *expert_col;           /* (max_cols) columns that chose one expert */
    float *expert_h;                /* (max_cols, d_model) their H; what the router reads before */
    float *expert_sum;              /* (max_cols, d_model) where it does not go to x at once */

    struct batch batch;
    const struct head_params *head; /* logits, as recorded; sample runs it in turns */
    const struct matrix *head_weight;
    struct op_timings timings;
};

/* ---- running an operation (run.c) ------------------------------------------------------------ */

typedef void exact_item_fn(struct exact_backend *b, const void *arg, uint32_t item);

/* fn for items 0 .. n_items - 1, from all threads; done on return. name: for timings. */
void exact_run(struct exact_backend *b, const char *name, uint32_t n_items, exact_item_fn *fn,
               const void *arg);

/* ---- arithmetic (arithmetic.c) -------------------------------------------------------------- */

/* a . b: eight sums, of places i % 8, added up in a tree */
double exact_dot(const float *a, const float *b, uint32_t n);

/* An activation of a gate, times its up (products.c) */
double exact_activated(enum activation activation, double gate, double up);

/* Of n values of x, and of their squares about a mean, in the order of exact_dot's sums. */
double exact_mean(const float *x, uint32_t n);
double exact_squares(const float *x, double mean, uint32_t n);

/* (n_cols, d_model) of a track */
static inline float *exact_track(const struct exact_backend *b, uint32_t track)
{
    return b->tracks + (size_t)track * b->params.max_cols * b->params.dims.d_model;
}

/* out = norm of x, which may be out */
void exact_normed(const float *x, const struct norm *norm, float *out);

enum kv_part { KEYS, VALUES };

/* (d_head) of a position of a column's stream (attention.c) */
float *exact_kv_at(const struct exact_backend *b, const struct attention_params *a,
                   uint32_t kv_head, enum kv_part part, uint32_t col, uint32_t pos);

/* Turns the first of the d values of a head as their position wants, and scales all
 * (attention.c). */
void exact_turn(float *x, uint32_t d, const struct rope *rope, uint32_t pos, float scale);
float exact_q_scale(const struct attention_params *a, uint32_t pos);

/* x bounded to +-cap, smoothly; cap 0: x */
double exact_capped(double x, float cap);

/* Rows first .. first + n - 1 of a matrix, and what is added to each. */
struct rows {
    const struct matrix *m;
    const struct vector *bias;      /* of all rows of m; NULL: none */
    uint32_t first, n;
};

static inline struct rows all_rows(const struct linear *l)
{
    return (struct rows){ l->weight, l->bias, 0, l->weight->n_rows };
}

/* out (n_cols, w.n) = x (n_cols, n_k) * w + bias (products.c) */
void exact_product(struct exact_backend *b, const char *name, struct rows w, const float *x,
                   uint32_t n_cols, float *out);

/* out (n) = rows first .. first + n - 1 of a matrix times x, by the calling thread (products.c) */
void exact_rows_of(const struct matrix *m, uint32_t first, uint32_t n, const float *x, float *out);

/* What a branch made of the columns, in rows of d_model, joins X (products.c) */
void exact_join(struct exact_backend *b, float *y, const struct residual *r);

/* b->gate (n_cols, gate.n) = activation(h * gate) * (h * up), biases and the cut included
 * (products.c) */
void exact_gated(struct exact_backend *b, struct rows gate, struct rows up,
                 const struct ffn_params *p, const float *h, uint32_t n_cols);

/* ---- the seam's operations ------------------------------------------------------------------ */

pl_status exact_measure(uint32_t n_threads, struct backend_rates *out, pl_err *err);
uint64_t exact_matrix_bytes(uint32_t type, uint32_t n_rows, uint32_t n_k);
pl_status exact_load_matrix(struct backend *b, const struct weight_view *view, struct matrix **out,
                            pl_err *err);
pl_status exact_load_vector(struct backend *b, const float *values, uint32_t n, struct vector **out,
                            pl_err *err);
pl_status exact_load_rope(struct backend *b, const struct rope_view *view, struct rope **out,
                          pl_err *err);
pl_status exact_load_done(struct backend *b, pl_err *err);
uint64_t exact_shared_bytes(const struct backend *b);

void exact_begin(struct backend *b, const struct batch *batch);
pl_status exact_submit(struct backend *b, pl_err *err);
void exact_copy_page(struct backend *b, uint32_t kv_group, uint32_t to, uint32_t from);
void exact_timing(struct backend *b, bool on);
uint32_t exact_timings(struct backend *b, const char **name, uint64_t *ns, uint32_t max);

void exact_embed(struct backend *b, const struct matrix *embedding, float scale);
void exact_layer_inputs(struct backend *b, const struct layer_inputs *w);
void exact_gate_input(struct backend *b, const struct linear *gate, uint32_t layer,
                      const struct ffn_params *p);
void exact_tracks_begin(struct backend *b, const struct track_ends *w);
void exact_tracks_predict(struct backend *b, const struct track_layer *w);
void exact_tracks_correct(struct backend *b, const struct track_layer *w);
void exact_tracks_end(struct backend *b, const struct track_ends *w);
void exact_low_rank(struct backend *b, const struct norm *norm, const struct linear *down,
                    const struct linear *up, const struct norm *post);
void exact_latent_qkv(struct backend *b, const struct latent_weights *w,
                      const struct attention_params *a);
void exact_latent_values(struct backend *b, const struct latent_weights *w);
void exact_put_x(struct backend *b, const float *rows);
void exact_take_x(struct backend *b, float *rows);
void exact_norm(struct backend *b, const struct norm *norm);
void exact_logits(struct backend *b, const struct head_params *p, const struct matrix *weight);
void exact_sample(struct backend *b, sample_fn *fn, void *arg);
void exact_qkv(struct backend *b, const struct qkv_weights *w,
               const struct attention_params *a);
void exact_attend(struct backend *b, const struct qkv_weights *w,
                  const struct attention_params *a);
void exact_mix(struct backend *b, const struct norm *norm, const struct mixer_weights *w,
               const struct mixer_params *p);
void exact_attention_add(struct backend *b, const struct linear *w, const struct residual *r);
void exact_gate_up(struct backend *b, const struct linear *gate, const struct linear *up,
                   const struct ffn_params *p);
void exact_down_add(struct backend *b, const struct linear *w, const struct residual *r);
void exact_experts_add(struct backend *b, const struct norm *norm, const struct expert_weights *w,
                       const struct ffn_params *p, const struct residual *r);

#endif
