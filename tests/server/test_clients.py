"""Client libraries that are written for OpenAI's interface, unchanged: each of clients/with_*.py
talks to a server by one of them, in an environment of its own (scripts/setup.sh --tests)."""

import os
import pathlib
import subprocess

import pytest

CLIENTS = sorted((pathlib.Path(__file__).parent / "clients").glob("with_*.py"))


@pytest.fixture(scope="module")
def caller(start_server):
    with start_server("--parallel", 8, "--ctx-size", 2048, "--write-timeout", 3600,
                      model="qwen2.5-coder-0.5b") as s:
        yield s


@pytest.fixture(scope="module")
def python(models_dir):
    found = models_dir / "clients" / "bin" / "python"
    if not found.exists():
        pytest.skip("no environment of the clients: scripts/setup.sh --tests makes it")
    return found


def test_all_are_there():
    assert len(CLIENTS) == 5


@pytest.mark.parametrize("program", CLIENTS, ids=lambda p: p.stem)
def test_client(caller, python, program):
    """What was cancelled in the end gives its slot back."""
    done = subprocess.run([python, program, caller.url], capture_output=True, text=True,
                          timeout=600, check=False,
                          env=os.environ | {"LITELLM_LOCAL_MODEL_COST_MAP": "True"})
    assert done.returncode == 0, done.stderr[-4000:]
    assert caller.wait_until(lambda: caller.busy_slots() == 0)
