"""Scores of small random models on a GPU: near the exact ones, and the same in steps of any size.
The CPU goes on by itself where there is no GPU."""

import json
import subprocess

import numpy as np
import pytest

import tiny_models

TOKENS = [int(t) for t in np.random.default_rng(5).integers(0, tiny_models.N_VOCAB - 1, 150)]
ARCHITECTURES = ("llama", "qwen2", "qwen3", "gemma2", "gemma3", "phi3", "glm4", "granite", "olmo2",
                 "exaone4", "cohere2")


def score(program, model, backend, *options):
    done = subprocess.run(
        [program, "score", model, "--backend", backend, "--json", *options, "--tokens",
         ",".join(map(str, TOKENS))], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.fixture(scope="module")
def has_gpu(program):
    done = subprocess.run([program, "self-test", "--backend", "cuda"], capture_output=True,
                          timeout=300)
    return done.returncode == 0


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    def write(arch):
        path = tmp_path_factory.mktemp("models") / f"{arch}.gguf"
        tiny_models.write(path, arch)
        return path
    return write


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_scores_are_near_the_exact_ones(program, has_gpu, model, arch):
    if not has_gpu:
        pytest.skip("no GPU that the kernels run on")
    path = model(arch)
    exact, _ = score(program, path, "exact")
    whole, _ = score(program, path, "cuda")
    pieces, _ = score(program, path, "cuda", "-ub", "7")
    assert np.abs(np.array(exact["nll"]) - np.array(whole["nll"])).max() < 0.05
    assert whole == pieces


def test_the_cpu_computes_where_there_is_no_gpu(program, has_gpu, model):
    if has_gpu:
        pytest.skip("this machine has a GPU")
    path = model("llama")
    by_itself, said = score(program, path, "auto")
    on_cpu, _ = score(program, path, "cpu")
    assert by_itself == on_cpu
    assert len([line for line in said.splitlines() if "cuda does not work here" in line]) == 1


def test_experts_are_refused_in_words(program, model):
    done = subprocess.run(
        [program, "score", model("qwen3moe"), "--backend", "cuda", "--tokens", "1,2"],
        capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "mixtures of experts are not run by the cuda backend yet" in done.stderr
