"""Small random models whose layers look back by a state space (Mamba-2) or a short convolution, for
which tests/golden/forward_hybrids.py computes the exact answer: granitehybrid (dense, and "moe" as
a mixture), nemotron_h (each layer one thing alone), falcon-h1 (attention beside a state space),
lfm2, lfm2moe."""

import numpy as np
from gguf import ExpertGatingFuncType

from tiny_writer import TinyWriter

D_MODEL, D_HEAD, N_HEADS, N_KV_HEADS, D_FF, N_VOCAB = 256, 64, 4, 2, 512, 512
N_STATE_HEADS, D_STATE_VALUE, D_STATE_KEY, N_GROUPS, N_TAPS = 4, 64, 32, 2, 4
N_EXPERTS, N_EXPERTS_USED, D_EXPERT = 12, 3, 96
N_LAYERS = 6
# of a layer: m(ixer), a(ttention), f(eed-forward)
LAYERS = {"granitehybrid": ["mf", "mf", "af", "mf", "mf", "af"],
          "nemotron_h": ["m", "f", "m", "a", "f", "m"],
          "falcon-h1": ["maf"] * 6,
          "lfm2": ["mf", "mf", "af", "mf", "mf", "af"],
          "lfm2moe": ["mf", "mf", "af", "mf", "mf", "af"]}
N_DENSE = 2     # of lfm2moe, the first


def add_keys(w, arch, layers, is_moe):
    w.add_block_count(N_LAYERS)
    w.add_context_length(4096)
    w.add_embedding_length(D_MODEL)
    w.add_feed_forward_length([D_FF if "f" in x else 0 for x in layers]
                              if arch == "nemotron_h" else D_FF)
    w.add_head_count(N_HEADS)
    w.add_head_count_kv(N_KV_HEADS if arch == "falcon-h1"
                        else [N_KV_HEADS if "a" in x else 0 for x in layers])
    w.add_key_length(D_HEAD)
    w.add_value_length(D_HEAD)
    w.add_layer_norm_rms_eps(1e-6)
    w.add_rope_freq_base(10000.0)
    if arch.startswith("lfm2"):
        w.add_uint32(f"{arch}.shortconv.l_cache", 3)
    else:
        w.add_ssm_conv_kernel(N_TAPS)
        w.add_ssm_state_size(D_STATE_KEY)
        w.add_ssm_group_count(N_GROUPS)
        w.add_ssm_time_step_rank(N_STATE_HEADS)
        w.add_ssm_inner_size(N_STATE_HEADS * D_STATE_VALUE)
    if arch == "lfm2moe":
        w.add_expert_count(N_EXPERTS)
        w.add_expert_used_count(N_EXPERTS_USED)
        w.add_expert_feed_forward_length(D_EXPERT)
        w.add_leading_dense_block_count(N_DENSE)
        w.add_expert_gating_func(ExpertGatingFuncType.SIGMOID)
    if arch in ("granitehybrid", "nemotron_h"):
        w.add_bool(f"{arch}.rope.scaling.finetuned", False)
    if arch == "granitehybrid":
        w.add_embedding_scale(0.5)
        w.add_residual_scale(0.4)
        w.add_attention_scale(0.2)
        w.add_logit_scale(2.0)
        w.add_expert_count(N_EXPERTS if is_moe else 0)
        w.add_expert_used_count(N_EXPERTS_USED if is_moe else 0)
        w.add_expert_shared_feed_forward_length(D_FF)
        if is_moe:
            w.add_expert_feed_forward_length(D_EXPERT)


def write(path, arch, seed, keys, add_vocabulary):
    """arch: one of LAYERS' or "granitehybrid moe". keys: as TinyWriter has them."""
    arch, _, kind = arch.partition(" ")
    layers, is_moe = LAYERS[arch], kind == "moe"
    w = TinyWriter(path, arch, seed, keys)
    w.add_name(f"random {arch}")
    add_keys(w, arch, layers, is_moe)
    add_vocabulary(w)
    matrix, vector = w.matrix, w.vector

    def state_space(p):
        width = N_STATE_HEADS * D_STATE_VALUE
        n_channels = width + 2 * N_GROUPS * D_STATE_KEY
        matrix(p + "ssm_in.weight", width + n_channels + N_STATE_HEADS, D_MODEL)
        vector(p + "ssm_conv1d.weight", (n_channels, N_TAPS), 0.0, 0.5)
        vector(p + "ssm_conv1d.bias", n_channels, 0.0, 0.2)
        vector(p + "ssm_dt.bias", N_STATE_HEADS, -1.0, 1.0)
        vector(p + "ssm_a", (N_STATE_HEADS, 1), -0.5, 0.1)
        vector(p + "ssm_d", (N_STATE_HEADS, 1), 1.0, 0.3)
        if arch != "falcon-h1":
            vector(p + "ssm_norm.weight", (N_GROUPS, width // N_GROUPS))
        matrix(p + "ssm_out.weight", D_MODEL, width, scale=0.25)

    def short_convolution(p):
        matrix(p + "shortconv.in_proj.weight", 3 * D_MODEL, D_MODEL)
        vector(p + "shortconv.conv.weight", (D_MODEL, 3), 0.0, 0.5)
        matrix(p + "shortconv.out_proj.weight", D_MODEL, D_MODEL, scale=0.25)

    def feed_forward(p, i):
        is_mixture = is_moe or arch == "lfm2moe" and i >= N_DENSE
        if arch == "lfm2moe":
            vector(p + "ffn_norm.weight", D_MODEL)
        if arch == "lfm2moe" and is_mixture:
            vector(p + "exp_probs_b.bias", N_EXPERTS, 0.0, 0.6)
        if is_mixture:
            vector(p + "ffn_gate_inp.weight", (N_EXPERTS, D_MODEL), 0.0, 2.0 / np.sqrt(D_MODEL))
            for name, rows, n_k in (("gate", D_EXPERT, D_MODEL), ("up", D_EXPERT, D_MODEL),
                                    ("down", D_MODEL, D_EXPERT)):
                is_small = arch == "lfm2moe" and name == "down"
                matrix(p + f"ffn_{name}_exps.weight", N_EXPERTS, rows, n_k,
                       scale=0.2 if is_small else 1.0)
        if arch == "lfm2moe" and is_mixture:
            return
        end = "_shexp" if is_moe else ""
        if arch != "nemotron_h":
            matrix(p + f"ffn_gate{end}.weight", D_FF, D_MODEL)
        matrix(p + f"ffn_up{end}.weight", D_FF, D_MODEL)
        matrix(p + f"ffn_down{end}.weight", D_MODEL, D_FF, scale=0.5)
        if arch == "falcon-h1":
            vector(p + "ffn_norm", D_MODEL)
        elif arch not in ("nemotron_h", "lfm2moe"):
            vector(p + "ffn_norm.weight", D_MODEL)

    is_tied = arch.startswith("lfm2")
    matrix("token_embd.weight", N_VOCAB, D_MODEL, scale=3.0 if is_tied else 16.0)
    if not is_tied:
        matrix("output.weight", N_VOCAB, D_MODEL, scale=3.0)
    vector("token_embd_norm.weight" if is_tied else "output_norm.weight", D_MODEL)
    for i, kinds in enumerate(layers):
        p = f"blk.{i}."
        vector(p + "attn_norm.weight", D_MODEL)
        if "m" in kinds:
            (short_convolution if is_tied else state_space)(p)
        if "a" in kinds:
            for name, rows in (("q", N_HEADS), ("k", N_KV_HEADS), ("v", N_KV_HEADS)):
                matrix(p + f"attn_{name}.weight", rows * D_HEAD, D_MODEL)
            if is_tied:
                vector(p + "attn_q_norm.weight", D_HEAD)
                vector(p + "attn_k_norm.weight", D_HEAD)
            matrix(p + "attn_output.weight", D_MODEL, N_HEADS * D_HEAD)
        if "f" in kinds:
            feed_forward(p, i)
    w.finish()
    return path
