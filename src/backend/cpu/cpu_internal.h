/* Inside the CPU backend: its state, and one recorded operation.
 *
 * Operations are recorded as phases: work cut into parts, with a barrier after each. Where a phase
 * is small each thread has one part. Else it has several, which it takes in order, and then what
 * others have not begun: one that is slow or was held up leaves its work to them
 * (docs/decisions/002-parts-taken-by-threads.md). No result depends on how a phase is cut or by
 * whom a part is computed. submit wakes the team once for the whole step. */
#ifndef BACKEND_CPU_CPU_INTERNAL_H
#define BACKEND_CPU_CPU_INTERNAL_H

#include <assert.h>

#include "backend/cpu/attend.h"
#include "backend/cpu/backend_cpu.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/prefix_groups.h"
#include "backend/kv_places.h"
#include "backend/op_timing.h"
#include "backend/pack/pack_cache.h"
#include "base/memory.h"
#include "base/lots.h"
#include "base/thread_pool.h"

struct vector {
    const float *values;
    uint32_t n;
};

struct rope {
    const float *cos_sin;           /* (n_positions, n_rot / 2, 2) */
    uint32_t n_positions, n_rot;
    bool is_interleaved;
    float turn[MAX_D_HEAD * PAGE_TOKENS];   /* (n_rot / 2, 2, 16), see key_bias */
};

enum {
    ACT_FORM_X256 = 1 << ACT_X256,
    ACT_FORM_X256U = 1 << ACT_X256U,
    ACT_FORM_X32 = 1 << ACT_X32,
    ACT_FORM_F32 = 1 << ACT_F32,
};

struct cpu_backend;
struct phase;

/* Part `index` of the n that a phase is cut into, computed by this thread. */
struct part {
    uint32_t index, n, thread;
};

typedef void phase_fn(struct cpu_backend *b, const struct phase *p, struct part part);

struct phase {
    phase_fn *run;
    const char *name;               /* of the operation, for timing */
    uint32_t parts_a_thread;
    const struct matrix *matrix;    /* embedding or output head */
    const struct linear *linear, *linear2;  /* of a product */
    const struct norm *norm, *norm_after;
    const struct residual *residual;
    const struct qkv_weights *qkv;
    const struct attention_params *attention;
    const struct ffn_params *ffn;
    const struct expert_weights *experts;
    const struct mixer_weights *mixer;
    const struct mixer_params *mixer_params;
    const struct head_params *head;
    const struct layer_inputs *inputs;
    const struct track_layer *tracks;
    const struct latent_weights *latent;
    uint32_t layer;                 /* whose part of layer_in */
    uint32_t track;
    const struct act *act;          /* what a product reads */
    uint32_t writer;                /* of H, if that is it: its phase; else UINT32_MAX */
    float *out;                     /* what it writes, (n_cols, ld_out) */
    size_t ld_out;
    float scale;
    uint32_t forms, first_row, n_rows;
    uint32_t first_output, end_output;
    bool has_leftovers;             /* see cpu_qkv */
    sample_fn *sample;
    void *sample_arg;
};

/* Of a mixture of experts: see ops_experts.c. n_pairs: max_cols * n_experts_used. */
struct moe {
    float *score;                   /* (max_cols, n_experts) the router's, or their shares */
    float *rank;                    /* likewise: by which experts are chosen */
    uint32_t *chosen, *pair;        /* (max_cols, n_experts_used) by rank */
    float *weight, *shared_weight;  /* likewise; (max_cols) */
    uint32_t *first_pair;           /* (n_experts + 1) */
    uint32_t *col;                  /* (n_pairs) */
    float *gate, *up, *out;         /* (n_pairs, ld_expert), out (n_pairs, ld_model) */
    struct act h, ff;               /* of pairs */
};

/* Of mixers: see ops_mixer.c. */
struct mix {
    size_t ld_in, ld_out;
    float *in, *conv;               /* (max_cols, ld_in) before the convolution, behind it */
    float *gate;                    /* (max_cols, ld_out) */
    float *rate, *shrink;           /* (max_cols, n_heads) */
    float *ones;                    /* (n_channels) */
};

struct cpu_backend {
    struct backend base;
    struct backend_params params;
    struct cpu_kernels k;
    struct thread_pool *pool;
    struct memory memory;
    struct memory panels; /* apart: given back when panels are mapped. Counted in memory */
    struct pack_cache *pack;        /* NULL: none */

    struct kv_layout layout[2];     /* [1]: of layers with other heads */
    struct kv_places places;        /* of a layer of a page: (n_kv_heads) of layout.n_bytes */
    uint8_t *kv;

    /* f32 buffers; ld_* are rows rounded up to whole panels */
    size_t ld_model, ld_q, ld_kv, ld_ff, ld_expert, ld_vocab;
    float *x;                       /* (max_cols, ld_model) */
    float *y;                       /* (max_cols, ld_model) before a post norm */
    float *q, *k_rows, *v_rows;     /* (max_cols, ld_q), (max_cols, ld_kv) */
    float *attended;                /* (max_cols, ld_q), or of mixers (max_cols, mix.ld_out) */
    float *gates;                   /* (max_cols, ld_q) of what attention computes */
    float *gate, *up;               /* (max_cols, ld_ff) */
    float *held;                    /* (max_cols, ld_model) what waits for another branch */
    float *layer_in;                /* (max_cols, ld_in) every layer's part of the token itself */
    float *layer_row;               /* (n_threads, ld_in) */
    float *tracks;                  /* (n_tracks, max_cols, ld_model) */
    float *low;                     /* (max_cols, ld_low) */
    float *q_raw;                   /* (max_cols, ld_raw) of heads before latents, or after */
    float *head_rows;               /* (n_heads, n_cols of the step, ld_head) of head products */
    size_t ld_in, ld_low, ld_raw, ld_head;
    float *logit_rows;              /* (max_outs, ld_vocab) */
    float *logit_largest;           /* (max_outs, n_logit_blocks) */
    uint32_t n_logit_blocks;
    float *norm_row;                /* (n_threads, ld_model) */
    struct act h, att, ff, head;    /* quantised */
    struct act narrow, heads;       /* of low; of (n_heads, n_cols) slices of heads */
    struct attend_state *attend_state;  /* (n_threads, MAX_JOB_ROWS) */
    struct prefix_groups groups[MAX_KV_GROUPS];     /* of the step, by KV group */
    struct moe moe;
    struct mix mix;

    struct batch batch;
    struct phase *phase;            /* (max_phases) */
    struct lot *lots;           /* (n_threads) of the phase that runs */
    uint32_t n_phases, max_phases;
    struct {
        uint32_t h, att, ff;        /* phases that quantise these: readers say in which forms */
    } writer;
    const struct head_params *head_params;  /* logits, as recorded; sample runs it in turns */
    const struct matrix *head_weight;

    struct op_timings timings;
};

/* Items [first, last). */
struct range {
    uint32_t first, last;
};

static inline struct range even_range(uint32_t n, uint32_t index, uint32_t n_shares)
{
    return (struct range){ (uint32_t)((uint64_t)n * index / n_shares),
                           (uint32_t)((uint64_t)n * (index + 1) / n_shares) };
}

/* A part's share of n items. */
static inline struct range range_of(uint32_t n, struct part part)
{
    return even_range(n, part.index, part.n);
}

/* Of a phase's layer. */
static inline struct heads heads_of(const struct cpu_backend *b, const struct attention_params *a)
{
    return dims_heads(&b->params.dims, a->has_other_heads);
}

static inline const struct kv_layout *layout_of(const struct cpu_backend *b,
                                                const struct attention_params *a)
{
    return &b->layout[a->has_other_heads];
}

/* A column of a track. */
static inline float *track_at(const struct cpu_backend *b, uint32_t track, uint32_t col)
{
    return b->tracks + ((size_t)track * b->params.max_cols + col) * b->ld_model;
}

static inline uint32_t act_form(const struct matrix *m)
{
    return 1u << panel_act(m->format);
}

/* Whether the layer's keys are stored without their bias. */
static inline bool keeps_bias_out(const struct cpu_backend *b, const struct qkv_weights *w)
{
    return kv_keeps_bias_out(b->params.k_type, w->k.bias, w->norm_k.weight);
}

static inline uint8_t *kv_of(const struct cpu_backend *b, const struct attention_params *a,
                             uint32_t page, uint32_t head)
{
    return b->kv + kv_place(&b->places, a, page) + head * layout_of(b, a)->n_bytes;
}

/* out = norm of n values, a multiple of 16; out may be x (ops_step.c) */
void norm_values(const struct cpu_backend *b, const struct norm *norm, const float *x, uint32_t n,
                 float *out);

/* row = norm of x; without a weight, x. (d_model) (ops_step.c) */
void norm_row(const struct cpu_backend *b, const struct norm *norm, const float *x, float *row);

/* Turns a head of d_head as its position wants, and scales all of it (ops_qkv.c). */
void turn_head(const struct cpu_backend *b, const struct rope *rope, float *head, uint32_t d_head,
               uint32_t pos, float scale);

/* The span that a column is in (ops_qkv.c). */
const struct span *span_of(const struct batch *batch, uint32_t col);

/* What a query at a position is scaled by, p->scale being common to all (ops_qkv.c). */
float scale_at(const struct phase *p, uint32_t pos);

/* The operations of the seam; each file of ops_*.c records some. */
void cpu_embed(struct backend *b, const struct matrix *embedding, float scale);
void cpu_norm(struct backend *b, const struct norm *norm);
void cpu_layer_inputs(struct backend *b, const struct layer_inputs *w);
void cpu_gate_input(struct backend *b, const struct linear *gate, uint32_t layer,
                    const struct ffn_params *p);
void cpu_tracks_begin(struct backend *b, const struct track_ends *w);
void cpu_tracks_predict(struct backend *b, const struct track_layer *w);
void cpu_tracks_correct(struct backend *b, const struct track_layer *w);
void cpu_tracks_end(struct backend *b, const struct track_ends *w);
void cpu_low_rank(struct backend *b, const struct norm *norm, const struct linear *down,
                  const struct linear *up, const struct norm *post);
void cpu_latent_qkv(struct backend *b, const struct latent_weights *w,
                    const struct attention_params *a);
void cpu_latent_values(struct backend *b, const struct latent_weights *w);
void cpu_put_x(struct backend *b, const float *rows);
void cpu_take_x(struct backend *b, float *rows);
void cpu_qkv(struct backend *b, const struct qkv_weights *w, const struct attention_params *a);
void cpu_attend(struct backend *b, const struct qkv_weights *w, const struct attention_params *a);
void cpu_mix(struct backend *b, const struct norm *norm, const struct mixer_weights *w,
             const struct mixer_params *p);
void cpu_attention_add(struct backend *b, const struct linear *w, const struct residual *r);
void cpu_gate_up(struct backend *b, const struct linear *gate, const struct linear *up,
                 const struct ffn_params *p);
void cpu_down_add(struct backend *b, const struct linear *w, const struct residual *r);
void cpu_experts_add(struct backend *b, const struct norm *norm, const struct expert_weights *w,
                     const struct ffn_params *p, const struct residual *r);
void cpu_logits(struct backend *b, const struct head_params *p, const struct matrix *weight);
void cpu_sample(struct backend *b, sample_fn *fn, void *arg);
void cpu_begin(struct backend *b, const struct batch *batch);
void cpu_copy_page(struct backend *b, uint32_t kv_group, uint32_t to, uint32_t from);

uint64_t cpu_matrix_bytes(uint32_t type, uint32_t n_rows, uint32_t n_k);
pl_status cpu_load_matrix(struct backend *b, const struct weight_view *view, struct matrix **out,
                          pl_err *err);
pl_status cpu_load_vector(struct backend *b, const float *values, uint32_t n, struct vector **out,
                          pl_err *err);
pl_status cpu_load_rope(struct backend *b, const struct rope_view *view, struct rope **out,
                        pl_err *err);
pl_status cpu_load_done(struct backend *b, pl_err *err);
uint64_t cpu_shared_bytes(const struct backend *b);

#endif
