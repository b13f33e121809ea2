/* The plan of the layers: alike as the file's keys say, then as the architecture edits them. */
#include "model/hparams_read.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

static pl_status read_router(struct hparams *h, const struct gguf *g, struct ffn_params *out,
                             pl_err *err)
{
    out->is_normalised = h->arch->normalises_experts;
    pl_status st = gguf_bool_or(g, key_of(h, "expert_weights_norm").text, out->is_normalised,
                                &out->is_normalised, err);
    if (!st) st = read_f32_or(h, g, "expert_weights_scale", 1, &out->expert_scale, err);
    if (out->expert_scale == 0) out->expert_scale = 1;      /* not set */
    return st;
}

/* A layer as all are, unless the architecture edits the plan. */
static pl_status read_layer(struct hparams *h, const struct gguf *g, struct layer_plan *out,
                            pl_err *err)
{
    *out = (struct layer_plan){ .ffn.activation = h->arch->activation,
                                .is_mixture = h->dims.n_experts != 0 };
    out->attention.q_scale = 1 / sqrtf((float)h->dims.d_head);
    pl_status st = read_f32_or(h, g, "attn_logit_softcapping", h->arch->score_cap,
                               &out->attention.score_cap, err);
    return !st && out->is_mixture ? read_router(h, g, &out->ffn, err) : st;
}

/* What of the plan a file may state for all layers, and has the last word on. */
static pl_status override_layers(struct hparams *h, const struct gguf *g, pl_err *err)
{
    float q_scale = 0;
    const pl_status st = read_f32_or(h, g, "attention.scale", 0, &q_scale, err);
    for (uint32_t i = 0; i < h->dims.n_layers && q_scale != 0; i++)
        h->layer[i].attention.q_scale = q_scale;
    return st;
}

pl_status layers_read(struct hparams *h, const struct gguf *g, pl_err *err)
{
    struct layer_plan of_all;
    pl_status st = read_layer(h, g, &of_all, err);
    if (st) return st;
    h->layer = malloc(h->dims.n_layers * sizeof *h->layer);
    if (!h->layer)
        return pl_fail(err, PL_E_MEMORY, "no memory for %" PRIu32 " layers", h->dims.n_layers);
    for (uint32_t i = 0; i < h->dims.n_layers; i++) h->layer[i] = of_all;
    st = window_read(h, g, err);
    if (!st && h->arch->read) st = h->arch->read(h, g, err);
    return st ? st : override_layers(h, g, err);
}
