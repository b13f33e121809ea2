/* Hunyuan: Llama's layer with norms of every query and key head that is turned already, dense and
 * as mixtures beside an expert for all columns. */
#include "model/arch.h"

const struct arch arch_hunyuan_dense = {
    .name = "hunyuan-dense",
    .qkv_bias = OPTIONAL,
    .head_norms = REQUIRED,
    .norms_turned_heads = true,
    .activation = ACTIVATION_SILU,
};

const struct arch arch_hunyuan_moe = {
    .name = "hunyuan-moe",
    .qkv_bias = OPTIONAL,
    .head_norms = REQUIRED,
    .norms_turned_heads = true,
    .activation = ACTIVATION_SILU,
    .experts = REQUIRED,
    .shared_expert = REQUIRED,
    .normalises_experts = true,
};
