"""Batch invariance on a real model, greedy and seeded: the tiny model's own run is a unit test."""

import subprocess

import pytest

import tiny_models


@pytest.mark.parametrize("model", ["smollm2-135m"])
def test_replies_do_not_depend_on_others(build_dir, fetch_model, model):
    program = build_dir / "tests" / "test_engine_invariance"
    done = subprocess.run([program, fetch_model(model)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("arch", [*tiny_models.HYBRIDS, "llama4"])
def test_nor_where_streams_have_states_or_chunks(build_dir, tmp_path, arch):
    path = tiny_models.write(str(tmp_path / "model.gguf"), arch=arch)
    program = build_dir / "tests" / "test_engine_invariance"
    done = subprocess.run([program, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("arch", ["llama", "gemma3", "qwen35", "deepseek2"])
def test_nor_on_pages_that_run_short(build_dir, tmp_path, arch):
    """Pages of all positions, of windows, of latents; and states. Streams are paused."""
    path = tiny_models.write(str(tmp_path / "model.gguf"), arch=arch)
    program = build_dir / "tests" / "test_engine_pause"
    done = subprocess.run([program, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
