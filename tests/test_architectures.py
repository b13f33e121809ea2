"""Every architecture and RoPE scaling against the exact forward pass, on small random models."""

import subprocess
import sys

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFValueType

import tiny_models
from test_logits_golden import GOLDEN, score

sys.path.insert(0, str(GOLDEN))
import forward  # noqa: E402

U32, BOOL = GGUFValueType.UINT32, GGUFValueType.BOOL
BF16 = GGMLQuantizationType.BF16
TOKENS = [int(t) for t in np.random.default_rng(5).integers(0, tiny_models.N_VOCAB - 1, 100)]
LLAMA3_FACTORS = np.concatenate([np.ones(12), np.linspace(1, 8, 8), np.full(12, 8.0)])

CASES = {
    "llama": dict(arch="llama"),
    "llama tied": dict(arch="llama", tied=True),
    "llama linear": dict(arch="llama", scaling=("linear", 4.0)),
    "llama yarn": dict(arch="llama", scaling=("yarn", 4.0, 1024)),
    "llama 3 factors": dict(arch="llama", rope_factors=LLAMA3_FACTORS),
    "qwen2": dict(arch="qwen2"),
    "qwen2 yarn": dict(arch="qwen2", scaling=("yarn", 4.0, 1024)),
    "qwen3": dict(arch="qwen3"),
    "qwen2moe": dict(arch="qwen2moe"),
    "qwen3moe": dict(arch="qwen3moe"),
    "mixtral": dict(arch="llama", mixture=True),
    "llama partly turned": dict(arch="llama", keys={"rope.dimension_count": (U32, 32)}),
    "qwen2 partly turned": dict(arch="qwen2", keys={"rope.dimension_count": (U32, 32)}),
    "smollm3": dict(arch="smollm3"),
    "granite": dict(arch="granite"),
    "granite unturned": dict(arch="granite", keys={"rope.scaling.finetuned": (BOOL, False)}),
    "granitemoe": dict(arch="granitemoe"),
    "mistral3": dict(arch="mistral3"),
    "qwen3vl": dict(arch="qwen3vl", tied=True),
    "qwen3vlmoe": dict(arch="qwen3vlmoe"),
    "seed_oss": dict(arch="seed_oss"),
    "phi3": dict(arch="phi3"),
    "glm4": dict(arch="glm4"),
    "glm4moe": dict(arch="glm4moe"),
    "glm4moe in groups": dict(arch="glm4moe", n_dense=2, keys={
        "expert_group_count": (U32, 4), "expert_group_used_count": (U32, 2)}),
    "qwen3moe in groups": dict(arch="qwen3moe", seed=5, keys={
        "expert_group_count": (U32, 3), "expert_group_used_count": (U32, 1)}),
    "exaone4": dict(arch="exaone4"),
    "olmo2": dict(arch="olmo2"),
    "cohere2": dict(arch="cohere2", tied=True),
    "gpt-oss": dict(arch="gpt-oss", biases=("attn_output",), seed=2),
    "gpt-oss rounded": dict(arch="gpt-oss", keys={"rope.scaling.yarn_truncate": (BOOL, True)}),
    "qwen35": dict(arch="qwen35"),
    "qwen35moe": dict(arch="qwen35moe"),
    "qwen3next": dict(arch="qwen3next"),
    "granitehybrid": dict(arch="granitehybrid"),
    "granitehybrid turned": dict(arch="granitehybrid",
                                 keys={"rope.scaling.finetuned": (BOOL, True)}),
    "granitehybrid moe": dict(arch="granitehybrid moe"),
    "nemotron_h": dict(arch="nemotron_h"),
    "falcon-h1": dict(arch="falcon-h1"),
    "lfm2": dict(arch="lfm2"),
    "lfm2moe": dict(arch="lfm2moe", seed=6),
    "ernie4_5": dict(arch="ernie4_5", tied=True, biases=("attn_q", "ffn_down")),
    "ernie4_5-moe": dict(arch="ernie4_5-moe"),
    "hunyuan-dense": dict(arch="hunyuan-dense", tied=True),
    "hunyuan-moe": dict(arch="hunyuan-moe", seed=3),
    "minimax-m2": dict(arch="minimax-m2"),
    "llama4": dict(arch="llama4", seed=5),
    "llama4 of whole contexts": dict(arch="llama4", kind=BF16, keys={
        "attention.sliding_window": (U32, 0)}),
    "olmo2 with windows": dict(arch="olmo2", scaling=("yarn", 4.0, 64),
                               keys={"attention.sliding_window": (U32, 16)}),
    "gemma2": dict(arch="gemma2", tied=True),
    "gemma3": dict(arch="gemma3", tied=True),
    "deepseek2": dict(arch="deepseek2", seed=3),
    "deepseek2 v2": dict(arch="deepseek2 v2"),
    "gemma3n": dict(arch="gemma3n"),
    "gemma4 dense": dict(arch="gemma4 dense"),
    "gemma4 moe": dict(arch="gemma4 moe", seed=3),
    "gemma4 small": dict(arch="gemma4 small"),
    "gemma3 linear": dict(arch="gemma3", tied=True, scaling=("linear", 8.0)),
}


@pytest.mark.parametrize("name", CASES)
def test_matches_the_exact_forward_pass(build_dir, tmp_path, name):
    path = tiny_models.write(str(tmp_path / "model.gguf"), **CASES[name])
    want = forward.log_softmax(forward.forward(forward.Model(path), TOKENS))
    got = score(build_dir, path, TOKENS)
    worst, total, n = 0.0, 0.0, 0
    for i, top in enumerate(got["tops"]):
        d = [abs(want[i][t] - p) for t, p in top[:10]]
        worst, total, n = max(worst, *d), total + sum(d), n + 10
    nll = -want[np.arange(len(TOKENS) - 1), TOKENS[1:]]
    print(f"{name}: mean distance {total / n:.4f}, worst {worst:.3f}")
    # 8-bit activations alone; a wrong pass is off by whole units. What a delta net knows was made
    # with them too, column after column, and LFM2 multiplies three results of them
    is_rough = CASES[name]["arch"] in (*tiny_models.DELTA_NETS, "lfm2", "lfm2moe")
    assert total / n < (0.13 if is_rough else 0.08)
    assert abs(np.mean(got["nll"]) / nll.mean() - 1) < (0.01 if is_rough else 0.005)


@pytest.mark.parametrize("wrong,piece", [
    (dict(n_experts_used=13), b"expert_used_count is 13; 1..12"),
    (dict(n_experts=0), b"expert_count is 0"),
    (dict(n_experts=11), b"ffn_gate_inp.weight is 256 x 12; 256 x 11 is wanted"),
    (dict(d_expert=128), b"ffn_gate_exps.weight is 256 x 96 x 12; 256 x 128 x 12 is wanted"),
    (dict(d_expert=100), b"expert_feed_forward_length is 100"),
    (dict(keys={"expert_group_count": (U32, 5)}), b"3 of 12 experts out of 5 of 5 groups"),
    (dict(keys={"expert_group_count": (U32, 6), "expert_group_used_count": (U32, 1)}),
     b"3 of 12 experts out of 1 of 6 groups"),
    (dict(keys={"expert_gating_func": (U32, 4)}), b"expert_gating_func is 4; 1 (softmax) and 2"),
    (dict(keys={"leading_dense_block_count": (U32, 1)}), b"1 leading dense layers"),
    (dict(keys={"interleave_moe_layer_step": (U32, 2)}),
     b"interleave_moe_layer_step is 2; architecture qwen3moe"),
    (dict(keys={"nextn_predict_layers": (U32, 7)}), b"nextn_predict_layers is 7 of 7 blocks"),
    (dict(keys={"block_count": (U32, 2**31), "nextn_predict_layers": (U32, 2**31 - 7)}),
     b"nextn_predict_layers is 2147483641 of 2147483648 blocks"),
])
def test_a_mixture_that_is_not_what_it_says_is_refused(build_dir, tmp_path, wrong, piece):
    path = tiny_models.write(str(tmp_path / "model.gguf"), arch="qwen3moe", **wrong)
    done = subprocess.run([build_dir / "paceline", "score", "--model", path, "--tokens", "1,2"],
                          capture_output=True, timeout=60)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert piece in done.stderr, done.stderr


def test_the_check_can_fail(build_dir, tmp_path):
    """A model with another RoPE base is far from the reference of the first."""
    path = tiny_models.write(str(tmp_path / "a.gguf"), arch="llama")
    other = tiny_models.write(str(tmp_path / "b.gguf"), arch="llama", scaling=("linear", 2.0))
    want = forward.log_softmax(forward.forward(forward.Model(path), TOKENS))
    got = score(build_dir, other, TOKENS)
    d = [abs(want[i][t] - p) for i, top in enumerate(got["tops"]) for t, p in top[:10]]
    assert np.mean(d) > 0.5
