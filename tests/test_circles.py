"""Inside a folder too, calls go in one direction: files do not call each other in circles.

A circle is found by names: who mentions a function that another source defines. Pointers to
functions that are handed over are no calls."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent

#: pairs that share one job, which a third file would only give another name
ON_PURPOSE = {
    frozenset({"gguf/gguf.c", "gguf/split.c"}),             # parts of a file are files
    # the table has the command that shows it
    frozenset({"cli/commands.c", "cli/cmd_completion.c"}),
}
NOT_CODE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)
ATTRIBUTE = re.compile(r"__attribute__\s*\(\(.*?\)\)\)?")


def code_of(text):
    return NOT_CODE.sub(lambda m: " " + "\n" * m[0].count("\n"), text)


def functions(code):
    """(name, whether other files see it) of every function that is defined: "{" at a line's start
    ends its head."""
    lines = code.split("\n")
    for end, line in enumerate(lines):
        if line.rstrip() != "{":
            continue
        begin = end
        while begin and lines[begin - 1].strip() and not lines[begin - 1].startswith("#") \
                and not lines[begin - 1].rstrip().endswith((";", "}")):
            begin -= 1
        head = ATTRIBUTE.sub(" ", " ".join(lines[begin:end]))
        name = re.search(r"(\w+)\s*\(", head)
        if name:
            yield name[1], not re.search(r"\bstatic\b", head)


def calls(sources):
    """{file: {file that it calls: names}} of {file: text}."""
    code = {name: code_of(text) for name, text in sources.items()}
    own = {name: {f for f, _ in functions(text)} for name, text in code.items()}
    defined = {}
    for name, text in code.items():
        for function, is_seen in functions(text):
            if is_seen:
                defined.setdefault(function, set()).add(name)
    found = {name: {} for name in sources}
    for name, text in code.items():
        for word in set(re.findall(r"(?<!struct )(?<!enum )\b[A-Za-z_]\w*\b", text)) - own[name]:
            for other in defined.get(word, ()):
                found[name].setdefault(other, set()).add(word)
    return found


def circles(graph):
    """The largest sets of files each of which reaches every other."""
    reach = {name: set(graph[name]) for name in graph}
    grew = True
    while grew:
        grew = False
        for name, to in reach.items():
            more = set().union(*(reach[other] for other in to)) - to if to else set()
            to |= more
            grew = grew or bool(more)
    return {frozenset(b for b in reach[a] if a in reach[b]) for a in graph if a in reach[a]}


def sources_of(root):
    return {p.relative_to(root / "src").as_posix(): p.read_text()
            for p in sorted((root / "src").rglob("*")) if p.suffix in (".c", ".m")}


def test_files_do_not_call_each_other_in_circles():
    graph = calls(sources_of(ROOT))
    for circle in circles(graph):
        if circle in ON_PURPOSE:
            continue
        arrows = [f"{a} -> {b}: {', '.join(sorted(graph[a][b]))}"
                  for a in sorted(circle) for b in sorted(graph[a]) if b in circle]
        pytest.fail("a circle of files:\n" + "\n".join(arrows))


def test_what_is_left_on_purpose_is_there():
    assert {name for pair in ON_PURPOSE for name in pair} <= set(sources_of(ROOT))


LOW = "int low(int x)\n{\n    return x;\n}\n"


@pytest.mark.parametrize("high, low, is_circle", [
    ("int high(void)\n{\n    return low(1);\n}\n", LOW, False),
    ("int high(void)\n{\n    return low(1);\n}\n", LOW + "int a = high();\n", True),
    ("int high(void)\n{\n    return low(1);\n}\n", LOW + "/* high() */\nchar *a = \"high\";\n",
    False), ("static int high(void)\n{\n    return low(1);\n}\n", LOW + "int a = high();\n", False),
    ("int high(int a,\n         int b)\n{\n    return low(a);\n}\n", LOW + "int c = high(1, 2);\n",
     True),
    ("__attribute__((format(printf, 1, 2)))\nstatic void high(void)\n{\n    low(1);\n}\n",
     LOW + "int high;\n", False),
    ("int high(void)\n{\n    return low(1);\n}\n", LOW + "struct high { int a; };\n", False),
])
def test_a_planted_circle_is_found(high, low, is_circle):
    found = circles(calls({"a/high.c": high, "a/low.c": low}))
    assert found == ({frozenset({"a/high.c", "a/low.c"})} if is_circle else set())


def test_a_long_circle_is_found():
    ring = {f"a/{i}.c": f"void f{i}(void)\n{{\n    f{(i + 1) % 4}();\n}}\n" for i in range(4)}
    assert circles(calls(ring)) == {frozenset(ring)}
    ring["a/3.c"] = "void f3(void)\n{\n}\n"
    assert circles(calls(ring)) == set()
