"""What the macOS workflow runs: which kernels Apple's compiler is given and how, with a stand-in
for it; when tests of the GPU are skipped; and the Homebrew formula. Kernels need the build of the
preset "metal"."""

import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build/metal"

STAND_IN = """#!/bin/sh
case "$*" in *show-sdk-version*) echo SDK; exit;; esac
echo "$*" >> CALLS
for word; do case $word in *.joined) ! grep -q REFUSED "$word" || exit 1;; esac; done
"""


def compile_kernels(tmp_path, sdk, refused="no such text"):
    calls = tmp_path / "calls"
    calls.write_text("")
    xcrun = tmp_path / "xcrun"
    xcrun.write_text(STAND_IN.replace("SDK", sdk).replace("CALLS", str(calls))
                     .replace("REFUSED", f"'{refused}'"))
    xcrun.chmod(0o755)
    done = subprocess.run([ROOT / "scripts/compile_kernels.sh", BUILD], capture_output=True,
                          text=True, env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
                          check=False)
    return done, calls.read_text().splitlines()


@pytest.mark.skipif(not BUILD.exists(), reason="build/metal is not built")
def test_every_kernel_is_compiled_as_the_program_has_it_compiled(tmp_path):
    done, calls = compile_kernels(tmp_path, "26.1")
    assert done.returncode == 0, done.stderr
    assert len(calls) == 2
    assert "-std=metal3.1" in calls[0] and "metal_source.c.joined" in calls[0]
    assert "-std=metal4.0" in calls[1] and "metal_tensor_source.c.joined" in calls[1]
    assert all("-fmetal-math-fp32-functions=precise" in c and "-fmetal-math-mode=safe" in c
               for c in calls)
    text = (BUILD / "metal_source.c.joined").read_text()
    for path in (ROOT / "src/backend/metal").glob("*.metal"):
        if not path.name.startswith("tensor"):
            assert path.read_text().splitlines()[-2] in text, path


@pytest.mark.skipif(not BUILD.exists(), reason="build/metal is not built")
def test_what_the_sdk_does_not_have_is_skipped_and_what_is_refused_is_told(tmp_path):
    done, calls = compile_kernels(tmp_path, "15.5")
    assert done.returncode == 0 and len(calls) == 1
    assert "skipped, the SDK is of macOS 15.5" in done.stdout
    done, calls = compile_kernels(tmp_path, "26.1", refused="kernel void norm")
    assert done.returncode == 1 and "does not compile" in done.stderr


def has_gpu(*findings):
    document = json.dumps({"well": True, "findings": list(findings)})
    return subprocess.run([sys.executable, ROOT / "scripts/has_gpu.py"], input=document,
                          capture_output=True, text=True, check=False)


def test_a_gpu_is_used_where_doctor_reaches_one():
    port = {"name": "port", "state": "fine", "text": "127.0.0.1:8080 is free", "mend": ""}
    fine = {"name": "GPU", "state": "fine", "text": "Apple M4 Pro is reached", "mend": ""}
    wrong = {"name": "GPU", "state": "wrong", "text": 'the GPU "Apple Paravirtual device" is none',
             "mend": "..."}
    assert has_gpu(port, fine).returncode == 0
    for done in (has_gpu(port, wrong), has_gpu(port)):
        assert done.returncode == 1 and done.stdout.startswith("skipped: ")
    assert "Paravirtual" in has_gpu(wrong).stdout


def make_formula(tarball, *words):
    return subprocess.run([ROOT / "deploy/homebrew/formula.sh", tarball, *words],
                          capture_output=True, text=True, check=False)


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no git repository")
def test_the_formula_is_of_a_tarball_that_builds(tmp_path):
    tarball = tmp_path / "paceline-0.1.0.tar.gz"
    subprocess.run(["git", "archive", "--prefix=paceline-0.1.0/", "-o", tarball, "HEAD"], cwd=ROOT,
                   check=True)
    url = "https://example.org/paceline-0.1.0.tar.gz"
    done = make_formula(tarball, url, "https://example.org")
    assert done.returncode == 0, done.stderr
    assert f'url "{url}"' in done.stdout and 'version "0.1.0"' in done.stdout
    assert f'sha256 "{hashlib.sha256(tarball.read_bytes()).hexdigest()}"' in done.stdout
    assert not re.search(r"@[A-Z]+@", done.stdout)
    options = re.findall(r'"(-D\w+=\w+)"', done.stdout)
    subprocess.run(["tar", "-xzf", tarball], cwd=tmp_path, check=True)
    configured = subprocess.run(["cmake", "-S", tmp_path / "paceline-0.1.0", "-B", tmp_path / "b",
                                 "-G", "Ninja", *options], capture_output=True, text=True,
                                check=False)
    assert configured.returncode == 0, configured.stderr
    assert "not used by the project" not in configured.stderr       # an option that there is not
    assert options == ["-DPACELINE_TESTS=OFF", "-DPACELINE_BENCH=OFF"]


def test_a_formula_of_another_version_is_refused(tmp_path):
    tarball = tmp_path / "paceline-9.9.tar.gz"
    tarball.write_bytes(b"")
    done = make_formula(tarball, "https://example.org/x", "https://example.org")
    assert done.returncode == 1 and "another version" in done.stderr
    assert make_formula(tmp_path / "none-0.1.0", "u", "h").returncode == 1
    assert make_formula(tarball).returncode == 1
