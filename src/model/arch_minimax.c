/* MiniMax M2: mixtures alone, the router a sigmoid with a bias that chooses and does not weigh;
 * norms of all query heads together, and of all key heads; half of a head turned. */
#include "model/arch.h"

const struct arch arch_minimax_m2 = {
    .name = "minimax-m2",
    .qkv_bias = OPTIONAL,
    .head_norms = REQUIRED,
    .norms_all_heads = true,
    .activation = ACTIVATION_SILU,
    .experts = REQUIRED,
    .normalises_experts = true,
    .router_score = ROUTER_SIGMOID,
};
