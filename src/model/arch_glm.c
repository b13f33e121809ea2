/* GLM-4 (0414): norms before and behind, gate and up in one tensor, pairs of the first half of a
 * head turned. */
#include "model/arch.h"

const struct arch arch_glm4 = {
    .name = "glm4",
    .rope_interleaved = true,
    .qkv_bias = OPTIONAL,
    .post_norms = REQUIRED,
    .activation = ACTIVATION_SILU,
    .has_fused_up = true,
};
