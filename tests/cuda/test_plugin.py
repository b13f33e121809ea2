"""The program that is built for GPUs, where there is none: its library opens, has what the program
wants, and what is missing is said in one line."""

import re
import subprocess

import pytest


def run(program, *words):
    return subprocess.run([program, *words], capture_output=True, text=True, timeout=60)


def test_it_needs_nothing_that_a_bare_machine_lacks(program):
    needed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    found = {re.match(r"\s*(\S+)", line)[1].split("/")[-1] for line in needed.splitlines()}
    assert found <= {"linux-vdso.so.1", "libm.so.6", "libgcc_s.so.1", "libc.so.6",
                     "ld-linux-x86-64.so.2"}


def test_the_library_has_code_for_hopper(program):
    assert b"sm_90a" in (program.parent / "libpaceline_cuda.so").read_bytes()


def test_no_driver_is_one_line(program):
    done = run(program, "self-test", "--backend", "cuda")
    if done.returncode == 0:
        pytest.skip("this machine has a GPU")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert re.search("driver|GPU|capability", done.stderr)


def test_no_library_is_one_line(program, tmp_path):
    alone = tmp_path / "paceline"
    alone.write_bytes(program.read_bytes())
    alone.chmod(0o755)
    done = run(alone, "self-test", "--backend", "cuda")
    assert done.returncode == 1
    assert "libpaceline_cuda.so is neither beside the program nor in ../lib" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_commands_of_the_server_are_not_offered(program):
    text = run(program, "--help").stdout
    assert "self-test" in text and "serve" not in text
    assert run(program, "serve", "model.gguf").returncode == 2
