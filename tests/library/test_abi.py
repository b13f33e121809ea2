"""The binary interface is the one that is written down, and that is the last tag's, but for what
was added."""

import re
import subprocess

import pytest
from abi import broken, describe
from building import ROOT
from declarations import declarations, header, parts_of
from test_install import declared, version

HERE = ROOT / "tests/library"


def number():
    major, minor, _ = version().split(".")
    return major if major != "0" else f"{major}.{minor}"


def written():
    return HERE / f"abi-{number()}.txt"


def test_the_interface_is_the_one_that_is_written_down():
    found, was = list(describe(declarations())), written().read_text().splitlines()
    gone, new = broken(was, found), broken(found, was)
    assert found == was, (
        f"gone: {gone}\nnew: {new}\n" + (
            "A program that was compiled before will not do: where such an interface was "
            "published, the version needs a new second number. " if gone else "") +
        f"tests/library/abi.py > {written().relative_to(ROOT)} writes it anew")


def test_what_was_published_is_still_there():
    tags = subprocess.run(["git", "tag", "--list", "v*", "--sort=-v:refname"], cwd=ROOT, text=True,
                          capture_output=True).stdout.split()
    for tag in tags:
        old = subprocess.run(["git", "show", f"{tag}:{written().relative_to(ROOT)}"], cwd=ROOT,
                             capture_output=True, text=True)
        if old.returncode == 0:
            assert broken(old.stdout.splitlines(), written().read_text().splitlines()) == [], tag
            return
    pytest.skip(f"no tag has an interface {number()} yet")


def test_everything_declared_is_described():
    structs, enums, functions = parts_of(declarations())
    assert {name for name, _, _ in functions} == declared()
    opened = re.findall(r"typedef (?:struct|enum) (\w+) \{", header().read_text())
    assert sorted(structs + enums) == sorted(opened)


HEADER = """typedef struct pl_one {
    int a;
    char *b;
} pl_one;
typedef enum pl_two {
    PL_TWO_A,
    PL_TWO_B,
} pl_two;
int pl_do(pl_one *one, pl_two two);
"""


@pytest.mark.parametrize("was, becomes, n_gone, n_new", [
    ("", "", 0, 0),
    ("int a;", "int a; /* said */", 0, 0),
    ("int pl_do(", "int pl_more(void);\nint pl_do(", 0, 1),     # added
    ("PL_TWO_B,", "PL_TWO_B, PL_TWO_C,", 0, 1),
    ("    char *b;", "    char *b;\n    int c;", 1, 2),         # of another size
    ("int a;", "long a;", 1, 1),
    ("    int a;\n    char *b;", "    char *b;\n    int a;", 2, 2),
    ("PL_TWO_A,", "PL_TWO_0, PL_TWO_A,", 2, 3),
    ("pl_two two)", "int two)", 1, 1),
    ("int pl_do(pl_one *one, pl_two two);", "", 1, 0),
])
def test_a_change_is_noticed(was, becomes, n_gone, n_new):
    old = list(describe(HEADER))
    new = list(describe(HEADER.replace(was, becomes) if was else HEADER))
    assert len(broken(old, new)) == n_gone and len(broken(new, old)) == n_new
