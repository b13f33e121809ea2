"""docs/glossary.md is true: what it names exists, and its words have one meaning each."""

import pathlib
import re

import pytest

from test_circles import code_of

ROOT = pathlib.Path(__file__).resolve().parent.parent
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text()

#: what others call the dimensions
OTHER_DIMENSIONS = set("""n_embd n_layer n_head n_head_kv n_kv_head head_dim hidden_dim hidden_size
vocab_size n_ff num_layers num_heads embed_dim intermediate_size""".split())
#: where a word may stand for what the glossary says, and nowhere else
HOMES = {"publish": ("src/base/ring.", "src/engine/stream.c"),
         "slot": ("src/engine/", "src/server/", "src/cli/", "src/backend/backend.h",
                  "src/backend/self_model.c")}


def sources(folder="src"):
    """(name, text)"""
    for path in sorted((ROOT / folder).rglob("*")):
        name = path.relative_to(ROOT).as_posix()
        if path.suffix in (".c", ".h", ".m"):
            yield name, path.read_text()


def rows(text):
    """(word, code) of every row of its tables."""
    return re.findall(r"^\| \*\*(.+?)\*\* \| .+? \| `(.+?)` \|$", text, re.M)


def stray_words(name, text):
    """Words outside of their homes, as words and as parts of identifiers."""
    return [word for word, homes in HOMES.items() if not name.startswith(homes)
            and re.search(rf"(?<![a-zA-Z]){word}(?:e[sd]|ing|s)?(?![a-zA-Z])", text)]


def shares_that_are_none(text):
    """Declarations of a share that cannot be a fraction."""
    declared = re.findall(r"\b(\w+_t|int|unsigned|long|char|bool|struct \w+) [ *]*(?:\w+, \**)*"
                          r"(\w*share)\b", code_of(text))
    return [f"{kind} {name}" for kind, name in declared if not name.startswith(("is_", "has_"))]


def words(text):
    return set(re.findall(r"[A-Za-z_]\w*", text))


def test_what_it_names_exists():
    code = "\n".join(path.read_text() for folder in ("src", "include")
                     for path in (ROOT / folder).rglob("*.[ch]"))
    known = words(code)
    assert len(rows(GLOSSARY)) == len(re.findall(r"^\| \*\*", GLOSSARY, re.M)) >= 20
    for word, named in rows(GLOSSARY):
        if named.startswith("struct "):
            assert re.search(rf"{named} {{", code), word
        files = {path.stem for path in (ROOT / "src").rglob("*.h")}
        assert words(named) - {"struct"} <= known | files, word


def test_each_word_stands_there_once():
    found = [w for word, _ in rows(GLOSSARY) for w in word.split(", ")]
    assert len(found) == len(set(found))


def test_the_tour_leads_there():
    assert "(glossary.md)" in (ROOT / "docs" / "architecture.md").read_text()


def test_dimensions_have_one_name():
    said = set(re.findall(r"`([dn]_\w+)`", GLOSSARY.partition("## Dimensions")[2]))
    assert said == {"d_model", "d_head", "d_ff", "n_layers", "n_heads", "n_kv_heads", "n_vocab"}
    assert said <= set().union(*(words(text) for _, text in sources("src/estimate")),
                               words((ROOT / "include" / "paceline.h").read_text()))
    for name, text in sources():
        assert not words(code_of(text)) & OTHER_DIMENSIONS, name


def test_words_stay_at_home():
    assert {name: stray_words(name, text) for name, text in sources()
            if stray_words(name, text)} == {}


def test_a_share_is_a_fraction():
    assert {name: shares_that_are_none(text) for name, text in sources()
            if shares_that_are_none(text)} == {}


def test_a_plan_is_no_estimate():
    """src/estimate plans nothing; and its own word is in every name that it gives to a backend."""
    for name, text in sources("src/estimate"):
        assert not [w for w in words(code_of(text)) if re.match(r"(?i)plan_", w)], name


@pytest.mark.parametrize("text, found", [
    ("double kv_share;", []), ("float share = 1;", []), ("uint32_t share;", ["uint32_t share"]),
    ("size_t gpu_share = 3;", ["size_t gpu_share"]), ("void f(bool share);", ["bool share"]),
    ("return share;", []), ("double minute, share;", []), ("int a, share;", ["int share"]),
])
def test_a_planted_share_is_judged(text, found):
    assert shares_that_are_none(text) == found


@pytest.mark.parametrize("name, text, found", [
    ("src/base/ring.c", "ring_publish(r);", []), ("src/cli/a.c", "stats_publish(r);", ["publish"]),
    ("src/cli/a.c", "/* is published */", ["publish"]), ("src/cli/a.c", "publisher", []),
    ("src/engine/a.c", "q->slot", []), ("src/backend/cpu/a.c", "n_slots", ["slot"]),
])
def test_a_planted_word_is_judged(name, text, found):
    assert stray_words(name, text) == found
