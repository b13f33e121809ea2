/* Granite 3 and 4: Llama's layer with a scale at each of its joints, dense and as mixtures of
 * experts beside one that all columns go through. */
#include "model/hparams_read.h"

/* The key that elsewhere tells how a context was stretched is Granite's switch for RoPE. */
static pl_status read_granite(struct hparams *h, const struct gguf *g, pl_err *err)
{
    bool is_turned;
    const pl_status st =
        gguf_bool_or(g, key_of(h, "rope.scaling.finetuned").text, true, &is_turned, err);
    for (uint32_t i = 0; i < h->dims.n_layers && !is_turned; i++) h->layer[i].rope = NO_ROPE;
    return st;
}

const struct arch arch_granite = {
    .name = "granite",
    .rope_interleaved = true,
    .qkv_bias = OPTIONAL,
    .activation = ACTIVATION_SILU,
    .has_multipliers = true,
    .read = read_granite,
};

const struct arch arch_granitemoe = {
    .name = "granitemoe",
    .rope_interleaved = true,
    .qkv_bias = OPTIONAL,
    .activation = ACTIVATION_SILU,
    .experts = REQUIRED,
    .shared_expert = OPTIONAL,
    .normalises_experts = true,
    .has_wide_experts = true,
    .has_multipliers = true,
    .read = read_granite,
};
