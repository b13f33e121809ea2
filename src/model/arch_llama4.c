/* Llama 4's text part: of four layers three that see their own chunk of positions, turned, their
 * heads normed, and one that sees everything and is not turned, whose queries are scaled by
 * position. Mixtures in every layer or every second, beside an expert for all columns; an expert
 * reads what the sigmoid of its score multiplies. */
#include "model/hparams_read.h"

enum { CHUNK = 8192, PERIOD = 4, N_EXPERTS_WITHOUT_NORMS = 128 };

static pl_status read_temperature(struct hparams *h, const struct gguf *g, pl_err *err)
{
    h->temperature_from = 1;
    h->cools_unturned = true;
    const pl_status st = read_f32_or(h, g, "attention.temperature_scale", 0.1f, &h->temperature,
                                     err);
    return st ? st : read_u32_or(h, g, "attention.temperature_length", CHUNK, &h->temperature_ctx,
                                 err);
}

/* Maverick, of 128 experts, has no norms of heads; no key says so. RoPE keeps a head's length, so
 * a norm without weights may come before it. */
static pl_status read_llama4(struct hparams *h, const struct gguf *g, pl_err *err)
{
    uint32_t window;
    pl_status st = read_u32_or(h, g, "attention.sliding_window", CHUNK, &window, err);
    if (!st) st = read_temperature(h, g, err);
    for (uint32_t i = 0; i < h->dims.n_layers; i++) {
        struct layer_plan *l = &h->layer[i];
        const bool is_global = window && (i + 1) % PERIOD == 0;
        l->attention.window_is_chunk = l->attention.window != 0;
        l->ffn.router.weighs_inputs = l->is_mixture;
        if (is_global) l->rope = NO_ROPE;
        l->norms_heads = !is_global && h->dims.n_experts != N_EXPERTS_WITHOUT_NORMS;
    }
    return st;
}

const struct arch arch_llama4 = {
    .name = "llama4",
    .rope_interleaved = true,
    .qkv_bias = OPTIONAL,
    .activation = ACTIVATION_SILU,
    .experts = REQUIRED,
    .shared_expert = REQUIRED,
    .has_narrow_shared = true,
    .router_score = ROUTER_SIGMOID,
    .may_lead_dense = true,
    .may_interleave_dense = true,
    .window_period = PERIOD,
    .window = CHUNK,
    .read = read_llama4,
};
