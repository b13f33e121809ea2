"""What gemma4 files say beyond what all others do: a vocabulary of characters joined by a list of
merges, and numbers that differ from layer to layer. The forward pass itself is held to numpy in
test_architectures.py and test_exact.py."""

import json
import subprocess

import pytest
from gguf import GGUFValueType

import tiny_gemma4
import tiny_models

U32, ARRAY = GGUFValueType.UINT32, GGUFValueType.ARRAY


def paceline(build_dir, *words, text=None):
    return subprocess.run([build_dir / "paceline", *map(str, words)], input=text,
                          capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    return tiny_models.write(str(tmp_path_factory.mktemp("gemma4") / "model.gguf"), "gemma4 dense")


@pytest.mark.parametrize("text,tokens", [
    ("the", ["the"]),
    (" the", ["\u2581the"]),
    (" ther", ["\u2581ther"]),              # and not "er", which stands before it in the list
    ("other", ["o", "the", "r"]),
    ("a\nb", ["a", "\n", "b"]),
    ("a\n\nb", ["a", "\n\n", "b"]),         # a run that is a token, though no merge makes it
    ("\n\n\n", ["\n", "\n", "\n"]),
    ("x  y", ["x", "\u2581", "\u2581", "y"]),
    ("\u00e9", ["<0xC3>", "<0xA9>"]),
    ("\u2581the", ["\u2581the"]),
])
def test_characters_are_joined_by_merges(build_dir, dense, text, tokens):
    done = paceline(build_dir, "tokenize", "-m", dense, "--bos", "--json", text=text.encode())
    names = ["<bos>", *tokens]
    assert json.loads(done.stdout) == [tiny_gemma4.tokens().index(name) for name in names]


def test_it_begins_with_bos_whatever_the_file_says(build_dir, tmp_path):
    keys = {"tokenizer.ggml.add_bos_token": (GGUFValueType.BOOL, False)}
    path = tiny_models.write(str(tmp_path / "model.gguf"), "gemma4 dense", keys=keys)
    done = paceline(build_dir, "tokenize", "-m", path, "--bos", "--json", text=b"a")
    assert json.loads(done.stdout)[0] == 2


@pytest.mark.parametrize("arch,bytes_a_token", [
    # K and V of two bytes a number: local layers have 2 heads of 64, global ones one of 128
    ("gemma4 dense", 2 * 2 * (3 * 2 * 64 + 2 * 128)),
    ("gemma4 moe", 2 * 2 * (2 * 2 * 64 + 128)),
    ("gemma4 small", 2 * 2 * (3 * 2 * 64 + 128)),       # three of the layers keep nothing
])
def test_a_token_takes_what_its_layers_keep(build_dir, tmp_path, arch, bytes_a_token):
    path = tiny_models.write(str(tmp_path / "model.gguf"), arch)
    done = paceline(build_dir, "plan", "-m", path, "--ctx-size", 4096, "--parallel", 2, "--json")
    memory = json.loads(done.stdout)["memory"]
    assert memory["kv_bytes_per_token"] == bytes_a_token
    assert 0 < memory["window_kv_bytes"] < memory["kv_bytes"] < 2 * 4096 * bytes_a_token


@pytest.mark.parametrize("arch,keys,piece", [
    ("gemma4 small", {"attention.shared_kv_layers": (U32, 7)},
     b"attention.shared_kv_layers is 7 of 7, which leaves layer 0 no keys to read"),
    ("gemma4 small", {"attention.shared_kv_layers": (U32, 5)},
     b"leaves layer 2 no keys to read"),
    ("gemma4 dense", {"attention.head_count_kv": (ARRAY, [2, 4, 1, 2, 1], U32)},
     b"layer 1 has 4 KV heads of 64; two kinds of layers"),
    ("gemma4 dense", {"attention.head_count_kv": (ARRAY, [2, 2, 1, 2], U32)},
     b"attention.head_count_kv is an array of 4; one number for each of 5 layers is wanted"),
    ("gemma4 dense", {"attention.key_length_swa": (U32, 80), "attention.value_length_swa": None},
     b"attention.key_length of local layers is 80"),
    ("gemma4 dense", {"attention.value_length_swa": (U32, 32)},
     b"key and value lengths 64 and 32 of local layers differ"),
    ("gemma4 dense", {"rope.dimension_count_swa": (U32, 66)}, b"RoPE of 66 dimensions"),
    ("gemma4 small", {"embedding_length_per_layer_input": (U32, 40)},
     b"embedding_length_per_layer_input is 40"),
    ("gemma4 small", {"feed_forward_length": (ARRAY, [256] * 4 + [264, 512, 512], U32)},
     b"feed_forward_length of layer 4 is 264"),
    ("gemma4 moe", {"expert_feed_forward_length": (U32, 64)}, b"ffn_gate_up_exps.weight is"),
])
def test_what_is_not_as_it_says_is_refused(build_dir, tmp_path, arch, keys, piece):
    path = tiny_models.write(str(tmp_path / "model.gguf"), arch, keys=keys)
    done = paceline(build_dir, "score", "--model", path, "--tokens", "1,2")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert piece in done.stderr, done.stderr
