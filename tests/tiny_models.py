"""Small random models of every architecture and RoPE scaling, written as GGUF files, for which
tests/golden/forward.py computes the exact answer. Weights are Q8_0, which is packed exactly, so
that only the rounding of activations and KV remains between the two."""

import numpy as np
from gguf import ExpertGatingFuncType, GGMLQuantizationType
from gguf.quants import quantize

import tiny_deepseek2
import tiny_gemma3n
import tiny_gemma4
import tiny_hybrids
from tiny_writer import TinyWriter

D_MODEL, D_HEAD, N_HEADS, N_KV_HEADS, D_FF, N_LAYERS, N_VOCAB = 256, 64, 4, 2, 512, 7, 512
N_EXPERTS, N_EXPERTS_USED, D_EXPERT = 12, 3, 96
# delta nets and attention that is gated; of these, heads of states, values and keys of each, heads
# that have keys
DELTA_NETS = ("qwen35", "qwen35moe", "qwen3next")
HYBRIDS = (*DELTA_NETS, "granitehybrid", "granitehybrid moe", "nemotron_h", "falcon-h1",
           "lfm2", "lfm2moe")
N_STATE_HEADS, D_STATE_VALUE, D_STATE_KEY, N_STATE_KEY_HEADS, N_TAPS = 6, 64, 48, 2, 4


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


def has_mixer(layer):
    return (layer + 1) % 4 != 0


# of the architectures of DELTA_NETS: inputs and matrices, floats, that a stream's mixers remember
N_MIXERS = sum(has_mixer(i) for i in range(N_LAYERS))
N_CHANNELS = 2 * N_STATE_KEY_HEADS * D_STATE_KEY + N_STATE_HEADS * D_STATE_VALUE
STATE_BYTES = N_MIXERS * 4 * ((N_TAPS - 1) * N_CHANNELS +
                              N_STATE_HEADS * D_STATE_KEY * D_STATE_VALUE)


def write(path, arch, seed=1, scaling=None, rope_factors=None, tied=False, n_experts=N_EXPERTS,
          n_experts_used=N_EXPERTS_USED, d_expert=D_EXPERT, mixture=None, name=None, keys=(),
          biases=(), tensors=None, n_dense=1, kind=GGMLQuantizationType.Q8_0):
    """scaling: None, ("linear", factor) or ("yarn", factor, original context). What is said of the
    experts need not be true of the tensors. mixture: whether there are any; None: as the
    architecture's name says. keys: as TinyWriter has them. biases: of which products, such as
    "ffn_up". tensors: changes (name, array) before it is written. n_dense: of glm4moe, layers
    before those with experts. kind: of weights, where an architecture is written here."""
    if arch.split()[0] in tiny_hybrids.LAYERS:
        return tiny_hybrids.write(path, arch, seed, keys, add_vocabulary)
    if arch.startswith("deepseek2"):
        return tiny_deepseek2.write(path, arch, add_vocabulary, seed)
    if arch == "gemma3n":
        return tiny_gemma3n.write(path, seed)
    if arch.startswith("gemma4"):
        return tiny_gemma4.write(path, arch, seed, keys)
    is_mixture = arch.endswith("moe") or arch in ("gpt-oss", "qwen3next", "minimax-m2", "llama4") \
        if mixture is None else mixture
    is_hybrid = arch in DELTA_NETS
    is_wide = is_mixture and arch == "llama"    # Mixtral: as wide as its layers would be
    w = TinyWriter(path, arch, seed, keys, kind)
    add_tensor = w.add_tensor
    if tensors:
        w.add_tensor = lambda n, x, **more: add_tensor(n, tensors(n, x), **more)
    w.add_name(name or f"random {arch}")
    w.add_block_count(N_LAYERS + (arch == "glm4moe"))      # one is for the token after the next
    w.add_context_length(4096)
    w.add_embedding_length(D_MODEL)
    w.add_feed_forward_length(D_EXPERT if is_wide else D_FF)
    w.add_head_count(N_HEADS)
    w.add_head_count_kv(N_KV_HEADS)
    w.add_key_length(D_HEAD)
    w.add_value_length(D_HEAD)
    if arch == "cohere2":
        w.add_layer_norm_eps(1e-5)
        w.add_logit_scale(0.5)
    else:
        w.add_layer_norm_rms_eps(1e-6)
    w.add_rope_freq_base(10000.0)
    if arch in ("gemma2", "gemma3", "gpt-oss", "cohere2", "llama4"):
        w.add_sliding_window(16)
    if arch == "gpt-oss":
        scaling = ("yarn", 4.0, 64)
    if arch == "gemma2":
        w.add_attn_logit_softcapping(5.0)
        w.add_final_logit_softcapping(10.0)
    if arch == "exaone4":
        w.add_sliding_window(16)
        w.add_sliding_window_pattern([i % 4 != 3 for i in range(N_LAYERS)])
    if arch == "mistral3":
        scaling = ("yarn", 4.0, 32)
        w.add_float32("mistral3.rope.scaling.yarn_log_multiplier", 0.5)
        w.add_float32("mistral3.attention.temperature_scale", 0.2)
    if arch == "phi3":
        w.add_rope_dimension_count(48)
        w.add_rope_scaling_orig_ctx_len(64)
        w.add_rope_scaling_attn_factors(1.2)
        w.add_sliding_window(40)
    if arch in ("glm4", "glm4moe", "minimax-m2"):
        w.add_rope_dimension_count(D_HEAD // 2)
    if is_hybrid:
        w.add_rope_dimension_count(D_HEAD // 4)
        w.add_ssm_conv_kernel(N_TAPS)
        w.add_ssm_state_size(D_STATE_KEY)
        w.add_ssm_group_count(N_STATE_KEY_HEADS)
        w.add_ssm_time_step_rank(N_STATE_HEADS)
        w.add_ssm_inner_size(N_STATE_HEADS * D_STATE_VALUE)
        if arch != "qwen35moe":     # which goes by the rule for files that do not say
            w.add_array(f"{arch}.attention.recurrent_layers",
                        [has_mixer(i) for i in range(N_LAYERS)])
    if arch.startswith("granite"):
        w.add_embedding_scale(0.5)
        w.add_residual_scale(0.4)
        w.add_attention_scale(0.2)
        w.add_logit_scale(2.0)
    if scaling:
        w.add_string(f"{arch}.rope.scaling.type", scaling[0])
        w.add_float32(f"{arch}.rope.scaling.factor", scaling[1])
        if scaling[0] == "yarn":
            w.add_uint32(f"{arch}.rope.scaling.original_context_length", scaling[2])
    if is_mixture:
        w.add_expert_count(n_experts)
        w.add_expert_used_count(n_experts_used)
        if not is_wide:
            w.add_expert_feed_forward_length(d_expert)
        if arch in ("qwen2moe", "granitemoe") or is_hybrid:
            w.add_expert_shared_feed_forward_length(D_FF)
        if arch == "ernie4_5-moe":
            w.add_expert_shared_count(2)
            w.add_expert_shared_feed_forward_length(2 * D_EXPERT)
            w.add_leading_dense_block_count(n_dense)
            w.add_interleave_moe_layer_step(2)
        if arch == "hunyuan-moe":
            w.add_expert_shared_count(1)
            w.add_expert_shared_feed_forward_length(D_FF)
        if arch == "llama4":
            w.add_interleave_moe_layer_step(2)
            w.add_uint32("llama4.attention.temperature_length", 24)
        if arch == "minimax-m2":
            w.add_expert_gating_func(ExpertGatingFuncType.SIGMOID)
        if arch == "glm4moe":
            w.add_expert_shared_count(2)
            w.add_leading_dense_block_count(n_dense)
            w.add_expert_gating_func(ExpertGatingFuncType.SIGMOID)
            w.add_expert_weights_scale(0.8)
            w.add_expert_weights_norm(True)
            w.add_nextn_predict_layers(1)
    add_vocabulary(w)
    matrix, vector = w.matrix, w.vector

    def experts(p):
        of_experts = GGMLQuantizationType.MXFP4 if arch == "gpt-oss" else kind
        vector(p + "ffn_gate_inp.weight", (N_EXPERTS, D_MODEL), 0.0, 2.0 / np.sqrt(D_MODEL))
        for name, rows, k in (("gate", D_EXPERT, D_MODEL), ("up", D_EXPERT, D_MODEL),
                              ("down", D_MODEL, D_EXPERT)):
            x = w.rng.standard_normal((N_EXPERTS, rows, k), dtype=np.float32) / np.sqrt(k)
            if arch == "gpt-oss" and name == "down":    # a clamped gate and up + 1 give more
                x /= 3
            w.add_tensor(p + f"ffn_{name}_exps.weight", quantize(x.astype(np.float32), of_experts),
                         raw_dtype=of_experts)
            if arch == "gpt-oss":
                vector(p + f"ffn_{name}_exps.bias", (N_EXPERTS, rows), 0.0, 0.5)
        if arch == "gpt-oss":
            vector(p + "ffn_gate_inp.bias", N_EXPERTS, 0.0, 0.5)
            vector(p + "attn_sinks.weight", N_HEADS, 0.0, 1.0)
        if arch in ("qwen2moe", "granitemoe", "glm4moe", "ernie4_5-moe", "hunyuan-moe",
                    "llama4") or is_hybrid:
            d_shared = {"glm4moe": 2 * D_EXPERT, "ernie4_5-moe": 2 * D_EXPERT,
                        "llama4": D_EXPERT}.get(arch, D_FF)
            matrix(p + "ffn_gate_shexp.weight", d_shared, D_MODEL)
            matrix(p + "ffn_up_shexp.weight", d_shared, D_MODEL)
            matrix(p + "ffn_down_shexp.weight", D_MODEL, d_shared)
        if arch in ("glm4moe", "minimax-m2"):
            vector(p + "exp_probs_b.bias", N_EXPERTS, 0.0, 0.6)
        if arch == "ernie4_5-moe":      # shares are those of a softmax
            vector(p + "exp_probs_b.bias", N_EXPERTS, 0.0, 0.1)
        if arch == "qwen2moe" or is_hybrid:
            vector(p + "ffn_gate_inp_shexp.weight", D_MODEL, 0.0, 1.0 / np.sqrt(D_MODEL))

    def mixer(p):
        matrix(p + "attn_qkv.weight", N_CHANNELS, D_MODEL)
        matrix(p + "attn_gate.weight", N_STATE_HEADS * D_STATE_VALUE, D_MODEL)
        if arch == "qwen3next":
            matrix(p + "ssm_ba.weight", 2 * N_STATE_HEADS, D_MODEL)
        else:
            matrix(p + "ssm_beta.weight", N_STATE_HEADS, D_MODEL)
            matrix(p + "ssm_alpha.weight", N_STATE_HEADS, D_MODEL)
        vector(p + "ssm_conv1d.weight", (N_CHANNELS, N_TAPS), 0.0, 0.5)
        vector(p + "ssm_dt.bias", N_STATE_HEADS, -1.0, 1.0)
        vector(p + "ssm_a", N_STATE_HEADS, -0.3, 0.1)
        vector(p + "ssm_norm.weight", D_STATE_VALUE)
        # what is normed is as large as X has been made: a quarter of what attention would add
        matrix(p + "ssm_out.weight", D_MODEL, N_STATE_HEADS * D_STATE_VALUE, scale=0.25)

    # X is large beside what a layer adds to it, as in real models; logits have a spread of about 3
    matrix("token_embd.weight", N_VOCAB, D_MODEL, scale=3.0 if tied else 16.0)
    if not tied:
        matrix("output.weight", N_VOCAB, D_MODEL, scale=3.0)
    vector("output_norm.weight", D_MODEL)
    if rope_factors is not None:
        w.add_tensor("rope_freqs.weight", rope_factors.astype(np.float32))
    if arch == "phi3":
        for name in ("short", "long"):
            factors = 1 + 3 * w.rng.random(24)
            w.add_tensor(f"rope_factors_{name}.weight", factors.astype(np.float32))
    has_post_norms = arch in ("gemma2", "gemma3", "glm4", "exaone4", "olmo2")
    for i in range(N_LAYERS):
        p = f"blk.{i}."
        if arch == "phi3":
            matrix(p + "attn_qkv.weight", (N_HEADS + 2 * N_KV_HEADS) * D_HEAD, D_MODEL)
        attends = not (is_hybrid and has_mixer(i))
        if not attends:
            mixer(p)
        n_q = 2 * N_HEADS if is_hybrid else N_HEADS     # of each head the query, then its gate
        heads = (("q", n_q), ("k", N_KV_HEADS), ("v", N_KV_HEADS))
        for name, rows in () if arch == "phi3" or not attends else heads:
            matrix(p + f"attn_{name}.weight", rows * D_HEAD, D_MODEL)
            has_bias = arch in ("qwen2", "qwen2moe", "seed_oss", "gpt-oss", "glm4moe")
            if has_bias or f"attn_{name}" in biases:
                vector(p + f"attn_{name}.bias", rows * D_HEAD, 0.0, 0.3)
        if arch in ("olmo2", "minimax-m2"):
            vector(p + "attn_q_norm.weight", N_HEADS * D_HEAD)
            vector(p + "attn_k_norm.weight", N_KV_HEADS * D_HEAD)
        if arch.startswith("qwen3") and attends or arch in ("gemma3", "exaone4"):
            vector(p + "attn_q_norm.weight", D_HEAD)
            vector(p + "attn_k_norm.weight", D_HEAD)
        if arch.startswith("hunyuan"):      # far from 1: the order of norm and RoPE matters
            vector(p + "attn_q_norm.weight", D_HEAD, 1.0, 0.5)
            vector(p + "attn_k_norm.weight", D_HEAD, 1.0, 0.5)
        if attends:
            matrix(p + "attn_output.weight", D_MODEL, N_HEADS * D_HEAD)
        is_dense = arch == "glm4moe" and i < n_dense or \
            arch == "ernie4_5-moe" and (i < n_dense or i % 2 == 0) or \
            arch == "llama4" and i % 2 == 0
        if is_mixture and not is_dense:
            experts(p)
        else:
            is_fused = arch in ("phi3", "glm4")     # gate's rows first
            if not is_fused:
                matrix(p + "ffn_gate.weight", D_FF, D_MODEL)
            matrix(p + "ffn_up.weight", 2 * D_FF if is_fused else D_FF, D_MODEL)
            matrix(p + "ffn_down.weight", D_MODEL, D_FF)
        for name, n in (("attn_output", D_MODEL), ("ffn_gate", D_FF), ("ffn_up", D_FF),
                        ("ffn_down", D_MODEL)):
            if name in biases:
                vector(p + name + ".bias", n, 0.0, 0.5)
        if arch not in ("exaone4", "olmo2"):
            vector(p + "attn_norm.weight", D_MODEL)
            is_named_post = arch in ("seed_oss", "gpt-oss", "glm4moe", *DELTA_NETS)
            ffn_norm = "post_attention_norm" if is_named_post else "ffn_norm"
            if arch != "cohere2":
                vector(p + ffn_norm + ".weight", D_MODEL)
        if has_post_norms:
            vector(p + "post_attention_norm.weight", D_MODEL)
            vector(p + "post_ffw_norm.weight", D_MODEL)
    if arch == "glm4moe":
        matrix(f"blk.{N_LAYERS}.nextn.eh_proj.weight", D_MODEL, 2 * D_MODEL)
    w.finish()
    return path
