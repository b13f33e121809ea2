/* Llama 1-3, Mistral and Mixtral, SmolLM and the many models that share their shape, and those that
 * differ from it in a number or two. Converters permute the rows of Q and K so that RoPE pairs are
 * neighbours. */
#include "model/arch.h"

const struct arch arch_llama = {
    .name = "llama",
    .rope_interleaved = true,
    .qkv_bias = OPTIONAL,
    .activation = ACTIVATION_SILU,
    .experts = OPTIONAL,
    .normalises_experts = true,
    .has_wide_experts = true,
};

/* Ministral 3: Llama's layer, queries scaled by position, YaRN without its own factor. */
const struct arch arch_mistral3 = {
    .name = "mistral3",
    .rope_interleaved = true,
    .qkv_bias = OPTIONAL,
    .activation = ACTIVATION_SILU,
};

enum { SMOLLM3_UNTURNED = 4 };

/* Every fourth layer does without RoPE (Yang et al., "RoPE to NoPE and Back Again", 2025); no key
 * of the file says so. */
static pl_status read_smollm3(struct hparams *h, const struct gguf *g, pl_err *err)
{
    (void)g;
    (void)err;
    for (uint32_t i = SMOLLM3_UNTURNED - 1; i < h->dims.n_layers; i += SMOLLM3_UNTURNED)
        h->layer[i].rope = NO_ROPE;
    return PL_OK;
}

const struct arch arch_smollm3 = {
    .name = "smollm3",
    .rope_interleaved = true,
    .qkv_bias = OPTIONAL,
    .activation = ACTIVATION_SILU,
    .read = read_smollm3,
};
