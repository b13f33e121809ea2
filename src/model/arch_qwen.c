/* Qwen 2 and 2.5 (biases on Q, K and V) and Qwen 3 (head norms instead). */
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
