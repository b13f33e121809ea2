/* Granite 3 and 4: Llama's layer with a scale at each of its joints, dense and as mixtures of
 * experts beside one that all columns go through; and with most layers state spaces. */
#include "model/arch.h"

const struct arch arch_granite = {
    .name = "granite",
    .rope_interleaved = true,
    .qkv_bias = OPTIONAL,
    .activation = ACTIVATION_SILU,
    .has_multipliers = true,
    .has_rope_switch = true,
};

const struct arch arch_granitemoe = {
    .name = "granitemoe",
    .rope_interleaved = true,
    .qkv_bias = OPTIONAL,
    .activation = ACTIVATION_SILU,
    .experts = REQUIRED,
    .shared_expert = OPTIONAL,
    .normalises_experts = true,
    .has_wide_experts = true,
    .has_multipliers = true,
    .has_rope_switch = true,
};

const struct arch arch_granitehybrid = {
    .name = "granitehybrid",
    .rope_interleaved = true,
    .qkv_bias = OPTIONAL,
    .mixer = MIXER_STATE_SPACE,
    .mixer_place = MIXERS_WITHOUT_KV_HEADS,
    .activation = ACTIVATION_SILU,
    .experts = OPTIONAL,
    .shared_expert = OPTIONAL,
    .normalises_experts = true,
    .has_wide_experts = true,
    .has_multipliers = true,
    .has_rope_switch = true,
};
