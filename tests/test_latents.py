"""What deepseek2 files say of attention over latents, and what it takes. The forward pass itself is
held to numpy in test_architectures.py and test_exact.py."""

import json
import subprocess

import pytest

import tiny_models


def paceline(build_dir, *words):
    return subprocess.run([build_dir / "paceline", *map(str, words)], capture_output=True,
                          timeout=60)


@pytest.mark.parametrize("key_type,row_bytes", [("f16", 96 * 2), ("q8_0", 96 + 128 // 16)])
def test_a_token_takes_one_row_a_layer(build_dir, tmp_path, key_type, row_bytes):
    """A latent of 64 and 16 that turn, in whole 32s; values are none beside it, whatever type is
    asked for. A page's scales of 8 bits take whole 64 bytes."""
    path = tiny_models.write(str(tmp_path / "model.gguf"), "deepseek2")
    for value_type in ("f16", "q8_0"):
        done = paceline(build_dir, "plan", "-m", path, "--ctx-size", 1024, "--cache-type-k",
                        key_type, "--cache-type-v", value_type, "--json")
        memory = json.loads(done.stdout)["memory"]
        assert memory["kv_bytes_per_token"] == 4 * row_bytes


@pytest.mark.parametrize("key,value,piece", [
    ("attention.head_count_kv", 4, b"attention.head_count_kv is 4; 1 is wanted"),
    ("attention.key_length", 96, b"attention.key_length is 96; 64 and 16"),
    ("attention.kv_lora_rank", 48, b"attention.key_length is 80; 48 and 16"),
    ("attention.q_lora_rank", 40, b"attention.q_lora_rank is 40"),
    ("attention.value_length_mla", 16, b"attention.value_length_mla is 16"),
    ("attention.key_length_mla", 56, b"attention.key_length_mla that is not turned is 40"),
    ("rope.dimension_count", 15, b"rope.dimension_count is 15 of heads of 48"),
    ("attention.key_length_mla", 80, b"attn_q_b.weight is 96 x 192; 96 x 320 is wanted"),
])
def test_what_is_not_as_it_says_is_refused(build_dir, tmp_path, key, value, piece):
    path = tiny_models.write(str(tmp_path / "model.gguf"), "deepseek2")
    done = paceline(build_dir, "score", "--model", path, "--tokens", "1,2", "--override-kv",
                    f"deepseek2.{key}=int:{value}")
    assert done.returncode == 1 and piece in done.stderr, done.stderr
