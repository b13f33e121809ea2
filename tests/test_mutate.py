"""scripts/mutate.py: every source has tests that are asked first, and they are there."""

import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import mutants  # noqa: E402
from nearest_tests import NEAREST, nearest  # noqa: E402

SOURCES = sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "src").rglob("*.[ch]"))


def test_every_source_has_tests_that_stand_nearest():
    for path in SOURCES:
        folders, files = nearest(path)
        assert folders, path
        for folder in folders:
            assert list((ROOT / "tests" / folder).glob("test_*.c")), (path, folder)
        for file, _, test in (f.partition("::") for f in files):
            assert (ROOT / file).is_file(), (path, file)
            assert f"def {test}" in (ROOT / file).read_text(), (path, file, test)


def test_every_row_is_somebodys():
    """The longest row counts: one that is never it, or that no source begins with, is a mistake."""
    used = {max((row[0] for row in NEAREST if path.startswith(row[0])), key=len) for path
            in SOURCES}
    assert used == {row[0] for row in NEAREST} and len(used) == len(NEAREST)


def test_folders_of_commands_have_a_row_of_their_own():
    rows = {row[0] for row in NEAREST}
    folders = {path.rsplit("/", 1)[0] + "/" for path in SOURCES if path.startswith("src/cli/")}
    assert folders <= rows, folders - rows


@pytest.mark.parametrize("text,whats", [
    ("    if (a < b) return;", {"< to <=", "if negated"}),
    ("    a = b + 2;", {"+ to -", "2 to 3", "2 to 1", "deleted"}),
    ("    x = p->n != 0x10 && y;", {"!= to ==", "&& to ||", "0x10 to 17", "0x10 to 15", "deleted"}),
    ("    PL_LOG(info, \"kv\", \"%d\", a < b);", set()),
    ("    const int n = 7;", {"7 to 8", "7 to 6"}),
    # none that is larger than it was
    ("    char text[32], b[8 * 4];", {"32 to 31", "8 to 7", "4 to 3"}),
    ("    x = text[3];", {"3 to 4", "3 to 2", "deleted"}),
    ("    f(\"1 < 2\", c); /* 3 < 4 */", set()),
])
def test_what_is_changed_in_a_line(text, whats):
    """Nothing in a comment or a string, and no log line."""
    assert {m.what for m in mutants.of_line("a.c", 0, text, mutants.blank(text), False)} == whats
