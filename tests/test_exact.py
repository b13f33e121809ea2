"""`score --exact` is the numeric specification: float32, and nothing rounded to 8 bits on the way.
The small models are those of test_architectures.py, whose answers tests/golden/forward.py computes
in numpy; the real ones have their answers, from the same program, in tests/golden."""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

import tiny_models
from test_architectures import CASES, TOKENS, forward
from test_logits_golden import GOLDEN, LIMITS, distances, score

# Each side rounds to float32 in orders of its own: 4e-6 to 8e-6 were seen with the small models, up
# to 2e-5 with the real ones. What a subtle mistake changes (RoPE's pairs, a bias, a cap) is some
# 1e-2.
MAX_DISTANCE = 2e-4

# More architectures, from another hand, where somebody has them.
OTHERS = pathlib.Path(__file__).parent.parent.parent / "shared/reference/models"
OTHERS_RUN = ["llama", "llama3", "ministral3", "smollm3", "granite", "granitemoe", "qwen2", "qwen3",
              "qwen3moe", "qwen3vl", "seedoss", "gemma2", "gemma3", "phi3", "phi3_swa", "glm4",
              "exaone4", "exaone4_swa", "olmo2", "gptoss", "glm4moe",
              "cohere2", "qwen35", "qwen35_mtp", "qwen35moe", "qwen3next", "gemma3n", "gemma4",
              "gemma4_dense", "gemma4_moe", "granitehybrid", "nemotronh", "falconh1", "lfm2",
              "deepseek2", "deepseek2_lite"]

ARCHITECTURES = ["llama", "smollm3", "granitemoe", "qwen2", "qwen3", "qwen2moe", "qwen3moe",
                 "gemma2", "gemma3", "phi3", "exaone4", "olmo2", "gpt-oss", "glm4moe",
                 "cohere2", "gemma3n", "gemma4 dense", "gemma4 moe", "gemma4 small",
                 "deepseek2", "deepseek2 v2", "ernie4_5-moe", "hunyuan-dense", "minimax-m2",
                 "llama4", *tiny_models.HYBRIDS]


def paceline(build_dir, *words):
    return subprocess.run([build_dir / "paceline", *words], capture_output=True, text=True,
                          timeout=300)


@pytest.mark.parametrize("name", CASES)
def test_small_models_are_those_of_numpy(build_dir, tmp_path, name):
    path = tiny_models.write(str(tmp_path / "model.gguf"), **CASES[name])
    want = forward.log_softmax(forward.forward(forward.Model(path), TOKENS))
    got = score(build_dir, path, TOKENS, "--exact")
    tops = max(abs(want[i][t] - p) for i, top in enumerate(got["tops"]) for t, p in top)
    nll = max(abs(want[i][t] + p) for i, (t, p) in enumerate(zip(TOKENS[1:], got["nll"])))
    print(f"{name}: largest distance {tops:.2g}, of the nll {nll:.2g}")
    assert max(tops, nll) < MAX_DISTANCE


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_steps_and_threads_change_no_bit(build_dir, tmp_path, arch):
    """Token by token, in pieces and as a whole prompt, the log-probabilities are the same
    digits: of the exact backend, and of the CPU's, where test_backend_invariance has no layers of
    the kind."""
    path = tiny_models.write(str(tmp_path / "model.gguf"), arch=arch)
    for backend in ["exact", "cpu"] if arch in tiny_models.HYBRIDS else ["exact"]:
        as_one = ["--backend", backend, "--threads"]
        want = score(build_dir, path, TOKENS[:40], *as_one, "1")
        for step, threads in (("1", "1"), ("7", "2")):
            assert want == score(build_dir, path, TOKENS[:40], *as_one, threads, "--ubatch-size",
                                 step), f"{backend}: {step} columns, {threads} threads"


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_greedy_reply_is_the_best_token_each_time(build_dir, tmp_path, arch):
    """What a stream decodes is what scoring its text calls best, bit for bit."""
    path = tiny_models.write(str(tmp_path / "model.gguf"), arch=arch)
    done = subprocess.run([build_dir / "tests/test_engine_invariance", path, "exact"],
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", LIMITS)
def test_real_models_are_those_of_numpy(build_dir, fetch_model, name):
    """The beginning of one text: what is rounded to 8 bits otherwise is off by some 0.05 there."""
    model, n = fetch_model(name), 18
    case = json.loads((GOLDEN / f"{name}.logits.json").read_text())[0]

    def distance(*options):
        got = score(build_dir, model, case["tokens"][:n], *options)
        tops = [distances(top, got["tops"][int(position)])
                for position, top in case["top10"].items() if int(position) < n]
        assert tops
        return max(*sum(tops, []), *(abs(a - b) for a, b in zip(got["nll"], case["nll"])))

    exact, rounded = distance("--exact"), distance()
    print(f"{name}: largest distance {exact:.2g}, {rounded:.2g} with 8 bits")
    assert exact < MAX_DISTANCE < 100 * MAX_DISTANCE < rounded


@pytest.mark.skipif(not OTHERS.is_dir(), reason="no reference models beside this tree")
@pytest.mark.parametrize("name", OTHERS_RUN)
def test_reference_models(build_dir, name):
    done = subprocess.run([sys.executable, OTHERS / "verify.py", OTHERS / name, "--limit", "0.0002",
                           "--engine", f"{build_dir}/paceline score --exact"],
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_self_test_passes(build_dir):
    done = paceline(build_dir, "self-test", "--backend", "exact")
    assert done.returncode == 0 and "FAILED" not in done.stdout, done.stdout + done.stderr
    head, limits, *checks, end = done.stdout.splitlines()
    system = os.uname()
    assert re.fullmatch(rf"paceline \S+ on .+, {system.sysname} {re.escape(system.release)} "
                        rf"{system.machine}", head)
    assert re.fullmatch(r"limits  exact: \d+ G multiply-adds a second, \d+\.\d GB/s read", limits)
    assert end == f"all {len(checks)} checks passed" and len(checks) > 10
    assert all(re.match(r"ok {6}\S.{27} \S", line) for line in checks), done.stdout


@pytest.mark.parametrize("options,piece", [
    (["--exact", "--backend", "cpu"], "--exact and --backend cpu"),
    (["--exact", "--cache-type-k", "q8_0"], "the exact backend stores f32 alone"),
    (["--backend", "exact", "--cache-type-v", "f16"], "the exact backend stores f32 alone"),
])
def test_what_contradicts_it_is_refused(build_dir, tmp_path, options, piece):
    path = tiny_models.write(str(tmp_path / "model.gguf"), arch="llama")
    done = paceline(build_dir, "score", "--model", path, "--tokens", "1,2", *options)
    assert done.returncode == 2 and piece in done.stderr, done.stderr


def test_both_names_are_one(build_dir, tmp_path):
    path = tiny_models.write(str(tmp_path / "model.gguf"), arch="llama")
    exact = score(build_dir, path, TOKENS, "--exact")
    assert exact == score(build_dir, path, TOKENS, "--backend", "exact", "--cache-type-k", "f32")
    assert exact == score(build_dir, path, TOKENS, "--backend", "exact", "--exact")
    assert exact != score(build_dir, path, TOKENS)
