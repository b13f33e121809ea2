/* ERNIE 4.5: Llama's layer, dense and as mixtures beside an expert for all columns; the first
 * layers are dense, and others may be. The router is a softmax with a bias that chooses and does
 * not weigh. */
#include "model/arch.h"

const struct arch arch_ernie4_5 = {
    .name = "ernie4_5",
    .rope_interleaved = true,
    .qkv_bias = OPTIONAL,
    .activation = ACTIVATION_SILU,
};

const struct arch arch_ernie4_5_moe = {
    .name = "ernie4_5-moe",
    .rope_interleaved = true,
    .qkv_bias = OPTIONAL,
    .activation = ACTIVATION_SILU,
    .experts = REQUIRED,
    .shared_expert = OPTIONAL,
    .normalises_experts = true,
    .may_lead_dense = true,
    .may_interleave_dense = true,
};
