/* Qwen 2 and 2.5 (biases on Q, K and V) and Qwen 3 (head norms instead), dense and as mixtures of
 * experts; the text part of Qwen 3 VL, whose positions are those of text alone; Seed-OSS. */
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
    .experts = REQUIRED,
    .shared_expert = REQUIRED,
    .shared_router = REQUIRED,
};

const struct arch arch_qwen3moe = {
    .name = "qwen3moe",
    .qkv_bias = OPTIONAL,
    .head_norms = REQUIRED,
    .activation = ACTIVATION_SILU,
    .experts = REQUIRED,
    .normalises_experts = true,
};

const struct arch arch_qwen3vl = {
    .name = "qwen3vl",
    .qkv_bias = OPTIONAL,
    .head_norms = REQUIRED,
    .activation = ACTIVATION_SILU,
};

const struct arch arch_qwen3vlmoe = {
    .name = "qwen3vlmoe",
    .qkv_bias = OPTIONAL,
    .head_norms = REQUIRED,
    .activation = ACTIVATION_SILU,
    .experts = REQUIRED,
    .normalises_experts = true,
};

/* Qwen 2's layer; what its files call the norm after attention is the one before feed-forward. */
const struct arch arch_seed_oss = {
    .name = "seed_oss",
    .qkv_bias = REQUIRED,
    .activation = ACTIVATION_SILU,
    .ffn_norm = "post_attention_norm.weight",
};
