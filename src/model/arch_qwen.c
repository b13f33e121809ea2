/* Qwen 2 and 2.5 (biases on Q, K and V) and Qwen 3 (head norms instead), dense and as mixtures of
 * experts. */
#include "model/arch.h"

const struct arch arch_qwen2 = {
    .name = "qwen2",
    .qkv_bias = REQUIRED,
    .activation = ACTIVATION_SILU,
};

const struct arch arch_qwen3 = {
    .name = "qwen3",
    .qkv_bias = OPTIONAL,
    .head_norms = REQUIRED,
    .activation = ACTIVATION_SILU,
};

const struct arch arch_qwen2moe = {
    .name = "qwen2moe",
    .qkv_bias = REQUIRED,
    .activation = ACTIVATION_SILU,
    .has_experts = true,
    .has_shared_expert = true,
};

const struct arch arch_qwen3moe = {
    .name = "qwen3moe",
    .head_norms = REQUIRED,
    .activation = ACTIVATION_SILU,
    .has_experts = true,
    .normalises_experts = true,
};
