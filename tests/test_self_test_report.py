"""paceline self-test --report: one file that tells of a machine, and nothing of its owner."""

import os
import re
import subprocess

import pytest
import tiny_models


@pytest.fixture(scope="module")
def report(build_dir, tmp_path_factory):
    """(standard output, the report) of a run in a home of its own, with a pulled model, one named
    by its path, and one that is not there."""
    home = tmp_path_factory.mktemp("home of jane")
    pulled = home / "cache/paceline/models/acme/tiny"
    pulled.mkdir(parents=True)
    tiny_models.write(str(pulled / "tiny-q8_0.gguf"), arch="llama")
    return run(build_dir, home, "--streams", "1,3"), home


def run(build_dir, home, *words, name="report.md"):
    path = home / name
    done = subprocess.run([build_dir / "paceline", "self-test", "--backend", "cpu", "--report",
                           path, *words], capture_output=True, text=True, timeout=300,
                          env={**os.environ, "HOME": str(home),
                               "XDG_CACHE_HOME": str(home / "cache")})
    return done, path.read_text() if path.exists() else ""


def part(text, heading):
    return text.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def test_it_has_every_part(report):
    (done, text), _ = report
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["Rates", "Checks", "Compiler",
                                                           "Kernels", "Bench", "Log"]
    assert "**Not finished" not in text
    checks = [line for line in done.stdout.splitlines() if line.startswith("ok ")]
    assert len(checks) > 10 and part(text, "Checks").split("```")[1].split("\n")[1:-1] == checks
    limits = re.search(r"limits  (\S+): (\d+) G multiply-adds a second(?: \(\d+ by the matrix "
                       r"unit\))?, ([\d.]+) GB/s", done.stdout)
    row = re.search(r"\| measured \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| [\d.]+ \|",
                    part(text, "Rates"))
    assert row, text
    assert round(float(row[1])) - int(limits[2]) in (-1, 0, 1) and row[2] == limits[3]
    assert float(row[3]) > 0 and f"computing: {limits[1]}, " in text
    assert "this backend compiles none" in part(text, "Kernels")


def test_pulled_models_are_benched_beside_what_plan_says(report):
    (_, text), _ = report
    rows = re.findall(r"^\| (\d+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| (\d+) % \| "
                      r"(?:arithmetic|weight reads|KV reads|launches) \|$", part(text, "Bench"),
                      re.MULTILINE)
    assert [int(row[0]) for row in rows] == [1, 3], text
    for n, _, decoded, step_ms, modelled, share, in rows:
        assert float(modelled) > 0
        assert abs(int(share) - 100 * float(decoded) / float(modelled)) <= 1.5
        assert float(step_ms) == pytest.approx(1e3 * int(n) / float(decoded), rel=0.05, abs=0.006)


def test_what_is_not_there_is_a_line(build_dir, tmp_path):
    done, text = run(build_dir, tmp_path, "--model", str(tmp_path / "a/b/none.gguf"))
    assert done.returncode == 0
    assert "~.../none.gguf: not measured: " in part(text, "Bench")


def test_it_says_nothing_of_the_owner(report):
    (_, text), home = report
    assert str(home) not in text and "jane" not in text
    assert os.uname().nodename not in text or len(os.uname().nodename) < 3


def test_it_must_be_writable(build_dir, tmp_path):
    done, _ = run(build_dir, tmp_path, "--model", "none", name="no/such/report.md")
    assert done.returncode == 1 and "no/such/report.md: No such file" in done.stderr
    assert not done.stdout      # before anything is measured


@pytest.mark.parametrize("streams", ["", "0", "1,,2", "1,257", "x"])
def test_streams_are_numbers(build_dir, streams):
    done = subprocess.run([build_dir / "paceline", "self-test", "--streams", streams],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "numbers from 1 to 256" in done.stderr
