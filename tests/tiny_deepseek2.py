"""Small random models of DeepSeek's two kinds, for which tests/golden/forward_deepseek2.py computes
the exact answer: "deepseek2" as V3 is (queries by way of a narrow row, a sigmoid router with a
bias, YaRN) and "deepseek2 v2" (a softmax router whose groups rank by their best expert)."""

import numpy as np
from gguf import ExpertGatingFuncType

from tiny_writer import TinyWriter

D_MODEL, N_HEADS, N_VOCAB, D_FF, N_LAYERS, N_DENSE = 256, 4, 512, 320, 4, 1
D_LATENT, D_TURNED, D_PLAIN, D_VALUE, D_QUERY = 64, 16, 32, 32, 96
N_EXPERTS, N_USED, D_EXPERT, N_SHARED = 12, 3, 96, 2


def write(path, arch, add_vocabulary, seed=1):
    is_v2 = arch == "deepseek2 v2"
    w = TinyWriter(path, "deepseek2", seed)
    w.add_name(f"random {arch}")
    w.add_block_count(N_LAYERS)
    w.add_context_length(4096)
    w.add_embedding_length(D_MODEL)
    w.add_feed_forward_length(D_FF)
    w.add_head_count(N_HEADS)
    w.add_head_count_kv(1)
    w.add_key_length(D_LATENT + D_TURNED)
    w.add_value_length(D_LATENT)
    w.add_kv_lora_rank(D_LATENT)
    if not is_v2:
        w.add_q_lora_rank(D_QUERY)
    w.add_uint32("deepseek2.attention.key_length_mla", D_PLAIN + D_TURNED)
    w.add_uint32("deepseek2.attention.value_length_mla", D_VALUE)
    w.add_layer_norm_rms_eps(1e-6)
    w.add_rope_freq_base(10000.0)
    w.add_rope_dimension_count(D_TURNED)
    if not is_v2:
        w.add_string("deepseek2.rope.scaling.type", "yarn")
        w.add_float32("deepseek2.rope.scaling.factor", 4.0)
        w.add_uint32("deepseek2.rope.scaling.original_context_length", 64)
        w.add_float32("deepseek2.rope.scaling.yarn_log_multiplier", 0.0707)
    w.add_expert_count(N_EXPERTS)
    w.add_expert_used_count(N_USED)
    w.add_expert_feed_forward_length(D_EXPERT)
    w.add_expert_shared_count(N_SHARED)
    w.add_leading_dense_block_count(N_DENSE)
    w.add_expert_weights_scale(1.7)
    w.add_expert_weights_norm(not is_v2)
    w.add_expert_gating_func(ExpertGatingFuncType.SOFTMAX if is_v2
                             else ExpertGatingFuncType.SIGMOID)
    w.add_uint32("deepseek2.expert_group_count", 4)
    w.add_uint32("deepseek2.expert_group_used_count", 2)
    add_vocabulary(w)
    matrix, vector = w.matrix, w.vector

    def feed_forward(p, tail, d_ff):
        matrix(p + f"ffn_gate{tail}.weight", d_ff, D_MODEL)
        matrix(p + f"ffn_up{tail}.weight", d_ff, D_MODEL)
        matrix(p + f"ffn_down{tail}.weight", D_MODEL, d_ff)

    matrix("token_embd.weight", N_VOCAB, D_MODEL, scale=16.0)
    matrix("output.weight", N_VOCAB, D_MODEL, scale=3.0)
    vector("output_norm.weight", D_MODEL)
    for i in range(N_LAYERS):
        p, n_q = f"blk.{i}.", N_HEADS * (D_PLAIN + D_TURNED)
        vector(p + "attn_norm.weight", D_MODEL)
        vector(p + "ffn_norm.weight", D_MODEL)
        if is_v2:
            matrix(p + "attn_q.weight", n_q, D_MODEL)
        else:
            matrix(p + "attn_q_a.weight", D_QUERY, D_MODEL)
            vector(p + "attn_q_a_norm.weight", D_QUERY)
            matrix(p + "attn_q_b.weight", n_q, D_QUERY)
        matrix(p + "attn_kv_a_mqa.weight", D_LATENT + D_TURNED, D_MODEL)
        vector(p + "attn_kv_a_norm.weight", D_LATENT)
        matrix(p + "attn_k_b.weight", N_HEADS, D_LATENT, D_PLAIN)
        matrix(p + "attn_v_b.weight", N_HEADS, D_VALUE, D_LATENT)
        matrix(p + "attn_output.weight", D_MODEL, N_HEADS * D_VALUE)
        if i < N_DENSE:
            feed_forward(p, "", D_FF)
            continue
        vector(p + "ffn_gate_inp.weight", (N_EXPERTS, D_MODEL), 0.0, 2.0 / np.sqrt(D_MODEL))
        if not is_v2:
            vector(p + "exp_probs_b.bias", N_EXPERTS, 0.0, 0.6)
        matrix(p + "ffn_gate_exps.weight", N_EXPERTS, D_EXPERT, D_MODEL)
        matrix(p + "ffn_up_exps.weight", N_EXPERTS, D_EXPERT, D_MODEL)
        matrix(p + "ffn_down_exps.weight", N_EXPERTS, D_MODEL, D_EXPERT)
        feed_forward(p, "_shexp", N_SHARED * D_EXPERT)
    w.finish()
    return path
