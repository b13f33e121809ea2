/* The seam between the model and the machine: about a dozen fused operations over a batch of
 * columns. model/forward.c records them between begin and submit; a backend may run each at once,
 * hand them to threads, or build a command buffer or a graph of them.
 *
 * A backend knows neither a model nor another backend. It owns its memory: packed weights, KV pages
 * and scratch, all taken in open and load, none in a step.
 *
 * The operations work on named buffers that the backend owns, one row a column:
 *     X       residual                                (n_cols, d_model) f32
 *     H       normalised X, in the form products read (n_cols, d_model)
 *     Q K V   of the current layer                    (n_cols, heads * d_head) f32
 *     ATT     attention's result, as products read it (n_cols, n_heads * d_head)
 *     ACT     gated activation, as products read it   (n_cols, d_ff)
 *     LOGITS                                          (max_outs, n_vocab) f32
 *
 * Law: what an operation computes for a column is the same bytes whatever the other columns of the
 * batch are, however many they are, whichever pages hold its KV, and however its prompt was cut
 * into steps. Every reduction has a fixed order given by shapes and positions alone.
 *
 * Threads: one thread calls; a backend may use its own threads inside. */
#ifndef BACKEND_BACKEND_H
#define BACKEND_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/status.h"
#include "quant/kv_type.h"

enum { PAGE_TOKENS = 16 };  /* positions of a KV page */
enum { BACKEND_MAX_D_HEAD = 256 };
enum { MAX_IN_FLIGHT = 2 }; /* steps that are started and not finished */

/* What every buffer's size follows from. */
struct dims {
    uint32_t d_model, d_head, d_ff, n_heads, n_kv_heads, n_layers, n_vocab;
    uint32_t n_experts, n_experts_used, d_expert;   /* 0: dense. d_ff is then the shared expert's */
};

struct backend_params {
    struct dims dims;
    uint32_t max_cols;          /* columns of a step at most */
    uint32_t max_outs;          /* rows of logits held at once; a batch with more outputs is served
                                 * in turns */
    uint32_t n_pages;
    enum kv_type k_type, v_type;
    uint32_t n_threads;         /* 0: one per performance core */
    bool lock_memory;
    const char *isa;            /* most capable instruction set to use; NULL: the best present */
    const char *pack_dir;       /* where packed weights are kept; NULL: nowhere. Open reads it */
    struct hash128 model_hash;  /* of the model file's content: what they are kept under */
};

/* A weight as the file holds it: rows of quantised blocks. Rows are outputs. */
struct weight_view {
    const char *name;           /* for messages */
    uint32_t type;              /* enum quant_type */
    uint32_t n_rows, n_k;
    const void *data;
};

struct backend;                 /* one open backend: first member of each backend's own struct */
struct matrix;                  /* a packed weight, owned by its backend */
struct vector;                  /* norm weights or biases: f32, owned by its backend */
struct rope;                    /* cosines and sines by position, owned by its backend */

/* A run of neighbouring columns of one stream, in the order of their positions. */
struct span {
    uint32_t first_col, n_cols;
    uint32_t first_pos;         /* position of the first column */
    const uint32_t *page;       /* page[i] holds positions 16 i .. 16 i + 15 of the stream */
};

/* How the next token of an output is picked, where the backend does that itself: as
 * engine/sampler.h says, by these parameters alone. */
struct pick {
    bool is_by_backend;         /* false: by the caller's sample_fn, and the rest says nothing */
    float temperature;          /* 0: the largest logit, the first of equals */
    uint32_t top_k;             /* 0: off. Filters in the order top-k, top-p, min-p */
    float top_p;                /* 1: off */
    float min_p;                /* 0: off */
    double unit;                /* the random number of this token, in [0, 1) */
};

/* One step. Arrays belong to the caller and live until submit or start returns; pick, until finish
 * does. */
struct batch {
    uint32_t n_cols, n_spans, n_outs;
    const int32_t *token;       /* (n_cols); -1 - o, where steps run ahead: what the step started
                                 * before this one picks for its output o */
    const uint32_t *pos;        /* (n_cols) */
    const struct span *span;    /* (n_spans): every column lies in exactly one */
    const uint32_t *out_col;    /* (n_outs) ascending: columns whose logits are wanted */
    const struct pick *pick;    /* (n_outs) of a step that is started; NULL: all by sample_fn */
};

struct qkv_weights {
    const struct matrix *q, *k, *v;
    const struct vector *bias_q, *bias_k, *bias_v;  /* NULL: none */
    const struct vector *norm_q, *norm_k;           /* (d_head), NULL: no head norms */
};

/* A mixture of experts: every column goes through the n_experts_used experts that its router scores
 * highest. A matrix holds the rows of all experts, one expert after the other. */
struct expert_weights {
    const struct vector *router;            /* (n_experts, d_model) */
    const struct matrix *gate, *up;         /* (n_experts * d_expert, d_model) */
    const struct matrix *down;              /* (n_experts * d_model, d_expert) */
    bool is_normalised;                     /* weights of a column's experts sum to 1 */
    const struct matrix *shared_gate, *shared_up, *shared_down; /* of d_ff, for every column */
    const struct vector *shared_router;     /* (d_model). All four NULL: there is none */
};

enum activation { ACTIVATION_SILU, ACTIVATION_GELU_TANH };

/* Picks from one row of logits; called once for each output column, from any of the backend's
 * threads, rows in no particular order. */
enum { LOGIT_BLOCK = 256 };

/* logits: (n_vocab); largest[i]: the largest of logits LOGIT_BLOCK i .. LOGIT_BLOCK (i + 1) - 1,
 * NaN counting as minus infinity. Both may be changed. */
typedef void sample_fn(void *arg, uint32_t out, float *logits, float *largest);

/* Bytes a backend will take, for plan_compute. */
struct backend_bytes {
    uint64_t kv, scratch;
};

/* The machine's own limits, measured: what a benchmark is held against. */
struct backend_rates {
    const char *isa;
    uint32_t n_threads;
    double macs_per_s;          /* multiply-adds: of int8 on a CPU, of halves on a GPU */
    double read_bytes_per_s;    /* plain reads of memory far larger than any cache */
};

struct backend_ops {
    const char *name;           /* "cpu" */
    uint32_t column_unit;       /* a step's columns are computed in so many: others cost as much as
                                 * the next multiple */

    /* Takes about half a second on n_threads threads (0: one per performance core). */
    pl_status (*measure)(uint32_t n_threads, struct backend_rates *out, pl_err *err);

    /* Planning: no backend is open. Bytes a weight takes once packed. */
    uint64_t (*matrix_bytes)(uint32_t type, uint32_t n_rows, uint32_t n_k);
    struct backend_bytes (*plan)(const struct backend_params *params);

    pl_status (*open)(struct backend **out, const struct backend_params *params, pl_err *err);
    void (*close)(struct backend *b);
    const char *(*isa)(const struct backend *b);
    uint32_t (*n_threads)(const struct backend *b);
    /* The calling thread will run all steps and do little else: it may be given a core. */
    void (*pin_caller)(const struct backend *b);

    /* Loading. What is loaded lives until close. The view's data is not needed afterwards. */
    pl_status (*load_matrix)(struct backend *b, const struct weight_view *view,
                             struct matrix **out, pl_err *err);
    pl_status (*load_vector)(struct backend *b, const float *values, uint32_t n,
                             struct vector **out, pl_err *err);
    /* cos_sin: (n_positions, d_head / 2, 2). interleaved: pairs are neighbours (2i, 2i + 1), else
     * halves (i, i + d_head / 2). */
    pl_status (*load_rope)(struct backend *b, const float *cos_sin, uint32_t n_positions,
                           bool interleaved, struct rope **out, pl_err *err);
    /* After the last of them, before the first step. */
    pl_status (*load_done)(struct backend *b, pl_err *err);
    /* Bytes of the weights that are mapped from pack_dir, and so shared with other processes. */
    uint64_t (*shared_bytes)(const struct backend *b);

    /* Recording of one step. */
    void (*begin)(struct backend *b, const struct batch *batch);
    /* X = scale * rows of the embedding */
    void (*embed)(struct backend *b, const struct matrix *embedding, float scale);
    /* H = X / rms(X) * weight */
    void (*norm)(struct backend *b, const struct vector *weight, float eps);
    /* Q, K, V = H * weights + biases; then head norms; then RoPE on Q and K; Q *= q_scale; K and V
     * go to the batch's pages of `layer` */
    void (*qkv)(struct backend *b, uint32_t layer, const struct qkv_weights *w,
                const struct rope *rope, float q_scale, float eps);
    /* ATT = softmax(Q K^T) V over the stream's positions pos - window + 1 .. pos; window 0: all */
    void (*attend)(struct backend *b, uint32_t layer, uint32_t window);
    /* X += ATT * weight; with post_norm: X += rms_norm(ATT * weight) * post_norm */
    void (*attention_add)(struct backend *b, const struct matrix *weight,
                          const struct vector *post_norm, float eps);
    /* ACT = activation(H * gate) * (H * up) */
    void (*gate_up)(struct backend *b, const struct matrix *gate, const struct matrix *up,
                    enum activation activation);
    /* X += ACT * weight, post_norm as in attention_add */
    void (*down_add)(struct backend *b, const struct matrix *weight,
                     const struct vector *post_norm, float eps);
    /* X += sum over a column's experts e of weight_e * down_e(activation(H gate_e) * (H up_e)),
     * weights being a softmax of the router's scores of the column normalised by `norm`, from which
     * H came too; and sigmoid(shared_router) times the shared expert's */
    void (*experts_add)(struct backend *b, const struct vector *norm, float eps,
                        const struct expert_weights *w, enum activation activation);
    /* LOGITS = rms_norm(X of the output columns) * norm * weight */
    void (*logits)(struct backend *b, const struct vector *norm, float eps,
                   const struct matrix *weight);
    /* fn for every output column's logits */
    void (*sample)(struct backend *b, sample_fn *fn, void *arg);
    /* Runs what was recorded; on return all of it is done. A failure is the machine's (a GPU's
     * command buffer): what the step should have written is not to be used, the next step may
     * succeed. */
    pl_status (*submit)(struct backend *b, pl_err *err);

    /* Instead of submit, where the machine computes while its caller plans: start hands over what
     * was recorded (max_outs outputs at most) and returns; finish waits for the oldest step that
     * was started, calls fn for the outputs that are the caller's, and tells what was picked for
     * the others: (n_outs) tokens, good until the next start; -1: the row holds no finite logit.
     * Steps run in the order they were started. At most MAX_IN_FLIGHT are in flight: a second may
     * be recorded on top of one all of whose outputs the backend picks. NULL, both: there is only
     * submit. */
    pl_status (*start)(struct backend *b, pl_err *err);
    pl_status (*finish)(struct backend *b, const int32_t **picked, pl_err *err);

    /* With no step recorded or started: page `to` becomes a copy of page `from`. */
    void (*copy_page)(struct backend *b, uint32_t to, uint32_t from);

    /* Time by operation since the last call, for benchmarks: fills name/ns pairs, returns how many.
     * Timing is off until timing(b, true). */
    void (*timing)(struct backend *b, bool on);
    uint32_t (*timings)(struct backend *b, const char **name, uint64_t *ns, uint32_t max);
};

struct backend {
    const struct backend_ops *ops;
};

/* "cpu", "metal", "metal-tensors", or "auto" (NULL too): the first choice of this build. NULL: this
 * build has none of this name. */
const struct backend_ops *backend_find(const char *name);

/* Names of this build's backends: "cpu, metal, metal-tensors". */
const char *backend_names(void);

#endif
