"""Small random models of Gemma 4's three kinds, for which tests/golden/forward_gemma4.py computes
the exact answer: "gemma4 dense", "gemma4 moe" (a dense part beside the experts) and "gemma4 small"
(inputs of every layer, and layers that read another's keys and values)."""

import numpy as np

from tiny_writer import TinyWriter

D_MODEL, N_HEADS, N_VOCAB, D_FF, N_EXPERTS, D_EXPERT, D_INPUT = 256, 4, 512, 256, 12, 96, 64
LOCAL, GLOBAL = (2, 64), (1, 128)       # KV heads, d_head
WINDOW, N_SHARED = 24, 3
PATTERN = {"gemma4 dense": [1, 1, 0, 1, 0], "gemma4 moe": [1, 1, 0],
           "gemma4 small": [1, 1, 0, 1, 1, 0, 0]}
MERGES = ["t h", "th e", "\u2581 the", "e r", "\u2581the r", "a n", "\u2581 a"]


def tokens():
    names = ["<pad>", "<eos>", "<bos>", "<unk>"] + [f"<0x{b:02X}>" for b in range(256)]
    names += ["\n", "\n\n", "\u2581"] + [chr(c) for c in range(33, 127)]
    names += [m.replace(" ", "") for m in MERGES]
    return names + [f"w{i}" for i in range(len(names), N_VOCAB)]


def add_vocabulary(w):
    w.add_tokenizer_model("gemma4")
    w.add_token_list(tokens())
    w.add_token_types([3, 3, 3, 2] + [6] * 256 + [1] * (N_VOCAB - 260))
    w.add_token_scores([-1000.0] * N_VOCAB)
    w.add_token_merges(MERGES)
    w.add_bos_token_id(2)
    w.add_eos_token_id(1)
    w.add_unk_token_id(3)
    w.add_add_bos_token(True)
    w.add_add_space_prefix(False)


def write(path, arch, seed=1, keys=()):
    """arch: one of PATTERN's. keys: as TinyWriter has them."""
    is_moe, is_small = arch == "gemma4 moe", arch == "gemma4 small"
    pattern = [bool(x) for x in PATTERN[arch]]
    n_layers = len(pattern)
    n_own = n_layers - N_SHARED if is_small else n_layers
    w = TinyWriter(path, "gemma4", seed, keys)
    widths = [D_FF if i < n_own else 2 * D_FF for i in range(n_layers)]
    w.add_name(f"random {arch}")
    w.add_block_count(n_layers)
    w.add_context_length(4096)
    w.add_embedding_length(D_MODEL)
    w.add_feed_forward_length(widths if is_small else D_FF)
    w.add_head_count(N_HEADS)
    w.add_head_count_kv([(LOCAL if x else GLOBAL)[0] for x in pattern])
    w.add_key_length(GLOBAL[1])
    w.add_value_length(GLOBAL[1])
    w.add_uint32("gemma4.attention.key_length_swa", LOCAL[1])
    w.add_uint32("gemma4.attention.value_length_swa", LOCAL[1])
    w.add_layer_norm_rms_eps(1e-6)
    w.add_rope_freq_base(1e6)
    w.add_float32("gemma4.rope.freq_base_swa", 1e4)
    w.add_rope_dimension_count(GLOBAL[1])
    w.add_uint32("gemma4.rope.dimension_count_swa", LOCAL[1])
    w.add_final_logit_softcapping(10.0)
    w.add_sliding_window(WINDOW)
    w.add_sliding_window_pattern(pattern)
    w.add_uint32("gemma4.attention.shared_kv_layers", n_layers - n_own)
    w.add_uint32("gemma4.embedding_length_per_layer_input", D_INPUT if is_small else 0)
    if is_moe:
        w.add_expert_count(N_EXPERTS)
        w.add_expert_used_count(3)
        w.add_expert_feed_forward_length(D_EXPERT)
    add_vocabulary(w)
    matrix, vector = w.matrix, w.vector

    matrix("token_embd.weight", N_VOCAB, D_MODEL, scale=3.0)
    vector("output_norm.weight", D_MODEL)
    n_turned = GLOBAL[1] // 8
    factors = [1.0] * n_turned + [1e30] * (GLOBAL[1] // 2 - n_turned)
    w.add_tensor("rope_freqs.weight", np.array(factors, np.float32))
    if is_small:
        matrix("per_layer_token_embd.weight", N_VOCAB, n_layers * D_INPUT)
        matrix("per_layer_model_proj.weight", n_layers * D_INPUT, D_MODEL)
        vector("per_layer_proj_norm.weight", D_INPUT)
    for i, is_local in enumerate(pattern):
        p, (n_kv, d_head), d_ff = f"blk.{i}.", LOCAL if is_local else GLOBAL, widths[i]
        matrix(p + "attn_q.weight", N_HEADS * d_head, D_MODEL)
        vector(p + "attn_q_norm.weight", d_head, spread=0.3)
        if i < n_own:
            matrix(p + "attn_k.weight", n_kv * d_head, D_MODEL)
            vector(p + "attn_k_norm.weight", d_head, 0.3)
            if is_local or is_small:
                matrix(p + "attn_v.weight", n_kv * d_head, D_MODEL)
        matrix(p + "attn_output.weight", D_MODEL, N_HEADS * d_head)
        matrix(p + "ffn_gate.weight", d_ff, D_MODEL)
        matrix(p + "ffn_up.weight", d_ff, D_MODEL)
        matrix(p + "ffn_down.weight", D_MODEL, d_ff)
        for name in ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"):
            vector(p + name + ".weight", D_MODEL)
        vector(p + "layer_output_scale.weight", 1, 0.8)
        if is_small:
            matrix(p + "inp_gate.weight", D_INPUT, D_MODEL)
            matrix(p + "proj.weight", D_MODEL, D_INPUT)
            vector(p + "post_norm.weight", D_MODEL)
        if is_moe:
            for name in ("post_ffw_norm_1", "pre_ffw_norm_2", "post_ffw_norm_2"):
                vector(p + name + ".weight", D_MODEL)
            vector(p + "ffn_gate_inp.weight", (N_EXPERTS, D_MODEL), 0.0, 2.0)
            vector(p + "ffn_gate_inp.scale", D_MODEL)
            vector(p + "ffn_down_exps.scale", N_EXPERTS, 1.0, 0.3)
            matrix(p + "ffn_gate_up_exps.weight", N_EXPERTS, 2 * D_EXPERT, D_MODEL)
            matrix(p + "ffn_down_exps.weight", N_EXPERTS, D_MODEL, D_EXPERT)
    w.finish()
    return path
