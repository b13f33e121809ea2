"""A small random Gemma 3n, for which tests/golden/forward_gemma3n.py computes the exact answer."""

import tiny_gemma4
from tiny_writer import TinyWriter

D_MODEL, N_HEADS, N_KV_HEADS, D_HEAD, N_VOCAB = 256, 4, 2, 64, 512
D_FF, D_INPUT, D_LOW = 320, 32, 64
N_TRACKS, N_LAYERS, N_SHARED, WINDOW = 4, 5, 2, 24
PATTERN = [True, False, True, True, False]


def write(path, seed=1):
    w = TinyWriter(path, "gemma3n", seed)
    w.add_name("random gemma3n")
    w.add_block_count(N_LAYERS)
    w.add_context_length(4096)
    w.add_embedding_length(D_MODEL)
    w.add_feed_forward_length([D_FF] * N_LAYERS)
    w.add_head_count(N_HEADS)
    w.add_head_count_kv(N_KV_HEADS)
    w.add_key_length(D_HEAD)
    w.add_value_length(D_HEAD)
    w.add_layer_norm_rms_eps(1e-6)
    w.add_rope_freq_base(1e6)
    w.add_float32("gemma3n.rope.freq_base_swa", 1e4)
    w.add_final_logit_softcapping(30.0)
    w.add_sliding_window(WINDOW)
    w.add_sliding_window_pattern(PATTERN)
    w.add_uint32("gemma3n.attention.shared_kv_layers", N_SHARED)
    w.add_uint32("gemma3n.embedding_length_per_layer_input", D_INPUT)
    w.add_uint32("gemma3n.altup.active_idx", 0)
    w.add_uint32("gemma3n.altup.num_inputs", N_TRACKS)
    w.add_array("gemma3n.activation_sparsity_scale", [1.645, 0.5] + [float("-inf")] * 3)
    tiny_gemma4.add_vocabulary(w)
    matrix, vector = w.matrix, w.vector

    matrix("token_embd.weight", N_VOCAB, D_MODEL, scale=3.0)
    vector("output_norm.weight", D_MODEL)
    matrix("per_layer_token_embd.weight", N_VOCAB, N_LAYERS * D_INPUT)
    matrix("per_layer_model_proj.weight", N_LAYERS * D_INPUT, D_MODEL)
    vector("per_layer_proj_norm.weight", D_INPUT)
    matrix("altup_proj.weight", N_TRACKS - 1, D_MODEL, D_MODEL)
    matrix("altup_unembd_proj.weight", N_TRACKS - 1, D_MODEL, D_MODEL)
    for i in range(N_LAYERS):
        p = f"blk.{i}."
        vector(p + "altup_router.weight", (N_TRACKS, D_MODEL), 0.0, 8.0)
        vector(p + "altup_router_norm.weight", D_MODEL)
        vector(p + "altup_predict_coef.weight", (N_TRACKS**2, N_TRACKS), 0.0, 0.3)
        vector(p + "altup_correct_coef.weight", (N_TRACKS, N_TRACKS), 0.0, 0.3)
        vector(p + "altup_correct_scale.weight", D_MODEL)
        matrix(p + "laurel_l.weight", D_LOW, D_MODEL)
        matrix(p + "laurel_r.weight", D_MODEL, D_LOW)
        matrix(p + "attn_q.weight", N_HEADS * D_HEAD, D_MODEL)
        vector(p + "attn_q_norm.weight", D_HEAD, spread=0.3)
        if i < N_LAYERS - N_SHARED or i == N_LAYERS - 1:    # there unused, as in real files
            matrix(p + "attn_k.weight", N_KV_HEADS * D_HEAD, D_MODEL)
            matrix(p + "attn_v.weight", N_KV_HEADS * D_HEAD, D_MODEL)
            vector(p + "attn_k_norm.weight", D_HEAD, 0.3)
        matrix(p + "attn_output.weight", D_MODEL, N_HEADS * D_HEAD)
        matrix(p + "ffn_gate.weight", D_FF, D_MODEL)
        matrix(p + "ffn_up.weight", D_FF, D_MODEL)
        matrix(p + "ffn_down.weight", D_MODEL, D_FF)
        matrix(p + "inp_gate.weight", D_INPUT, D_MODEL)
        matrix(p + "proj.weight", D_MODEL, D_INPUT)
        for name in ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm", "post_norm",
                     "laurel_post_norm"):
            vector(p + name + ".weight", D_MODEL)
    w.finish()
    return path
