"""Small random models of every architecture and RoPE scaling, written as GGUF files, for which
tests/golden/forward.py computes the exact answer. Weights are Q8_0, which is packed exactly, so that
only the rounding of activations and KV remains between the two."""

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import quantize

D_MODEL, D_HEAD, N_HEADS, N_KV_HEADS, D_FF, N_LAYERS, N_VOCAB = 256, 64, 4, 2, 512, 7, 512
N_EXPERTS, N_EXPERTS_USED, D_EXPERT = 12, 3, 96


def byte_symbols():
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    extra = iter(range(256, 512))
    return [chr(b) if b in keep else chr(next(extra)) for b in range(256)]


def add_vocabulary(w):
    tokens = byte_symbols() + ["th", "he"]
    tokens += [f"w{i}" for i in range(len(tokens), N_VOCAB - 1)] + ["<|endoftext|>"]
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("qwen2")
    w.add_token_list(tokens)
    w.add_token_types([1] * (N_VOCAB - 1) + [3])
    w.add_token_merges(["t h", "h e"])
    w.add_eos_token_id(N_VOCAB - 1)
    w.add_bos_token_id(N_VOCAB - 1)


def write(path, arch, seed=1, scaling=None, rope_factors=None, tied=False, n_experts=N_EXPERTS,
          n_experts_used=N_EXPERTS_USED, d_expert=D_EXPERT, name=None):
    """scaling: None, ("linear", factor) or ("yarn", factor, original context). What is said of the
    experts need not be true of the tensors."""
    rng = np.random.default_rng(seed)
    w = GGUFWriter(path, arch)
    w.add_name(name or f"random {arch}")
    w.add_block_count(N_LAYERS)
    w.add_context_length(4096)
    w.add_embedding_length(D_MODEL)
    w.add_feed_forward_length(D_FF)
    w.add_head_count(N_HEADS)
    w.add_head_count_kv(N_KV_HEADS)
    w.add_key_length(D_HEAD)
    w.add_value_length(D_HEAD)
    w.add_layer_norm_rms_eps(1e-6)
    w.add_rope_freq_base(10000.0)
    if arch == "gemma3":
        w.add_sliding_window(16)
    if scaling:
        w.add_string(f"{arch}.rope.scaling.type", scaling[0])
        w.add_float32(f"{arch}.rope.scaling.factor", scaling[1])
        if scaling[0] == "yarn":
            w.add_uint32(f"{arch}.rope.scaling.original_context_length", scaling[2])
    if arch.endswith("moe"):
        w.add_expert_count(n_experts)
        w.add_expert_used_count(n_experts_used)
        w.add_expert_feed_forward_length(d_expert)
        if arch == "qwen2moe":
            w.add_expert_shared_feed_forward_length(D_FF)
    add_vocabulary(w)

    def matrix(name, n_rows, n_k, scale=1.0):
        x = rng.standard_normal((n_rows, n_k), dtype=np.float32) * (scale / np.sqrt(n_k))
        w.add_tensor(name, quantize(x, GGMLQuantizationType.Q8_0),
                     raw_dtype=GGMLQuantizationType.Q8_0)

    def vector(name, n, centre=1.0, spread=0.1):
        w.add_tensor(name, (centre + spread * rng.standard_normal(n)).astype(np.float32))

    def mixture(p):
        vector(p + "ffn_gate_inp.weight", (N_EXPERTS, D_MODEL), 0.0, 2.0 / np.sqrt(D_MODEL))
        for name, rows, k in (("gate", D_EXPERT, D_MODEL), ("up", D_EXPERT, D_MODEL),
                              ("down", D_MODEL, D_EXPERT)):
            x = rng.standard_normal((N_EXPERTS, rows, k), dtype=np.float32) / np.sqrt(k)
            w.add_tensor(p + f"ffn_{name}_exps.weight",
                         quantize(x.astype(np.float32), GGMLQuantizationType.Q8_0),
                         raw_dtype=GGMLQuantizationType.Q8_0)
        if arch == "qwen2moe":
            matrix(p + "ffn_gate_shexp.weight", D_FF, D_MODEL)
            matrix(p + "ffn_up_shexp.weight", D_FF, D_MODEL)
            matrix(p + "ffn_down_shexp.weight", D_MODEL, D_FF)
            vector(p + "ffn_gate_inp_shexp.weight", D_MODEL, 0.0, 1.0 / np.sqrt(D_MODEL))

    # X is large beside what a layer adds to it, as in real models; logits have a spread of about 3
    matrix("token_embd.weight", N_VOCAB, D_MODEL, 3.0 if tied else 16.0)
    if not tied:
        matrix("output.weight", N_VOCAB, D_MODEL, 3.0)
    vector("output_norm.weight", D_MODEL)
    if rope_factors is not None:
        w.add_tensor("rope_freqs.weight", rope_factors.astype(np.float32))
    for i in range(N_LAYERS):
        p = f"blk.{i}."
        for name, rows in (("q", N_HEADS), ("k", N_KV_HEADS), ("v", N_KV_HEADS)):
            matrix(p + f"attn_{name}.weight", rows * D_HEAD, D_MODEL)
            if arch in ("qwen2", "qwen2moe"):
                vector(p + f"attn_{name}.bias", rows * D_HEAD, 0.0, 0.3)
        if arch in ("qwen3", "qwen3moe", "gemma3"):
            vector(p + "attn_q_norm.weight", D_HEAD)
            vector(p + "attn_k_norm.weight", D_HEAD)
        matrix(p + "attn_output.weight", D_MODEL, N_HEADS * D_HEAD)
        if arch.endswith("moe"):
            mixture(p)
        else:
            matrix(p + "ffn_gate.weight", D_FF, D_MODEL)
            matrix(p + "ffn_up.weight", D_FF, D_MODEL)
            matrix(p + "ffn_down.weight", D_MODEL, D_FF)
        vector(p + "attn_norm.weight", D_MODEL)
        vector(p + "ffn_norm.weight", D_MODEL)
        if arch == "gemma3":
            vector(p + "post_attention_norm.weight", D_MODEL)
            vector(p + "post_ffw_norm.weight", D_MODEL)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    return path
