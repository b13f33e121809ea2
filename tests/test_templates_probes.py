"""paceline's Jinja against Python's: every expression and statement of
tests/unit/text/jinja_probes.py, and several hundred made by dice."""

import pathlib
import re
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "unit/text"))

from jinja_probes import LENIENT, STATEMENTS, VARIABLES, expressions, generated  # noqa: E402
from render import Renderer  # noqa: E402
from test_templates_golden import PYTHON, Refused  # noqa: E402

# What Python prints there depends on an address, or is refused for what it is rather than for what
# it holds.
UNPRINTABLE = re.compile(r"<(generator|bound method|built-in "
                         r"method|function|Undefined|jinja2|dict_\w*iterator|\w*reverse\w*) "
                         r"?[^>]*>")


@pytest.fixture(scope="module")
def render():
    renderer = Renderer()
    yield renderer
    renderer.close()


def python(template):
    try:
        return PYTHON.from_string(template).render(messages=[], bos_token="", eos_token="",
                                                   tools=None, **VARIABLES)
    except (Refused, Exception) as e:       # whatever Python objects to
        return e


def check(render, templates):
    wrong = []
    for template in templates:
        want = python(template)
        got = render({"messages": [], **VARIABLES}, template=template)
        if isinstance(want, Exception):
            lenient = any(template in some for some in LENIENT.values())
            if "text" in got and not lenient and not is_harmless(template, want):
                wrong.append(f"{template}\n    python refuses: {want!r}\n    paceline: "
                             f"{got['text']!r}")
        elif not UNPRINTABLE.search(want) and got != {"text": want, "guard": ""}:
            wrong.append(f"{template}\n    python: {want!r}\n    paceline: "
                         f"{got.get('text', got.get('error'))!r}")
    assert not wrong, f"{len(wrong)} of {len(templates)} differ:\n" + "\n".join(wrong)


def is_harmless(template, error):
    """A TypeError about the kind of a value that paceline reads as the nearest thing."""
    return any(words in str(error) for words in (
        # a generator, which paceline writes as a list
        "is not JSON serializable",
        "object of type 'generator' has no len",        # likewise
        # a condition inside the condition of an {% if %}
        "got 'if'",
        "has no len()", "not supported between instances", "is not subscriptable",
        "unhashable type",
    ))


def test_expressions(render):
    check(render, ["{{ %s }}" % e for e in expressions()])


def test_statements(render):
    check(render, STATEMENTS)


@pytest.mark.parametrize("seed", range(4))
def test_generated(render, seed):
    templates = generated(seed, 200)
    assert sum(not isinstance(python(t), Exception) for t in templates) > 100
    check(render, templates)
