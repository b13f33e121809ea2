"""Batch invariance on a real model, greedy and seeded: the tiny model's own run is a unit test."""

import subprocess

import pytest


@pytest.mark.parametrize("model", ["smollm2-135m"])
def test_replies_do_not_depend_on_others(build_dir, fetch_model, model):
    program = build_dir / "tests" / "test_engine_invariance"
    done = subprocess.run([program, fetch_model(model)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
