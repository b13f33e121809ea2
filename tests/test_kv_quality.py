"""bench/quality/kv_types.py: the needles lie where it says, a row holds what was measured, and what
the engine refuses is said."""
import json
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "bench/quality/kv_types.py"
sys.path.insert(0, str(SCRIPT.parent))
sys.path.insert(0, str(ROOT / "bench/peers"))
import kv_types  # noqa: E402
import tables  # noqa: E402


def test_haystack_keeps_the_text_and_hides_each_needle_in_its_part():
    lines = [f"line {i}" for i in range(160)]
    found = kv_types.haystack(lines).splitlines()
    assert [x for x in found if x.startswith("line")] == lines
    needles = kv_types.needles()
    assert len(needles) == len(set(needles)) == 16
    for i, (city, digits) in enumerate(needles):
        statement = f"The magic number of {city} is {digits}."
        at = found.index(f"{statement} {statement}")
        assert found[at - 1] == f"line {10 * i + 4}" and found[at + 1] == f"line {10 * i + 5}"


@pytest.fixture(scope="module")
def measured(build_dir, fetch_model, tmp_path_factory):
    out = tmp_path_factory.mktemp("kv") / "rows.jsonl"
    model = fetch_model("smollm2-135m")
    done = subprocess.run([sys.executable, SCRIPT, "--binary", build_dir / "paceline", "--models",
                           model.parent, "--model", model.stem, "--pair", "f16:f16", "--pair",
                           "bf16:q8_0", "--tokens", "200", "--haystack-tokens", "900", "--out",
                           out], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_rows(measured):
    exact, coarse = measured
    assert (exact["k"], exact["v"], coarse["k"], coarse["v"]) == ("f16", "f16", "bf16", "q8_0")
    for row in measured:
        assert row["nll_tokens"] == 200 and 850 < row["haystack_tokens"] <= 900
        assert list(row["replies"]) == list(kv_types.CITIES)
        right = sum(row["replies"][c].startswith(d) for c, d in kv_types.needles())
        assert row["needles_found"] == right > 0
    assert exact["mean_nll"] != coarse["mean_nll"]
    assert abs(exact["mean_nll"] - coarse["mean_nll"]) < 0.05


def test_table(measured):
    exact, coarse = measured
    refused = {**exact, "k": "q8_0", "refused": "not today"}
    text = tables.kv_quality([exact, coarse, refused])
    distance = coarse["mean_nll"] - exact["mean_nll"]
    assert text[2] == f"| f16 | f16 | {exact['mean_nll']:.4f}, {exact['needles_found']}/16 |"
    assert text[3] == f"| bf16 | q8_0 | {distance:+.4f}, {coarse['needles_found']}/16 |"
    assert text[4] == "| q8_0 | f16 | refused: not today |"
    other_text = {**coarse, "text_sha256": "0"}
    assert f"{coarse['mean_nll']:.4f}" in tables.kv_quality([exact, other_text])[3]


def test_a_refusal_is_said(build_dir, tmp_path):
    (tmp_path / "broken.gguf").write_bytes(b"GGUF")
    args = type("Args", (), {"binary": build_dir / "paceline"})
    with pytest.raises(kv_types.Refused, match="broken.gguf"):
        kv_types.mean_nll(args, tmp_path / "broken.gguf", [1, 2], [])
    with pytest.raises(kv_types.Refused, match="broken.gguf"):
        kv_types.replies(args, tmp_path / "broken.gguf", "", 64, [])
