"""Log-probabilities of the real models against the exact forward pass (tests/golden/forward.py).

The limits are llama.cpp b11434's own distances on the same texts: what quantising activations to
8 bits costs there.
"""

import json
import pathlib
import statistics
import subprocess

import pytest

GOLDEN = pathlib.Path(__file__).parent / "golden"
N_TOP = 20

# model: (mean distance of the top-10 log-probabilities, mean nll)
LIMITS = {
    "smollm2-135m": (0.096, 1.8625),
    "qwen2.5-coder-0.5b": (0.064, 1.7739),
    "gemma3-270m": (0.141, 1.6421),
}


def score(build_dir, model, tokens, *options):
    done = subprocess.run(
        [build_dir / "paceline", "score", "--model", model, "--tokens",
         ",".join(map(str, tokens)), "--top", str(N_TOP), "--every", "--json", *options],
        capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def distances(want_top, got_top):
    """|difference| for each reference token; one that we do not list is below our last."""
    got = dict((int(t), p) for t, p in got_top)
    last = got_top[-1][1]
    return [abs(p - got.get(int(t), min(p, last))) for t, p in want_top]


@pytest.mark.parametrize("name", LIMITS)
def test_distance_and_nll(build_dir, fetch_model, name):
    model = fetch_model(name)
    all_distances, nll, want_nll = [], [], []
    for case in json.loads((GOLDEN / f"{name}.logits.json").read_text()):
        got = score(build_dir, model, case["tokens"])
        assert len(got["nll"]) == len(case["nll"])
        for position, want_top in case["top10"].items():
            all_distances += distances(want_top, got["tops"][int(position)])
        nll += got["nll"]
        want_nll += case["nll"]
    max_distance, file_nll = LIMITS[name]
    mean = statistics.mean(all_distances)
    print(f"{name}: mean distance {mean:.4f} (limit {max_distance}), max {max(all_distances):.3f}, "
          f"mean nll {statistics.mean(nll):.4f} (exact {statistics.mean(want_nll):.4f})")
    assert mean <= max_distance
    assert abs(statistics.mean(nll) / statistics.mean(want_nll) - 1) < 0.01


def test_chunking_does_not_change_a_bit(build_dir, fetch_model):
    """The same sequence in steps of 1, 7 and 256 columns, on 1 and 2 threads."""
    model = fetch_model("smollm2-135m")
    tokens = json.loads((GOLDEN / "smollm2-135m.logits.json").read_text())[1]["tokens"]
    want = score(build_dir, model, tokens, "--ubatch-size", "256", "--threads", "1")
    for step in ("1", "7", "100"):
        for threads in ("1", "2"):
            got = score(build_dir, model, tokens, "--ubatch-size", step, "--threads", threads)
            assert got == want, f"steps of {step} columns on {threads} threads"
