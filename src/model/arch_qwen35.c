/* Qwen 3.5 and 3.6, dense and as mixtures, and Qwen3-Next: three layers with a delta net to one
 * whose attention is gated. What their files call the norm after attention is the one before
 * feed-forward. */
#include "model/arch.h"

#define COMMON \
    .head_norms = REQUIRED, .ffn_norm = "post_attention_norm.weight", \
    .activation = ACTIVATION_SILU, .mixer = MIXER_DELTA_NET, .gates_attention = true

const struct arch arch_qwen35 = {
    .name = "qwen35",
    COMMON,
    .keys_are_in_turn = true,
};

const struct arch arch_qwen35moe = {
    .name = "qwen35moe",
    COMMON,
    .keys_are_in_turn = true,
    .experts = REQUIRED,
    .shared_expert = REQUIRED,
    .shared_router = REQUIRED,
    .normalises_experts = true,
};

const struct arch arch_qwen3next = {
    .name = "qwen3next",
    COMMON,
    .has_grouped_decay = true,
    .experts = REQUIRED,
    .shared_expert = REQUIRED,
    .shared_router = REQUIRED,
    .normalises_experts = true,
};
