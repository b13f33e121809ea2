"""What CONTRIBUTING says of lines and comments."""

import ast
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
MAX_COLUMNS = 100
C_LIKE = {".c", ".h", ".m", ".metal", ".rs"}
SUFFIXES = C_LIKE | {".py", ".sh", ".cmake"}

#: what others call things: C11's and POSIX' words, processors' flags, other projects' functions
FOREIGN = set("""acq_rel seq_cst fetch_or sd_notify sd_watchdog_enabled HWCAP_ASIMDHP HWCAP_ASIMDDP
HWCAP2_I8MM HWCAP2_SME HWCAP2_SME_I8I32 PR_SME_GET_VL OPEN_MAX White_Space
llama_tensor_get_type norm_topk_prob""".split())

#: a text in quotes is no name
IDENTIFIER = re.compile(r"(?<![\w./-])[A-Za-z]\w*_\w+")
QUOTED = re.compile(r'"[^"\n]*"')
C_PIECE = re.compile(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])'", re.DOTALL)
#: a line up to a "#" that is neither in quotes nor part of a word
HASH_LINE = re.compile(r"""((?:[^#"']|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|"""
                       r"""(?<=[$\w{(])#)*)(#(?!!).*)$""")


def files():
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True,
                            capture_output=True, text=True).stdout.split("\n")
    for name in filter(None, listed):
        path = ROOT / name
        if (path.suffix in SUFFIXES or path.name == "CMakeLists.txt") and path.is_file():
            yield name, path.read_text()


def long_lines(text):
    return [i for i, line in enumerate(text.split("\n"), 1) if len(line) > MAX_COLUMNS]


def comments_of_c(text):
    code, comments, at = [], [], 0
    for m in C_PIECE.finditer(text):
        if m[0].startswith(("/*", "//")):
            code.append(text[at:m.start()])
            comments.append(m[0])
            at = m.end()
    return " ".join(code + [text[at:]]), comments


def comments_of_lines(text):
    code, comments = [], []
    for line in text.split("\n"):
        m = HASH_LINE.match(line)
        code.append(m[1] if m else line)
        if m:
            comments.append(m[2])
    return "\n".join(code), comments


def comments_of_python(text):
    code, comments = comments_of_lines(text)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef)):
            said = ast.get_docstring(node, clean=False)
            if said:
                comments.append(said)
                code = code.replace(said, "")
    return code, comments


def comments_of(name, text):
    """(code, [comments])"""
    suffix = pathlib.PurePath(name).suffix
    if suffix in C_LIKE:
        return comments_of_c(text)
    return comments_of_python(text) if suffix == ".py" else comments_of_lines(text)


def unknown_names(sources):
    """"file: name" of what comments name and no code has, of [(file, text)]."""
    known, named = set(FOREIGN), []
    for name, text in sources:
        code, comments = comments_of(name, text)
        known |= set(re.findall(r"[A-Za-z_]\w*", code)) | {pathlib.PurePath(name).stem}
        for said in comments:
            named += [(name, word.rstrip("_")) for word in IDENTIFIER.findall(QUOTED.sub("", said))]
    return [f"{name}: {word}" for name, word in named if word not in known]


def test_no_line_is_too_long():
    assert [f"{name}:{i}" for name, text in files() for i in long_lines(text)] == []


def test_what_comments_name_is_there():
    assert unknown_names(list(files())) == []


def test_there_is_something_to_check():
    names = [name for name, _ in files()]
    assert {pathlib.PurePath(name).suffix for name in names} >= SUFFIXES and len(names) > 500


def test_columns_are_characters():
    assert long_lines("é" * 100) == [] and long_lines("a\n" + "é" * 101) == [2]


@pytest.mark.parametrize("name, text, unknown", [
    ("a.c", "/* see no_such */ int x;", ["no_such"]),
    ("a.c", "int x;  // see no_such", ["no_such"]),
    ("a.c", "/* see such_one */ int such_one;", []),
    ("a.c", "/* see such_one */ char *s = \"such_one\";", []),
    ("a.c", "char *s = \"// no_such\";", []),
    ("a.c", "/* in other/no_such.c, v0.no_such */", []),
    ("a.c", "/* see acq_rel */", []),
    ("a.c", '/* as in "no_such" */', []),
    ("a.py", "x = 1   # see no_such", ["no_such"]),
    ("a.py", "def f():\n    \"\"\"As no_such does.\"\"\"\n", ["no_such"]),
    ("a.py", "# see such_one\nsuch_one = '# no_such'", []),
    ("a.sh", "echo ${no#such} '#' # see no_such", ["no_such"]),
])
def test_a_planted_name_is_found(name, text, unknown):
    assert unknown_names([(name, text)]) == [f"{name}: {word}" for word in unknown]
