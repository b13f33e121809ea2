"""--n-gpu-layers: the first layers on the CPU, the last on another backend. The exact backend
stands for the other here; tests/metal/test_emulated.py has the emulated GPU."""

import concurrent.futures
import json
import pathlib
import random
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import tiny_models  # noqa: E402
from serving import Server  # noqa: E402

TEXT = "/v1/completions"
ARCHS = ["llama", "gemma3", "qwen3moe"]
N_LAYERS = tiny_models.N_LAYERS


def ids(seed, n):
    r = random.Random(seed)
    return [r.randrange(tiny_models.N_VOCAB - 1) for _ in range(n)]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Of every architecture a file; Gemma's layers have a window of 16, but for one."""
    folder = tmp_path_factory.mktemp("models")
    return {a: tiny_models.write(str(folder / f"{a}.gguf"), arch=a) for a in ARCHS}


@pytest.fixture(scope="module")
def score(build_dir):
    def run(model, *options):
        done = subprocess.run(
            [build_dir / "paceline", "score", "-m", model, "--tokens",
             ",".join(map(str, ids(3, 60))), "--every", "--json", *map(str, options)],
            capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
    return run


def distance(a, b):
    pairs = [(dict(x), dict(y)) for x, y in zip(a["tops"], b["tops"])]
    both = [abs(x[t] - y[t]) for x, y in pairs for t in x.keys() & y.keys()]
    return sum(both) / len(both)


@pytest.mark.parametrize("arch", ARCHS)
def test_the_fewer_layers_round_the_nearer_the_exact_ones(score, models, arch):
    model = models[arch]
    cpu, exact = score(model), score(model, "--backend", "exact")
    assert score(model, "--backend", "exact", "-ngl", N_LAYERS) == exact
    assert score(model, "--backend", "exact", "--n-gpu-layers", 999) == exact
    assert score(model, "-ngl", 3, "--backend", "cpu") == cpu
    mixed = [score(model, "--backend", "exact", "-ngl", n) for n in (1, 3, N_LAYERS - 1)]
    assert score(model, "--backend", "exact", "-ngl", 3, "-ub", 7) == mixed[1]
    mixed = [distance(m, exact) for m in mixed]
    assert distance(cpu, exact) > mixed[0] > mixed[1] > mixed[2] > 0


@pytest.fixture(scope="module")
def split(build_dir, models):
    """Windows in pages of their own, in both homes: the last global layer is the exact one's."""
    server = Server(build_dir / "paceline", models["gemma3"], "--backend", "exact", "-ngl", 3,
                    "--parallel", 3, "--ctx-size", 1024)
    try:
        yield server.wait()
    finally:
        assert server.stop() == 0, server.errors


def reply(server, tokens, **more):
    status, _, got = server.post(TEXT, {"prompt": tokens, "max_tokens": 30, "temperature": 0,
                                        "logprobs": 2, "ignore_eos": True, **more})
    assert status == 200, got
    return [(c["text"], c["logprobs"]) for c in got["choices"]]


def test_memory_is_the_plan(split, build_dir, models):
    memory = split.request("GET", "/props")[2]["memory"]
    page = 16 * tiny_models.N_KV_HEADS * tiny_models.D_HEAD * 2         # values of one layer
    n_all, n_window = 3 * 64, 3 * (1 + 2 + 1) + 256 // 16               # pages of a group
    assert memory["kv_bytes"] == pytest.approx(
        2 * 4 * n_window * page + 4 * (2 * n_window + n_all) * page, abs=2 * 4096)
    assert abs(split.anonymous_bytes() / memory["total_bytes"] - 1) < 0.1   # it is small


def test_replies_do_not_depend_on_others(split):
    prompts = [ids(i, 60 * i + 5) for i in range(3)]
    alone = [reply(split, p, cache_prompt=False) for p in prompts]
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda p: reply(split, p, cache_prompt=False), prompts)) == alone
    assert [reply(split, p) for p in prompts] == alone      # from the prefix index


def test_forks_have_pages_in_both_homes(split):
    body = {"prompt": ids(9, 55), "max_tokens": 30, "temperature": 1, "ignore_eos": True, "seed": 4}
    alone = split.post(TEXT, body)[2]["choices"][0]["text"]
    texts = [c["text"] for c in split.post(TEXT, {**body, "n": 3})[2]["choices"]]
    assert texts[0] == alone and len(set(texts)) == 3


def test_none_at_all_is_another_option(build_dir, models):
    done = subprocess.run([build_dir / "paceline", "run", models["llama"], "-ngl", "0", "-p", "x"],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "--n-gpu-layers" in done.stderr
