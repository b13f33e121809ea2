/* gpt-oss: experts with biases in every layer, biases of queries, keys and values, a sink for every
 * head, every second layer local. YaRN's ramp has its ends where the release has them, between two
 * pairs: its config.json says truncate: false, for which files have no key. llama.cpp rounds them,
 * as the key rope.scaling.yarn_truncate does here where somebody sets it. */
#include "model/arch.h"

const struct arch arch_gpt_oss = {
    .name = "gpt-oss",
    .qkv_bias = REQUIRED,
    .sinks = REQUIRED,
    .ffn_norm = "post_attention_norm.weight",
    .activation = ACTIVATION_SWIGLU_CLAMPED,
    .experts = REQUIRED,
    .normalises_experts = true,
    .window_period = 2,
    .yarn_is_unrounded = true,
};
