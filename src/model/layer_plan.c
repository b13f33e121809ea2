/* The plan of the layers: alike as the file's keys say, then as the architecture edits them. */
#include "model/hparams_read.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

/* As the format numbers them; 0 is not set. */
enum { GATING_SOFTMAX = 1, GATING_SIGMOID = 2 };

static pl_status read_score(struct hparams *h, const struct gguf *g, struct router_params *out,
                            pl_err *err)
{
    uint32_t gating = 0;
    const pl_status st = read_u32_or(h, g, "expert_gating_func", 0, &gating, err);
    out->score = gating ? gating == GATING_SIGMOID ? ROUTER_SIGMOID : ROUTER_SOFTMAX
                        : h->arch->router_score;
    if (st || gating <= GATING_SIGMOID) return st;
    return pl_fail(err, PL_E_UNSUPPORTED, "%s: expert_gating_func is %" PRIu32 "; %d (softmax) and "
                   "%d (sigmoid) are run", g->part[0].path, gating, GATING_SOFTMAX, GATING_SIGMOID);
}

static pl_status read_groups(struct hparams *h, const struct gguf *g, struct router_params *out,
                             pl_err *err)
{
    const struct dims *d = &h->dims;
    const uint32_t n = d->n_experts;
    pl_status st = read_u32_or(h, g, "expert_group_count", 1, &out->n_groups, err);
    if (!out->n_groups) out->n_groups = 1;      /* not set */
    if (!st)
        st = read_u32_or(h, g, "expert_group_used_count", out->n_groups, &out->n_groups_used, err);
    if (!out->n_groups_used) out->n_groups_used = out->n_groups;
    if (st || out->n_groups == 1) return st;
    if (out->n_groups <= MAX_EXPERT_GROUPS && n % out->n_groups == 0 && n / out->n_groups > 1 &&
        out->n_groups_used <= out->n_groups &&
        d->n_experts_used <= n / out->n_groups * out->n_groups_used)
        return PL_OK;
    return pl_fail(err, PL_E_UNSUPPORTED, "%s: %" PRIu32 " of %" PRIu32 " experts out of %" PRIu32
                   " of %" PRIu32 " groups; up to %d groups of two or more alike that have as many "
                   "are run", g->part[0].path, d->n_experts_used, n, out->n_groups_used,
                   out->n_groups, MAX_EXPERT_GROUPS);
}

static pl_status read_router(struct hparams *h, const struct gguf *g, struct router_params *out,
                             pl_err *err)
{
    out->is_normalised = h->arch->normalises_experts;
    pl_status st = gguf_bool_or(g, key_of(h, "expert_weights_norm").text, out->is_normalised,
                                &out->is_normalised, err);
    if (!st) st = read_f32_or(h, g, "expert_weights_scale", 1, &out->scale, err);
    if (out->scale == 0) out->scale = 1;        /* not set */
    if (!st) st = read_score(h, g, out, err);
    return st ? st : read_groups(h, g, out, err);
}

/* A layer as all are, unless the architecture edits the plan. */
static pl_status read_layer(struct hparams *h, const struct gguf *g, struct layer_plan *out,
                            pl_err *err)
{
    *out = (struct layer_plan){ .attends = true, .feeds_forward = true,
                                .ffn.activation = h->arch->activation,
                                .is_mixture = h->dims.n_experts != 0,
                                .d_ff = h->dims.d_ff };
    out->attention.q_scale = 1 / sqrtf((float)h->dims.d_head);
    pl_status st = read_f32_or(h, g, "attn_logit_softcapping", h->arch->score_cap,
                               &out->attention.score_cap, err);
    return !st && out->is_mixture ? read_router(h, g, &out->ffn.router, err) : st;
}

/* The key that elsewhere tells how a context was stretched is a switch for RoPE in some. */
static pl_status read_rope_switch(struct hparams *h, const struct gguf *g, pl_err *err)
{
    bool is_turned = true;
    if (!h->arch->has_rope_switch) return PL_OK;
    const pl_status st =
        gguf_bool_or(g, key_of(h, "rope.scaling.finetuned").text, true, &is_turned, err);
    for (uint32_t i = 0; i < h->dims.n_layers && !is_turned; i++) h->layer[i].rope = NO_ROPE;
    return st;
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
    for (uint32_t i = 0; i < h->dims.n_layers; i++) {
        h->layer[i] = of_all;
        h->layer[i].is_mixture &= i >= h->n_leading_dense && (i + 1) % h->experts_period == 0;
        h->layer[i].kv_of = i;
    }
    st = window_read(h, g, err);
    if (!st) st = mixers_read(h, g, err);
    if (!st) st = read_rope_switch(h, g, err);
    if (!st && h->arch->read) st = h->arch->read(h, g, err);
    return st ? st : override_layers(h, g, err);
}
