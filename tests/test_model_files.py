"""What model files may say in more than one way, and what they leave out: equal files give equal
numbers, other models are computed as the exact forward pass has them or are refused by name."""

import json
import subprocess
import sys

import numpy as np
import pytest
from gguf import GGUFValueType as T

import tiny_models
from test_logits_golden import GOLDEN

sys.path.insert(0, str(GOLDEN))
import forward  # noqa: E402

TOKENS = [int(t) for t in np.random.default_rng(6).integers(0, tiny_models.N_VOCAB - 1, 48)]
LAYERS = tiny_models.N_LAYERS


def run(build_dir, path, *options):
    return subprocess.run([build_dir / "paceline", "score", "--model", path, "--tokens",
                           ",".join(map(str, TOKENS)),
                           "--json", *options], capture_output=True, text=True, timeout=60)


def nll(build_dir, path, *options):
    done = run(build_dir, path, *options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["nll"]


def model(tmp_path, name="model", arch="llama", **more):
    return tiny_models.write(str(tmp_path / f"{name}.gguf"), arch, **more)


@pytest.fixture(scope="module")
def plain(build_dir, tmp_path_factory):
    """Of an architecture: what its model gives where the file says nothing unusual."""
    known = {}

    def of(arch):
        if arch not in known:
            known[arch] = nll(build_dir, model(tmp_path_factory.mktemp("plain"), arch=arch))
        return known[arch]
    return of


def of_layers(value, kind=T.UINT32):
    return (T.ARRAY, [value] * LAYERS, kind)


# ---- equal files ----

SAME = {    # keys that say what the plain model says, or nothing
    "no base": ("llama", {"rope.freq_base": None}),
    "base 0": ("llama", {"rope.freq_base": (T.FLOAT32, 0.0)}),
    "factor 0": ("llama", {"rope.scaling.factor": (T.FLOAT32, 0.0)}),
    "older factor 0": ("llama", {"rope.scale_linear": (T.FLOAT32, 0.0)}),
    "factor 0 before the older one": ("llama", {"rope.scaling.factor": (T.FLOAT32, 0.0),
                                                "rope.scale_linear": (T.FLOAT32, 4.0)}),
    "type none": ("llama", {"rope.scaling.type": (T.STRING, "none"),
                            "rope.scaling.factor": (T.FLOAT32, 4.0)}),
    "type none, older factor": ("llama", {"rope.scaling.type": (T.STRING, "none"),
                                          "rope.scale_linear": (T.FLOAT32, 4.0)}),
    "yarn 1": ("llama",
               {"rope.scaling.type": (T.STRING, "yarn"), "rope.scaling.factor": (T.FLOAT32, 1.0)}),
    "f64": ("llama", {"rope.freq_base": (T.FLOAT64, 10000.0),
                      "attention.layer_norm_rms_epsilon": (T.FLOAT64, float(np.float32(1e-6)))}),
    "small integers": ("llama",
                       {"block_count": (T.UINT8, LAYERS), "attention.head_count": (T.INT16, 4),
                                 "attention.head_count_kv": (T.INT8, 2),
                                 "feed_forward_length": (T.INT64, 512),
                                 "embedding_length": (T.UINT64, 256),
                                 "context_length": (T.UINT16, 4096)}),
    "integer for a float": ("llama", {"rope.freq_base": (T.UINT32, 10000)}),
    "arrays": ("llama", {"attention.head_count": of_layers(4),
                         "attention.head_count_kv": of_layers(2, T.INT32),
                         "feed_forward_length": of_layers(512, T.UINT64),
                         "attention.key_length": of_layers(64),
                         "attention.value_length": of_layers(64),
                         "rope.dimension_count": of_layers(64)}),
    "lengths left out": ("llama", {"attention.key_length": None, "attention.value_length": None}),
    "windows": ("gemma3", {"attention.sliding_window": of_layers(16),
                           "attention.sliding_window_pattern":
                               (T.ARRAY, [(i + 1) % 6 != 0 for i in range(LAYERS)], T.BOOL)}),
    "a window as wide as the context": ("llama", {"attention.sliding_window": (T.UINT32, 4096)}),
    "local base 0": ("gemma3", {"rope.freq_base_swa": (T.FLOAT32, 0.0)}),
    "scales that are none": ("qwen3moe", {"expert_weights_scale": (T.FLOAT32, 0.0),
                                          "expert_gating_func": (T.UINT32, 1),
                                          "expert_weights_norm": (T.BOOL, True),
                                          "logit_scale": (T.FLOAT32, 1.0),
                                          "attention.scale": (T.FLOAT32, 0.0)}),
    "experts left out": ("qwen3moe", {"feed_forward_length": (T.UINT32, 288),
                                      "expert_feed_forward_length": None}),
    "experts of layers": ("qwen3moe",
                          {"expert_used_count": of_layers(3), "feed_forward_length": None,
                                       "expert_feed_forward_length": of_layers(96)}),
    "ids that mean none": ("llama", {"tokenizer.ggml.bos_token_id": (T.UINT32, 2**32 - 1),
                                     "tokenizer.ggml.eot_token_id": (T.INT32, -1),
                                     "tokenizer.ggml.eom_token_id": (T.UINT32, 99999),
                                     "tokenizer.ggml.padding_token_id": (T.INT64, -1),
                                     "tokenizer.ggml.unknown_token_id": (T.UINT64, 2**64 - 1)}),
}


@pytest.mark.parametrize("name", SAME)
def test_what_says_the_same_is_the_same(build_dir, tmp_path, plain, name):
    arch, keys = SAME[name]
    assert nll(build_dir, model(tmp_path, arch=arch, keys=keys)) == plain(arch)


def test_a_factor_without_a_type_is_linear(build_dir, tmp_path, plain):
    with_type = model(tmp_path, "a", scaling=("linear", 4.0))
    want = nll(build_dir, with_type)
    for i, key in enumerate(("rope.scaling.factor", "rope.scale_linear")):
        assert nll(build_dir, model(tmp_path, f"b{i}", keys={key: (T.FLOAT32, 4.0)})) == want
    assert want != plain("llama")


def test_dimensions_of_one_at_the_end(build_dir, tmp_path, plain):
    """The writer's order is numpy's, so that they stand first there."""
    longer = lambda name, x: x[None] if "norm" in name or "attn" in name else x[None, None]
    for arch in ("llama", "qwen2moe"):
        path = model(tmp_path, arch=arch, tensors=lambda n, x: longer(n, x) if x.ndim < 3 else x)
        assert nll(build_dir, path) == plain(arch)


# ---- other models ----

def distance(build_dir, path, *options):
    want = forward.log_softmax(forward.forward(forward.Model(path), TOKENS))
    got = nll(build_dir, path, *options)
    return np.mean(np.abs(np.array(got) + want[np.arange(len(TOKENS) - 1), TOKENS[1:]]))


OTHERS = {
    "biases": dict(arch="llama", biases=("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate",
    "ffn_up", "ffn_down")), "one bias": dict(arch="llama", biases=("ffn_up",)),
    "biases of qwen3": dict(arch="qwen3", biases=("attn_q", "attn_output", "ffn_gate", "ffn_down")),
    "biases and post norms": dict(arch="gemma3",
                                  biases=("attn_output", "ffn_gate", "ffn_up", "ffn_down")),
    "biases of a mixture": dict(arch="qwen3moe", biases=("attn_output", "attn_v")),
    "attention scale": dict(arch="llama", keys={"attention.scale": (T.FLOAT32, 0.05)}),
    "expert scale": dict(arch="qwen3moe", keys={"expert_weights_scale": (T.FLOAT32, 2.5)}),
    "expert scale beside a shared one": dict(arch="qwen2moe",
                                             keys={"expert_weights_scale": (T.FLOAT64, 2.5)}),
    "a window of llama": dict(arch="llama", keys={"attention.sliding_window": (T.UINT32, 9)}),
    "windows in any order": dict(arch="gemma3", keys={"attention.sliding_window_pattern": (
        T.ARRAY, [True, True, False, True, False, True, True], T.BOOL)}),
    "caps of llama": dict(arch="llama", keys={"attn_logit_softcapping": (T.FLOAT32, 1.0),
                                              "final_logit_softcapping": (T.FLOAT32, 4.0)}),
    "a scale of 0 is none": dict(arch="granitemoe", keys={"residual_scale": (T.FLOAT32, 0.0)}),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_models_are_computed(build_dir, tmp_path, plain, name):
    """8-bit activations alone set the two apart: a fraction of what the key or the tensors do."""
    path = model(tmp_path, **OTHERS[name])
    off = np.mean(np.abs(np.array(nll(build_dir, path)) - plain(OTHERS[name]["arch"])))
    assert distance(build_dir, path) < min(0.2, off / 4), off
    assert distance(build_dir, path, "--backend", "exact") < 1e-4


@pytest.mark.parametrize("arch,keys,words", [
    ("llama", {"attention.head_count": (T.ARRAY, [4] * (LAYERS - 1) + [2], T.UINT32)},
     "key llama.attention.head_count is 4 in layer 0 and 2 in layer 6"),
    ("llama", {"attention.head_count_kv": (T.ARRAY, [2, 1] + [2] * (LAYERS - 2), T.INT32)},
     "not supported"),
    ("llama", {"feed_forward_length": (T.ARRAY, [512] * 3, T.UINT32)},
     "array of 3 numbers; one or 7"),
    ("llama", {"attention.head_count": (T.ARRAY, [-4] * LAYERS, T.INT32)}, "head_count is -4"),
    ("gemma3", {"attention.sliding_window_pattern": (T.ARRAY, [True] * 6, T.BOOL)},
     "an array of 6; one boolean for each of 7 layers"),
    ("llama", {"router_logit_softcapping": (T.FLOAT32, 50.0)},
     "llama.router_logit_softcapping is 50"),
    ("gemma2", {"attn_logit_softcapping": (T.FLOAT32, -1.0)}, "attn_logit_softcapping is -1"),
    ("gemma2", {"final_logit_softcapping": (T.FLOAT32, float("inf"))},
     "final_logit_softcapping is not a finite"),
    ("granite", {"residual_scale": (T.FLOAT32, float("nan"))}, "residual_scale is not a finite"),
    ("granite", {"logit_scale": (T.FLOAT32, 1e-45)}, "logit_scale or its inverse is inf"),
    ("llama", {"expert_count": (T.UINT32, 4)}, "expert_used_count is missing"),
    ("qwen2", {"expert_count": (T.UINT32, 4)}, "a mixture of 4 experts of architecture qwen2; of "
     "mixtures, this version runs llama, granitemoe, qwen2moe, qwen3moe, qwen3vlmoe"),
    ("qwen3moe", {"expert_gating_func": (T.UINT32, 3)}, "expert_gating_func is 3"),
    ("llama", {"logit_scale": (T.FLOAT32, 0.0625)}, "logit_scale is 0.0625"),
    ("llama", {"attention.causal": (T.BOOL, False)}, "attention.causal is 0"),
    ("llama", {"rope.scaling.type": (T.STRING, "other")}, 'RoPE scaling "other"'),
    ("llama", {"rope.scaling.factor": (T.FLOAT32, -2.0)}, "factor -2"),
    ("llama", {"rope.dimension_count": (T.UINT32, 31)},
     "rope.dimension_count is 31 of heads of 64"),
    ("llama", {"rope.dimension_count": (T.UINT32, 96)},
     "rope.dimension_count is 96 of heads of 64"),
    ("llama", {"rope.dimension_count": (T.UINT32, 0)}, "rope.dimension_count is 0 of heads of 64"),
    ("llama", {"attention.value_length": (T.UINT32, 32)}, "key and value lengths 64 and 32 differ"),
    ("llama", {"attention.layer_norm_rms_epsilon": None}, "layer_norm_rms_epsilon is missing"),
    ("llama", {"context_length": None}, "context_length is missing"),
    ("llama", {"feed_forward_length": None}, "feed_forward_length is missing"),
])
def test_what_is_not_computed_is_refused_by_name(build_dir, tmp_path, arch, keys, words):
    done = run(build_dir, model(tmp_path, arch=arch, keys=keys))
    assert done.returncode == 1 and words in done.stderr, done.stderr


@pytest.mark.parametrize("n_more", [0, 1, 3])
def test_a_long_path_leaves_room_for_what_is_wrong(build_dir, tmp_path, n_more):
    """A cache's folders are long; of what does not fit the middle of the path goes."""
    folder = tmp_path.joinpath(*["d" * 90] * (1 + n_more))
    folder.mkdir(parents=True)
    done = run(build_dir, model(folder, arch="qwen2", keys={"expert_count": (T.UINT32, 4)}))
    assert done.stderr.startswith(f"paceline: {tmp_path}"[:100]), done.stderr
    assert "a mixture of 4 experts of architecture qwen2" in done.stderr, done.stderr
    assert done.stderr.endswith("5 more (docs/models.md)\n"), done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


@pytest.mark.parametrize("n_folders", [1, 2, 4])
def test_a_long_path_leaves_room_for_what_is_wrong(build_dir, tmp_path, n_folders):
    """A cache's folders are long; of what does not fit the middle of the path goes."""
    folder = tmp_path.joinpath(*["d" * 90] * n_folders)
    folder.mkdir(parents=True)
    done = run(build_dir, model(folder, arch="qwen2", keys={"expert_count": (T.UINT32, 4)}))
    assert done.stderr.startswith(f"paceline: {tmp_path}"), done.stderr
    assert "a mixture of 4 experts of architecture qwen2" in done.stderr, done.stderr
    assert done.stderr.endswith(" more (docs/models.md)\n"), done.stderr


# ---- what a user sets instead ----

def test_options_stand_for_keys(build_dir, tmp_path, plain):
    path = model(tmp_path)
    same = lambda options, **more: nll(build_dir, path, *options.split()) == nll(build_dir,
                                                                                 model(tmp_path,
                                                                                       "b", **more))
    assert same("--rope-scale 4", scaling=("linear", 4.0))
    assert same("--rope-freq-scale 0.25", scaling=("linear", 4.0))
    assert same("--rope-scaling yarn --rope-scale 4", scaling=("yarn", 4.0, 4096))
    assert same("--rope-scaling yarn --rope-scale 4 --yarn-orig-ctx 1024",
                scaling=("yarn", 4.0, 1024))
    assert same("--rope-scaling yarn --rope-scale 4 --yarn-ext-factor 0", scaling=("linear", 4.0))
    assert same("--rope-scaling yarn --rope-scale 4 --yarn-ext-factor -1 --yarn-beta-fast -1",
                scaling=("yarn", 4.0, 4096))
    assert same("--rope-freq-base 5e5", keys={"rope.freq_base": (T.FLOAT32, 5e5)})
    assert same("--yarn-attn-factor 1.25", keys={"rope.scaling.attn_factor": (T.FLOAT32, 1.25)})
    assert same("--rope-scaling yarn --rope-scale 4 --yarn-beta-fast 20 --yarn-beta-slow 2",
                scaling=("yarn", 4.0, 4096),
                keys={"rope.scaling.yarn_beta_fast": (T.FLOAT32, 20),
                      "rope.scaling.yarn_beta_slow": (T.FLOAT32, 2)})
    assert same("--override-kv llama.rope.freq_base=float:7 --override-kv "
                "a=str:b,llama.rope.freq_base=float:5e5", keys={"rope.freq_base": (T.FLOAT32, 5e5)})
    scaled = model(tmp_path, "c", scaling=("linear", 4.0))
    assert nll(build_dir, scaled, "--rope-scaling", "none") == plain("llama")


def plan_of(build_dir, path, *options):
    done = subprocess.run([build_dir / "paceline", "plan", path, "--limits", "100,20", "--json",
                          *options], capture_output=True, text=True, timeout=60)
    return json.loads(done.stdout)["load"]["ctx_tokens"] if done.returncode == 0 else done.stderr


def test_contexts_of_a_plan(build_dir, tmp_path):
    """4,096 is a default and no wish: a model of less has its own; one that is stretched has
    more."""
    short, long = model(tmp_path, "a", keys={"context_length": (T.UINT32, 1024)}), model(tmp_path,
                                                                                         "b")
    assert plan_of(build_dir, short) == 1024 and plan_of(build_dir, long) == 4096
    assert "made for 1024" in plan_of(build_dir, short, "-c", "4096")
    assert plan_of(build_dir, short, "-c", "4096", "--rope-scaling", "yarn", "--rope-scale",
                   "4") == 4096
    assert "made for 4096" in plan_of(build_dir, short, "-c", "4097", "--rope-scale", "4")


@pytest.mark.parametrize("options,words", [
    (("--override-kv", "llama.block_count"), 'found "llama.block_count"; KEY=TYPE:VALUE'),
    (("--override-kv", "llama.block_count=int:x"), '"x" is no integer'),
    (("--override-kv", "llama.block_count=str:x"), "is a string; an integer is wanted"),
    (("--rope-scaling", "longrope"), 'rope_factors_long.weight is missing'),
    (("--yarn-ext-factor", "x"), "a number is wanted"),
])
def test_what_is_no_override_is_refused(build_dir, tmp_path, options, words):
    done = run(build_dir, model(tmp_path), *options)
    assert done.returncode in (1, 2) and words in done.stderr, done.stderr


def test_tokens_follow_overridden_keys(build_dir, tmp_path):
    path = model(tmp_path)

    def tokens(*options):
        done = subprocess.run([build_dir / "paceline", "tokenize", "-m", path, "--bos", "--json",
                               *options], input="th", capture_output=True, text=True, timeout=60)
        return done.stdout.strip()

    assert tokens() == "[256]"
    assert tokens("--override-kv", "tokenizer.ggml.add_bos_token=bool:true") == "[511,256]"


def test_a_begin_token_that_stands_twice_is_told(build_dir, tmp_path):
    path = model(tmp_path, keys={"tokenizer.ggml.add_bos_token": (T.BOOL, True)})
    said = lambda text: subprocess.run([build_dir / "paceline", "tokenize", "-m", path, "--bos",
                                        "--special"], input=text,
                                       capture_output=True, text=True, timeout=60).stderr
    assert "twice" in said("<|endoftext|>th") and "twice" not in said("th")


@pytest.mark.parametrize("number,name,instead",
                         [(16, "IQ2_XXS", "Q4_K_M or Q8_0"), (31, "Q4_0_4_4", "Q4_0"),
                                                 (40, "NVFP4", "Q4_K_M or Q8_0")])
def test_a_type_that_is_not_read_has_a_name(build_dir, tmp_path, number, name, instead):
    path = model(tmp_path)
    data = bytearray(open(path, "rb").read())
    at = data.index(b"blk.0.ffn_up.weight") + len("blk.0.ffn_up.weight") + 4 + 2 * 8
    data[at:at + 4] = number.to_bytes(4, "little")
    open(path, "wb").write(data)
    done = run(build_dir, path)
    assert done.returncode == 1 and f"ffn_up.weight is of type {number}, {name}, " in done.stderr
    assert f"use a {instead} file" in done.stderr
