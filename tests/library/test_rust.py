"""bindings/rust: its tests and its example, against the library as it is installed."""

import re
import sys

import pytest
from abi import declarations
from building import ROOT, run
from test_c_example import replies

CRATE = ROOT / "bindings/rust"
sys.path.insert(0, str(CRATE))

from make_sys import lines  # noqa: E402


@pytest.fixture(scope="module")
def cargo(environment, libdir, tiny):
    """cargo(words): what it printed. The library is found by pkg-config."""
    environment = {**environment, "PACELINE_TEST_MODEL": str(tiny)}
    environment.pop("PACELINE_LIB_DIR", None)
    return lambda *words: run("cargo", *words, cwd=CRATE, env=environment)


def test_its_tests(cargo):
    said = cargo("test", "--quiet", "--locked")
    assert sum(int(n) for n in re.findall(r"test result: ok\. (\d+) passed", said)) >= 8


def test_its_example(cargo, tiny, reply):
    """Twenty tasks on tokio, and a queue of two."""
    found = replies(cargo("run", "--quiet", "--locked", "--example", "streams", "--", tiny, 20, 12))
    assert sorted(found) == list(range(20))
    assert all(state == "done" for state, _, _ in found.values())
    for i in (0, 9, 19):
        assert found[i][2] == reply(f"Rider {i} says:", 12)


def test_the_declarations_are_the_headers():
    assert "\n".join(lines(declarations())) + "\n" == (CRATE / "src/sys.rs").read_text()
