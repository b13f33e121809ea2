/* Nemotron-H (each layer one thing alone), Falcon-H1 (attention and a state space side by side) and
 * LFM2 (short convolutions), dense and as mixtures behind the first layers, whose router is a
 * sigmoid with a bias that chooses and does not weigh. */
#include "model/arch.h"

const struct arch arch_nemotron_h = {
    .name = "nemotron_h",
    .qkv_bias = OPTIONAL,
    .ffn_norm = "attn_norm.weight",
    .mixer = MIXER_STATE_SPACE,
    .mixer_place = MIXERS_WITHOUT_KV_HEADS,
    .is_single = true,
    .activation = ACTIVATION_RELU,
    .has_no_ffn_gate = true,
    .has_rope_switch = true,
};

const struct arch arch_falcon_h1 = {
    .name = "falcon-h1",
    .qkv_bias = OPTIONAL,
    .ffn_norm = "ffn_norm",         /* so it is called, without .weight */
    .mixer = MIXER_STATE_SPACE,
    .mixer_place = MIXERS_BESIDE_ATTENTION,
    .activation = ACTIVATION_SILU,
};

const struct arch arch_lfm2 = {
    .name = "lfm2",
    .head_norms = REQUIRED,
    .mixer = MIXER_SHORT_CONVOLUTION,
    .mixer_place = MIXERS_WITHOUT_KV_HEADS,
    .activation = ACTIVATION_SILU,
    .output_norm = "token_embd_norm.weight",
};

const struct arch arch_lfm2moe = {
    .name = "lfm2moe",
    .head_norms = REQUIRED,
    .mixer = MIXER_SHORT_CONVOLUTION,
    .mixer_place = MIXERS_WITHOUT_KV_HEADS,
    .activation = ACTIVATION_SILU,
    .experts = REQUIRED,
    .normalises_experts = true,
    .router_score = ROUTER_SIGMOID,
    .may_lead_dense = true,
    .output_norm = "token_embd_norm.weight",
};
