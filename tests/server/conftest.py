"""Servers for the tests of this folder."""

import contextlib

import pytest

from serving import Server


@pytest.fixture(scope="session")
def start_server(build_dir, fetch_model):
    """start_server(*options, model=...) -> Server, in a with statement."""
    @contextlib.contextmanager
    def start(*options, model="smollm2-135m"):
        server = Server(build_dir / "paceline", fetch_model(model), *options)
        try:
            yield server.wait()
        finally:
            code = server.stop()
        assert code == 0, f"exit code {code}: {server.errors}"     # sanitizers exit with their own
    return start


@pytest.fixture(scope="module")
def server(start_server):
    """SmolLM2 with 20 slots of 512 tokens; slow readers have all the time a busy machine may
    take."""
    with start_server("--parallel", 20, "--ctx-size", 512, "--write-timeout", 3600) as s:
        yield s
