/* A model: hyper-parameters and weights bound from a GGUF file to a backend, and one batched
 * forward pass in terms of backend operations. Architectures are data: arch_*.c each describe one
 * family; forward.c knows none of them by name.
 *
 * Threads: model_open and model_record by one thread at a time; the rest is read-only. */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "backend/backend.h"
#include "base/status.h"
#include "gguf/gguf.h"

enum rope_scaling { ROPE_SCALING_NONE, ROPE_SCALING_LINEAR, ROPE_SCALING_YARN };

/* RoPE of one kind of layer. Llama-3 scaling comes as per-pair frequency factors in the file. */
struct rope_params {
    float base;
    enum rope_scaling scaling;
    float factor;               /* linear, YaRN: context is this many times the original */
    uint32_t original_ctx;      /* YaRN */
    float yarn_beta_fast, yarn_beta_slow, yarn_ext_factor, yarn_attn_factor;
};

struct hparams {
    const struct arch *arch;
    struct dims dims;
    uint32_t ctx_tokens;        /* what the model was made for */
    uint32_t n_rot;             /* dimensions of a head that turn: all of them */
    float norm_eps;
    float embed_scale;          /* Gemma: sqrt(d_model) */
    float q_scale;              /* 1 / sqrt(d_head) */
    uint32_t window;            /* of local layers, in positions; 0: no local layers */
    uint32_t window_period;     /* every window_period-th layer is global */
    struct rope_params rope, rope_local;
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
};

struct model;

/* PL_E_UNSUPPORTED: an architecture or a feature that this version does not run, by name. */
pl_status hparams_read(struct hparams *out, const struct gguf *g, pl_err *err);

pl_status model_plan(struct model_plan *out, const struct gguf *g, const struct hparams *h,
                     const struct backend_ops *ops, uint32_t ctx_tokens, pl_err *err);

/* Binds and packs every weight into the backend, which must have been opened for h->dims. The
 * file is not needed afterwards. */
pl_status model_open(struct model **out, const struct gguf *g, const struct hparams *h,
                     struct backend *b, uint32_t ctx_tokens, pl_err *err);
void model_close(struct model *m);

/* Records one step with the backend: what its submit or start then runs computes the batch, writes
 * its KV and has every output picked, by fn where batch->pick does not leave it to the backend. */
void model_record(struct model *m, const struct batch *batch, sample_fn *fn, void *arg);

#endif
