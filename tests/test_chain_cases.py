"""The table that the engine's samplers are held against is what its twin makes."""

import pathlib

from golden.make_chain_cases import header

ROOT = pathlib.Path(__file__).parent


def test_the_table_is_the_twins():
    assert (ROOT / "unit/engine/chain_cases.h").read_text() == header()
