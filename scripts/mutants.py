"""One-line mistakes that a test should notice: where in src/ they could be made. For mutate.py."""

import platform
import re
from dataclasses import dataclass

# What this machine cannot run: other systems, other processors, a GPU.
ELSEWHERE = re.compile(r"metal/|macos|/mach\.c|/smc\.c|ioreport|powermetrics|nvml|power_assertion")
OF_ARM = re.compile(r"neon|i8mm|product_arm")
OF_X86 = re.compile(r"avx|product_x86|math_avx|quantise_lanes")
OF_FEATURE = {"avx512": "avx512_vnni", "avxvnni": "avx_vnni", "avx2": "avx2"}
# Lines whose change nobody could see or should: logs, assertions, fetches, what is no code.
UNTOLD = re.compile(r"PL_LOG|\bassert|_Static_assert|prefetch|^\s*#|^\s*\"|"
                    r"__attribute__|\bdefault:")
OTHER_SYSTEM = re.compile(r"#\s*(el)?if.*(__APPLE__|_WIN32|__MACH__|__aarch64__|__METAL_VERSION__)")


@dataclass(frozen=True)
class Mutant:
    path: str           # below the root
    line: int           # from 0
    before: str
    after: str
    what: str           # "< to <="


def runs_here(path, flags):
    is_arm = platform.machine() in ("aarch64", "arm64")
    if ELSEWHERE.search(path) or (OF_X86 if is_arm else OF_ARM).search(path):
        return False
    return is_arm or all(flag in flags for part, flag in OF_FEATURE.items() if part in path)


def blank(text):
    """The same text with the inside of comments, strings and characters as spaces."""
    def spaces(m):
        found = m[0]
        keep = found[0] if found[0] in "\"'" else " "
        return keep + re.sub(r"[^\n]", " ", found[1:-1]) + keep if len(found) > 1 else found
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', spaces, text,
                  flags=re.DOTALL)


def body_lines(code, is_header):
    """Lines inside functions, and of a source's tables too: not declarations."""
    depth, inside, before, lines = 0, False, "", set()
    elsewhere = []      # open #if: whether its present branch is another system's
    for n, line in enumerate(code.split("\n")):
        directive = line.strip()
        if directive.startswith("#"):
            if re.match(r"#\s*if", directive):
                elsewhere.append(bool(OTHER_SYSTEM.match(directive)))
            elif re.match(r"#\s*el", directive) and elsewhere:
                elsewhere[-1] = bool(OTHER_SYSTEM.match(directive))
            elif re.match(r"#\s*endif", directive) and elsewhere:
                elsewhere.pop()
            continue
        if depth and inside and not any(elsewhere):
            lines.add(n)
        for c in line:
            if c == "{":
                if depth == 0:
                    head = before.rstrip()
                    inside = head.endswith(")") or (head.endswith("=") and not is_header)
                depth += 1
            elif c == "}":
                depth = max(0, depth - 1)
                before = ""
            if depth == 0:
                before = "" if c == ";" else before + c
        if depth == 0:
            before += " "
    return lines


SWAPS = [   # pattern in the blanked line, what to put there
    (r"(?<![<>=\-!])<(?![<=])", "<="), (r"(?<![<])<=(?!=)", "<"),
    (r"(?<![<>=\-])>(?![>=])", ">="), (r"(?<![>])>=(?!=)", ">"),
    (r"==", "!="), (r"!=", "=="), (r"&&", "||"), (r"\|\|", "&&"),
    (r"\+=", "-="), (r"-=", "+="), (r"\+\+", "--"), (r"--", "++"),
    (r"(?<=[\w)\]] )\+(?= )", "-"), (r"(?<=[\w)\]] )-(?= )", "+"),
]
# Sizes of arrays on the stack: nobody sees that one is larger.
ARRAYS = re.compile(r"^\s*(?:static |const |unsigned |struct )*\w+ \**\w+(?:\[[^\]]*\])*(?:, "
                    r"\**\w+(?:\[[^\]]*\])*)*;$")
NUMBER = re.compile(r"(?<![\w.])(0x[0-9a-fA-F]+|\d+)(?=[uUlL]*(?![\w.]))")
CONDITION = re.compile(r"\b(if|while) \(")
STATEMENT = re.compile(r"^\s*(?=\S)(?!return\b|break\b|continue\b|goto\b|"
                       r"else\b|do\b|for\b|while\b|if\b)"
                       r"(\*?[\w\->.\[\]()+* &]+\s*([-+*/|&]?=|\+\+|--|\().*);$")
DECLARATION = re.compile(r"^\s*(const|static|struct|enum|unsigned|int|char|float|double|bool|"
                         r"size_t|u?int\d+_t|pl_\w+|void|long|__m\w+|json_t|FILE)\b"
                         r"[^=(]*[ *]\w+(\[.*\])?\s*(=|;|,)")


def closing(code, at):
    """Where the bracket that opens at `at` closes on this line, or -1."""
    depth = 0
    for i in range(at, len(code)):
        depth += (code[i] == "(") - (code[i] == ")")
        if depth == 0:
            return i
    return -1


def of_line(path, n, text, code, goes_on):
    """All mutants of a line; code: the line, blanked; goes_on: the line before has not ended."""
    def make(start, end, new, what):
        return Mutant(path, n, text, text[:start] + new + text[end:], what)
    if UNTOLD.search(text) or not code.strip():
        return
    for pattern, new in SWAPS:
        for m in re.finditer(pattern, code):
            yield make(m.start(), m.end(), new, f"{m[0]} to {new}")
    for m in NUMBER.finditer(code):
        value = int(m[1], 8 if re.match(r"0\d", m[1]) else 0)
        before = code[:m.start()]
        is_length = ARRAYS.match(code) and before.count("[") > before.count("]")
        larger = set() if is_length else {value + 1}
        for other in (larger | {max(0, value - 1)}) - {value}:
            yield make(m.start(1), m.end(1), str(other), f"{m[1]} to {other}")
    for m in CONDITION.finditer(code):
        end = closing(code, m.end() - 1)
        if end > 0:
            inside = text[m.end():end]
            yield make(m.end(), end, f"!({inside})", f"{m[1]} negated")
    if not goes_on and STATEMENT.match(code) and not DECLARATION.match(code) \
            and code.count("(") == code.count(")"):
        indent = len(text) - len(text.lstrip())
        yield make(indent, len(text), ";", "deleted")


def of_file(root, path):
    text = (root / path).read_text()
    code = blank(text)
    lines, blanked = text.split("\n"), code.split("\n")
    for n in sorted(body_lines(code, path.endswith(".h"))):
        before = next((b for b in reversed(blanked[:n]) if b.strip()), ";").rstrip()
        found = list(of_line(path, n, lines[n], blanked[n], before[-1] not in ";{}:"))
        if found:
            yield found
