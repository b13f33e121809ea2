"""What the tests of the CUDA backend share."""

import pathlib
import platform
import sys

import pytest

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))
BUILD = TESTS.parent / "build/gpu"


@pytest.fixture(scope="session")
def program():
    """The program of cmake --preset gpu, its library beside it."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        pytest.skip("the library is built on Linux x86-64")
    assert (BUILD / "paceline").exists(), \
        "build it first: cmake --preset gpu && cmake --build --preset gpu"
    return BUILD / "paceline"
