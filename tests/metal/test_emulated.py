"""The program with --backend metal, on the emulated GPU: what it answers, end to end, against the
CPU backend and the exact forward pass. Needs the build of the preset "metal"."""

import concurrent.futures
import json
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
sys.path.insert(0, str(HERE.parent / "golden"))
import forward  # noqa: E402
import tiny_models  # noqa: E402
from serving import Server  # noqa: E402

PROGRAM = HERE.parents[1] / "build/metal/paceline"
pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="build/metal is not built")
TOKENS = [int(t) for t in np.random.default_rng(5).integers(0, tiny_models.N_VOCAB - 1, 40)]


def run(*words, timeout=300):
    done = subprocess.run([PROGRAM, *map(str, words)], capture_output=True, text=True,
                          timeout=timeout)
    assert done.returncode == 0, done.stderr
    return done.stdout


def score(backend, model, *options):
    return json.loads(run("score", "--backend", backend, "--model", model, "--top", 10, "--every",
                          "--json", "--tokens", ",".join(map(str, TOKENS)), *options))


@pytest.mark.parametrize("arch", [
    "llama", "mixtral", "mistral3", "smollm3", "granite", "granitemoe", "qwen2", "qwen3",
    "qwen2moe", "qwen3moe", "gemma2", "gemma3", "phi3", "glm4", "exaone4", "olmo2", "gpt-oss",
    "glm4moe", "cohere2", "gemma3n", "gemma4 dense", "gemma4 moe",
    "gemma4 small", "ernie4_5-moe", "hunyuan-dense", "minimax-m2"])
def test_scores_are_near_the_exact_ones_and_the_cpus(tmp_path, arch):
    path = tiny_models.write(str(tmp_path / "model.gguf"), arch=arch.replace("mixtral", "llama"),
                             mixture=True if arch == "mixtral" else None,
                             tied=arch.startswith("gemma"))
    want = forward.log_softmax(forward.forward(forward.Model(path), TOKENS))
    got = {backend: score(backend, path) for backend in ("cpu", "metal")}
    distance = {b: np.mean([abs(want[i][t] - p) for i, top in enumerate(s["tops"]) for t,
                            p in top[:10]])
                for b, s in got.items()}
    print(arch, distance)
    assert distance["metal"] < 0.08         # as for the CPU backend: tests/test_architectures.py
    nll = -want[np.arange(len(TOKENS) - 1), TOKENS[1:]].mean()
    for s in got.values():
        assert abs(np.mean(s["nll"]) / nll - 1) < 0.005


@pytest.mark.parametrize("arch,piece", [
    ("qwen35", "a mixer in attention's place, which the metal backend has no kernels for yet"),
    ("lfm2moe", "a mixer in attention's place, which the metal backend has no kernels for yet"),
    ("llama4", "weighs what experts read, which the metal backend does not do yet"),
])
def test_what_metal_does_not_run_is_refused(tmp_path, arch, piece):
    path = tiny_models.write(str(tmp_path / "model.gguf"), arch=arch)
    done = subprocess.run([PROGRAM, "score", "--model", path, "--tokens", "1,2,3", "--backend",
                           "metal"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and piece in done.stderr, done.stderr


@pytest.mark.parametrize("arch", ["llama", "gemma3", "qwen3moe"])
def test_layers_on_the_cpu_before_those_on_the_gpu(tmp_path, arch):
    """Whatever the cut of a prompt into steps, the same bytes; and near the exact ones."""
    path = tiny_models.write(str(tmp_path / "model.gguf"), arch=arch, tied=arch == "gemma3")
    want = forward.log_softmax(forward.forward(forward.Model(path), TOKENS))
    whole = score("metal", path, "-ngl", 1)
    for n in (1, 7, 39):
        assert score("metal", path, "-ngl", 1, "-ub", n) == whole
    assert np.mean([abs(want[i][t] - p) for i, top in enumerate(whole["tops"])
                    for t, p in top]) < 0.08
    assert score("metal", path, "-ngl", 999) == score("metal", path) != whole


def test_layers_that_read_keys_lie_with_them(tmp_path):
    """Those of another home they cannot read: that is said, with the numbers that work."""
    path = tiny_models.write(str(tmp_path / "model.gguf"), arch="gemma4 small")
    want = forward.log_softmax(forward.forward(forward.Model(path), TOKENS))
    whole = score("metal", path, "-ngl", 5)
    for n in (7, 39):
        assert score("metal", path, "-ngl", 5, "-ub", n) == whole
    assert np.mean([abs(want[i][t] - p) for i, top in enumerate(whole["tops"])
                    for t, p in top]) < 0.08
    done = subprocess.run([PROGRAM, "score", "--backend", "metal", "--model", path, "--tokens",
                           "1,2", "-ngl", "4"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done.stderr
    assert "layer 5 reads the keys of layer 2: 0 (all) or 5 and more are wanted" in done.stderr


def test_a_real_model_says_what_it_says_on_the_cpu(fetch_model):
    model = fetch_model("smollm2-135m")
    said = [run("run", "--model", model, "--backend", backend, "--prompt", "Why is the sky blue?",
                "--n-predict", 8, "--temperature", 0, "--ctx-size", 128, timeout=600)
            for backend in ("cpu", "metal")]
    assert said[0] == said[1] and said[0].strip()


def test_four_chats_at_once_get_what_each_gets_alone(tmp_path):
    path = tiny_models.write(str(tmp_path / "model.gguf"), arch="qwen3")
    server = Server(PROGRAM, path, "--backend", "metal", "--parallel", 4, "--ctx-size", 256,
                    "--chat-template", "chatml", "--no-prefix-cache").wait()
    try:
        def chat(i):
            status, _, body = server.post("/v1/chat/completions", {
                "messages": [{"role": "user", "content": f"the {i} he" * (i + 1)}], "max_tokens": 6,
                "temperature": 0})
            assert status == 200, body
            return body["choices"][0]["message"]["content"]
        alone = [chat(i) for i in range(4)]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            assert list(pool.map(chat, range(4))) == alone
        assert len(set(alone)) > 1
    finally:
        server.stop()


def test_the_self_test_reports(tmp_path):
    model = tiny_models.write(str(tmp_path / "model.gguf"), arch="qwen3")
    report = tmp_path / "report.md"
    out = run("self-test", "--backend", "metal", "--report", report, "--model", model, "--streams",
              "1,5")
    assert "emulated GPU" in out and "all 33 checks passed" in out and "FAILED" not in out
    assert "every bit as alone" in out
    text = report.read_text()
    parts = dict(part.split("\n", 1) for part in text.split("\n## ")[1:])
    # hand-over and barrier are measured on a GPU too
    measured = re.search(r"^\| measured \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$",
                         parts["Rates"], re.MULTILINE)
    assert measured and all(float(x) > 0 for x in measured.groups()[2:]), parts["Rates"]
    kernels = dict(re.findall(r"^\| (\S[^|]*) \| (\d+) \| 32 \| \d+ \| \d+ \|$", parts["Kernels"],
                              re.MULTILINE))
    # each once, although the self-test opens the backend for every type; products declare theirs
    assert kernels["product_q4_k_3"] == "128" and kernels["attend_1 0 64 0 0"] == "128"
    assert kernels["norm 1"] == "1024" and parts["Kernels"].count("| product_q4_k_3 |") == 1
    rows = re.findall(r"^\| (\d+) \| [\d.]+ \| [\d.]+ \| [\d.]+ \| [\d.]+ \| \d+ % \| \D+ \|$",
                      parts["Bench"], re.MULTILINE)
    assert rows == ["1", "5"], parts["Bench"]
    assert parts["Compiler"].strip() == "```\nit said nothing\n```"
    assert str(tmp_path) not in text
