/* GLM-4 (0414): norms before and behind, gate and up in one tensor, pairs of the first half of a
 * head turned.
 *
 * GLM-4.5 and 4.6: the first layers dense, then mixtures beside an expert for all columns, the
 * router a sigmoid with a bias that chooses and does not weigh. */
#include "model/arch.h"

const struct arch arch_glm4 = {
    .name = "glm4",
    .rope_interleaved = true,
    .qkv_bias = OPTIONAL,
    .post_norms = REQUIRED,
    .activation = ACTIVATION_SILU,
    .has_fused_up = true,
};

const struct arch arch_glm4moe = {
    .name = "glm4moe",
    .qkv_bias = OPTIONAL,
    .head_norms = OPTIONAL,
    .ffn_norm = "post_attention_norm.weight",
    .activation = ACTIVATION_SILU,
    .experts = REQUIRED,
    .shared_expert = REQUIRED,
    .normalises_experts = true,
    .router_score = ROUTER_SIGMOID,
    .may_lead_dense = true,
};
