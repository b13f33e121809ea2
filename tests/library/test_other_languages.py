"""The packages for Python and for Node, and the example in Go, against the library as it is
installed: each is built, tested by its own tests, and its example tells what the program tells."""

import os
import shutil
import sys
import zipfile

import pytest
from building import ROOT, run
from test_c_example import replies


def check(said, reply):
    found = replies(said)
    assert sorted(found) == list(range(20))
    assert all(state == "done" and n == 12 for state, n, _ in found.values())
    for i in (0, 9, 19):
        assert found[i][2] == reply(f"Rider {i} says:", 12)


@pytest.fixture(scope="module")
def wheel(prefix, tmp_path_factory):
    """Built beside the tree, from what a source package has."""
    source = tmp_path_factory.mktemp("python") / "paceline"
    shutil.copytree(ROOT / "bindings/python", source,
                    ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    shutil.copy(ROOT / "include/paceline.h", source)
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps",
        "--disable-pip-version-check", "-w", source.parent, source,
        env={**environ(), "PACELINE_PREFIX": str(prefix)})
    built, = source.parent.glob("*.whl")
    return built


def environ():
    """Without where the library is: the wheel has its own."""
    return {k: v for k, v in os.environ.items() if k not in ("LD_LIBRARY_PATH", "PKG_CONFIG_PATH")}


@pytest.fixture(scope="module")
def empty_venv(wheel, tmp_path_factory):
    python = tmp_path_factory.mktemp("venv") / "bin/python"
    run(sys.executable, "-m", "venv", python.parent.parent)
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel)
    return python


def test_the_wheel_holds_the_library(wheel, libdir):
    names = zipfile.ZipFile(wheel).namelist()
    library, = [n for n in names if "libpaceline" in n]
    assert (libdir / library.removeprefix("paceline/")).exists()
    assert "-abi3-" in wheel.name and not any("check" in n or "build_ffi" in n for n in names)


def test_python(empty_venv, tiny):
    checks = ROOT / "bindings/python/tests/check.py"
    assert "7 checks, paceline" in run(empty_venv, checks, tiny, env=environ())


def test_the_python_example(empty_venv, tiny, reply):
    """Its threads and its tasks are told the same, or it fails."""
    check(run(empty_venv, ROOT / "examples/python/streams.py", tiny, 20, 12, env=environ()), reply)


@pytest.fixture(scope="module")
def node(environment, tiny):
    """node(words): its environment, once the addon is built."""
    folder = ROOT / "bindings/node"
    run("npm", "ci", "--silent", "--no-audit", "--no-fund", cwd=folder)
    environment = {**environment, "PACELINE_TEST_MODEL": str(tiny)}
    run("npm", "run", "--silent", "build", cwd=folder, env=environment)
    return lambda *words: run(*words, cwd=folder, env=environment)


def test_node(node):
    said = node("npm", "test", "--silent")
    assert "# pass 6" in said and "# fail 0" in said, said


def test_the_node_example(node, tiny, reply):
    check(node("node", ROOT / "examples/node/streams.js", tiny, 20, 12), reply)


@pytest.mark.skipif(not shutil.which("go"), reason="Go is not installed, nor by scripts/setup.sh")
def test_the_go_example(environment, libdir, tiny, reply, tmp_path):
    # Go's cache does not ask pkg-config again: by these flags it sees that the library has moved
    environment = {**environment, "CGO_LDFLAGS": f"-L{libdir}"}
    run("go", "build", "-o", tmp_path / "streams", ".", cwd=ROOT / "examples/go", env=environment)
    check(run(tmp_path / "streams", tiny, 20, 12, env=environment), reply)
