/* Phi-3, 3.5 and 4: Q, K and V in one tensor, gate and up in another; RoPE of a part of the head,
 * with factors for short and for long contexts. A window is all layers'. */
#include "model/arch.h"

const struct arch arch_phi3 = {
    .name = "phi3",
    .qkv_bias = OPTIONAL,
    .activation = ACTIVATION_SILU,
    .has_fused_qkv = true,
    .has_fused_up = true,
};
