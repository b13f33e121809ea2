/* A model: hyper-parameters and weights bound from a GGUF file to a backend, and one batched
 * forward pass in terms of backend operations. Architectures are data: arch_*.c each describe one
 * family, and a model is a plan of its layers; forward.c knows no architecture by name.
 *
 * Threads: model_open and model_record by one thread at a time; the rest is read-only. */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "backend/backend.h"
#include "base/status.h"
#include "gguf/gguf.h"
#include "model/homes.h"

enum { MAX_CTX_TOKENS = 1 << 24 };     /* of a model: positions and window count in 32 bits */

/* RoPE of one kind of layer. Llama-3 scaling comes as per-pair frequency factors in the file. */
struct rope_params {
    uint32_t n_rot;             /* dimensions of a head that turn: the first */
    float base;
    float factor;               /* context is this many times the original; 1: no scaling */
    float yarn_ext_factor;      /* 0: linear, all pairs alike; 1: YaRN, fast pairs are left alone */
    bool has_factors;           /* tensors say what frequencies are divided by: longrope */
    float attn_factor;          /* of the cosines and sines; YaRN's own comes on top, divided by */
    float yarn_log_multiplier;  /* what it would be with this for its 1; 0: not divided */
    bool is_ramp_rounded;       /* YaRN's ramp begins and ends at whole pairs */
    uint32_t original_ctx; /* YaRN, as the betas: turns within it that count as fast and slow */
    float yarn_beta_fast, yarn_beta_slow;
};

enum { MAX_ROPES = 2, NO_ROPE = MAX_ROPES };

/* What may differ from one layer to the next: the operations' own parameters. */
struct layer_plan {
    bool attends, feeds_forward;        /* layers that do not attend may have a mixer */
    struct attention_params attention;  /* its rope comes when weights are bound */
    uint32_t rope;              /* which of hparams.rope that is, or NO_ROPE */
    struct mixer_params mixer;  /* its state_layer comes when weights are bound */
    bool norms_heads;           /* RMS norm of query and key heads, without weights */
    uint32_t kv_of;             /* the layer whose keys and values it reads: itself, or one before
                                 * it with the same heads, window and RoPE */
    bool is_mixture;            /* of experts */
    uint32_t d_ff;              /* of its dense part */
    struct ffn_params ffn;
};

struct hparams {
    const struct arch *arch;
    struct dims dims;
    uint32_t ctx_tokens;        /* what the model was made for */
    float norm_eps;
    float embed_scale;          /* Gemma: sqrt(d_model) */
    float residual_scale;       /* of what a layer's two branches add */
    float logit_scale, logit_cap;   /* as struct head_params has them */
    struct rope_params rope[MAX_ROPES];
    uint32_t n_ropes;
    uint32_t rope_ctx_tokens;   /* decides between factors for short and long contexts; 0: the
                                 * context that is bound for. The caller's to set */
    float temperature;          /* queries are multiplied by 1 + temperature * ln(1 + (position +
                                 * temperature_from) / temperature_ctx), the quotient a whole
                                 * number; 0: they are not */
    uint32_t temperature_from, temperature_ctx;     /* ctx 0: the original context */
    bool cools_unturned;        /* of layers without RoPE alone */
    struct layer_plan *layer;   /* (dims.n_layers) */
    uint32_t n_blocks;          /* of the file: behind the layers may lie what predicts more than
                                 * the next token, which nobody here reads */
    uint32_t n_leading_dense;   /* of a mixture: layers before the first with experts, */
    uint32_t experts_period;    /* which every so many-th layer has then; 1: each */
    pl_pooling pooling;         /* of embeddings; DEFAULT: the file does not say */
    uint64_t n_parameters;
    char name[96];
    uint32_t main_type;         /* the commonest quant_type by bytes */
};

/* What the model takes and costs, from the file's header alone. */
struct model_plan {
    uint64_t weights_bytes;         /* packed */
    uint64_t step_weight_bytes;     /* of these, read by every step */
    uint64_t expert_weight_bytes;   /* of these, read where a column chose the expert */
    uint64_t macs_per_token;        /* multiply-adds of the products, output head included */
    bool has_float_weights;         /* some matrix is f32, f16 or bf16 */
};

struct model;

/* Whoever wants to know how far the loading of weights is, and may end it. */
struct model_watch {
    pl_progress_fn *fn;         /* NULL: nobody */
    void *arg;
    uint64_t weights_bytes;     /* in all */
};

/* PL_E_UNSUPPORTED: an architecture or a feature that this version does not run, by name. Release
 * with hparams_free, after a failure too. */
pl_status hparams_read(struct hparams *out, const struct gguf *g, pl_err *err);
void hparams_free(struct hparams *h);

pl_status model_plan(struct model_plan *out, const struct gguf *g, const struct hparams *h,
                     const struct homes *homes, uint32_t ctx_tokens, pl_err *err);

/* Binds and packs every weight into its home, each of which must have been opened for h->dims and
 * its layers of kv. The file is not needed afterwards. PL_E_CANCELLED: `watch` (may be NULL) said
 * to stop. */
pl_status model_open(struct model **out, const struct gguf *g, const struct hparams *h,
                     const struct homes *homes, const struct kv_groups *kv, uint32_t ctx_tokens,
                     const struct model_watch *watch, pl_err *err);
void model_close(struct model *m);

/* Records one step with the last home: what its submit or start then runs computes the batch,
 * writes its KV and has every output picked, by fn where batch->pick does not leave it to the
 * backend. Layers of a home before it are computed already; it fails where that fails, and nothing
 * is recorded. x: (n_cols, d_model), what is handed over; not looked at with one home. */
pl_status model_record(struct model *m, const struct batch *batch, float *x, sample_fn *fn,
                       void *arg, pl_err *err);

#endif
