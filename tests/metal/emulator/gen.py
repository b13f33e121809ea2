"""Turns Metal Shading Language into C++ that the shim (msl/) compiles.

The text stays as it is, line by line, but for what C++ has no word for: kernels become functions
that launchers call with what the parameters' attributes ask for, explicit instantiations with a
host_name become entries of a table, function constants become variables, arrays in threadgroup
memory are taken from the engine, literals get their suffixes. Also the lint of what clang would
take and Metal's compiler would not.
"""

import bisect
import re
import subprocess

ATTRIBUTES = {
    "buffer", "threadgroup", "thread_position_in_grid", "threadgroup_position_in_grid",
    "thread_position_in_threadgroup", "thread_index_in_threadgroup", "thread_index_in_simdgroup",
    "simdgroup_index_in_threadgroup", "threads_per_threadgroup", "threadgroups_per_grid",
    "threads_per_grid", "simdgroups_per_threadgroup", "threads_per_simdgroup",
    "thread_index_in_quadgroup", "quadgroup_index_in_threadgroup",
}
SAME_AS = {
    "dispatch_threads_per_threadgroup": "threads_per_threadgroup",
    "dispatch_simdgroups_per_threadgroup": "simdgroups_per_threadgroup",
    "thread_execution_width": "threads_per_simdgroup",
}
HEADERS = {"metal_stdlib", "metal_simdgroup", "metal_simdgroup_matrix", "metal_math",
           "metal_atomic",
           "metal_common", "metal_geometric", "metal_integer", "metal_relational", "metal_compute",
           "metal_matrix", "metal_tensor",
           "MetalPerformancePrimitives/MetalPerformancePrimitives.h"}
SPACES = r"\b(?:device|constant|threadgroup|thread)\b"
NOT_METAL = (r"\b(?:double|virtual|goto|try|catch|throw|new|delete|asm|dynamic_cast|typeid|std|"
             r"long\s+long)\b")
NO_FUNCTIONS = {"if", "for", "while", "switch", "return", "sizeof", "alignof", "decltype",
                "defined"}


class SourceError(Exception):
    """What is wrong with the source, with lines."""


class Source:
    """Preprocessed text whose lines are known: blanks stand for what was taken out."""

    def __init__(self, text):
        self.text = text
        self.problems = []
        self.line_at = [0]
        self.number_at = []
        number, kept = 1, []
        for line in text.split("\n"):
            marker = re.match(r'# (\d+) "', line)
            if marker:
                number = int(marker[1])
                kept.append("")
                self.number_at.append(number)
            else:
                kept.append(line)
                self.number_at.append(number)
                number += 1
            self.line_at.append(self.line_at[-1] + len(kept[-1]) + 1)
        self.text = "\n".join(kept)

    def line(self, at):
        return self.number_at[bisect.bisect_right(self.line_at, at) - 1]

    def problem(self, at, what):
        self.problems.append((self.line(at), what))


def preprocess(source, defines=()):
    """Macros expanded, line markers kept; the standard headers stay out, they are the shim's."""
    source = re.sub(r"^([ \t]*)#[ \t]*include[ \t]*<([^>]*)>",
                    lambda m: m[1] if m[2] in HEADERS else m[0], source, flags=re.M)
    run = subprocess.run(
        ["clang++-19", "-E", "-xc++", "-std=c++17", "-nostdinc", "-undef",
         "-D__METAL_VERSION__=310", "-D__METAL__=1",
         *defines, "-"], input=source, text=True, capture_output=True, check=False)
    if run.returncode:
        raise SourceError(run.stderr)
    return Source(run.stdout)


def blank(text):
    """As long, the lines kept."""
    return re.sub(r"[^\n]", " ", text)


def without_strings(text):
    return re.sub(r'"(?:[^"\\\n]|\\.)*"', lambda m: '"' + " " * (len(m[0]) - 2) + '"', text)


def closing(text, at, pair="()"):
    """Where the parenthesis at `at` closes."""
    depth = 0
    for i in range(at, len(text)):
        if text[i] == pair[0]:
            depth += 1
        elif text[i] == pair[1]:
            depth -= 1
            if not depth:
                return i
    raise SourceError(f"'{pair[0]}' is not closed")


def split_commas(text):
    """Parts between the commas that no bracket holds, with where each begins."""
    parts, depth, first = [], 0, 0
    for i, c in enumerate(text):
        depth += (c in "([{<") - (c in ")]}>" and text[i - 1] != "-")
        if c == "," and not depth:
            parts.append((first, text[first:i]))
            first = i + 1
    parts.append((first, text[first:]))
    return [(at, part) for at, part in parts if part.strip()]


# ---- lint ----------------------------------------------------------------------------------------

def lint_parameters(source, text):
    """Pointers and references of functions without an address space."""
    for match in re.finditer(r"\b([A-Za-z_]\w*)\s*\(", text):
        if match[1] in NO_FUNCTIONS:
            continue
        end = closing(text, match.end() - 1)
        if not re.match(r"\s*(?:const\s*)?\{", text[end + 1:end + 40]):
            continue
        for at, parameter in split_commas(text[match.end():end]):
            kind = re.sub(r"\[\[.*?\]\]", "", parameter, flags=re.S)
            if re.search(r"[*&]", kind) and not re.search(SPACES, kind):
                source.problem(match.end() + at + len(parameter) - len(parameter.lstrip()),
                               f"'{' '.join(kind.split())}': no address space")


def lint_declarations(source, text):
    """Pointers of statements, and casts to pointers, without an address space."""
    types = r"(?:const\s+)?[A-Za-z_]\w*(?:\s+const)?"
    for match in re.finditer(rf"(?<=[;{{}}(])\s*({types})\s*[*&]\s*(?:const\s+)?\w+\s*(?:=[^=]|;)",
                             text):
        if not re.search(SPACES, match[1]) and match[1].split()[0] not in ("return", "typedef"):
            source.problem(match.start(1), f"'{' '.join(match[0].split())}': no address space")
    for match in re.finditer(rf"\(\s*({types})\s*\*+\s*\)", text):
        if not re.search(SPACES, match[1]):
            source.problem(match.start(), f"cast '{match[0]}': no address space")


def lint_globals(source, text):
    """Variables of the program that are not constant, and words that Metal does not have."""
    depth = 0
    for match in re.finditer(r"[{};]|\bnamespace\s+\w+\s*\{", text):
        if match[0] == "{":
            depth += 1
        elif match[0] == "}":
            depth -= 1
        if depth == 0 and match[0] in ";}":
            rest = re.match(r"\s*((?:static\s+|const\s+|constexpr\s+)*[A-Za-z_]\w*\s+\w+\s*"
                            r"(?:\[[^;]*?\])*\s*=)",
                            text[match.end():match.end() + 300])
            if rest and not re.search(r"\bconstant\b|\busing\b", rest[1]):
                source.problem(match.end() + rest.start(1), f"'{rest[1]} ...': a variable of the "
                               "program must be in constant memory")
    for match in re.finditer(NOT_METAL, text):
        source.problem(match.start(), f"'{match[0]}': not in Metal")
    for match in re.finditer(r"\b__builtin_\w+", text):
        source.problem(match.start(), f"'{match[0]}': clang's own")


def lint(source):
    text = without_strings(source.text)
    lint_parameters(source, text)
    lint_declarations(source, text)
    lint_globals(source, text)


# ---- rewriting -----------------------------------------------------------------------------------

def literals(text):
    """Metal's unmarked literals are floats; h is a half."""
    number = (r"(?<![\w.])((?:\d+\.\d*|\.\d+)(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|"
              r"0[xX][\da-fA-F.]+[pP][+-]?\d+)")
    text = re.sub(number + r"[hH]\b", r"((half)\1f)", text)
    text = re.sub(r"(?<![\w.])(\d+)[hH]\b", r"((half)\1)", text)
    return re.sub(number + r"(?![\w.])", r"\1f", text)


def take_constants(source):
    """Function constants: variables that a dispatch sets. Returns [(type, name, index)]."""
    found = []

    def take(match):
        found.append((match[1], match[2], int(match[3])))
        return f"static {match[1]} {match[2]}; static bool {match[2]}_is_defined;"
    source.text = re.sub(r"\bconstant\s+(\w+)\s+(\w+)\s*"
                         r"\[\[\s*function_constant\s*\(\s*(\d+)\s*\)\s*\]\]\s*;",
                         take, source.text)
    source.text = re.sub(r"\bis_function_constant_defined\s*\(\s*(\w+)\s*\)", r"\1_is_defined",
                         source.text)
    for _, name, _ in found:
        for match in re.finditer(rf"\bconstant\s+[^;()]*=[^;]*\b{name}\b", source.text):
            source.problem(match.start(),
                           f"a constant that depends on function constant '{name}' is not "
                           "emulated")
    return found


def take_instantiations(source):
    """template [[host_name("x")]] kernel ... f<a>; Returns [(host name, f<a>)]."""
    found = []

    def take(match):
        host = "".join(re.findall(r'"([^"]*)"', match[1]))
        what = match[2].strip()
        if what.startswith("decltype"):
            what = what[closing(what, what.index("(")) + 1:]
        else:
            what = re.sub(r"^void\s+", "", what)
            depth = 0
            for i, c in enumerate(what):        # the parameters' types, where they are given
                depth += (c == "<") - (c == ">")
                if c == "(" and not depth:
                    what = what[:i]
                    break
        found.append((host, " ".join(what.split())))
        return blank(match[0])
    source.text = re.sub(r"\btemplate\s*\[\[\s*host_name\s*\(([^)]*)\)\s*\]\]\s*"
                         r"(?:\[\[\s*)?kernel\b(?:\s*\]\])?([^;]*);",
                         take, source.text)
    return found


def parameters_of(source, at, text):
    """Of a kernel: ["parameter<attribute, index>"], buffers and threadgroup memory as bits."""
    codes, bits = [], {"buffer": 0, "threadgroup": 0}
    for offset, parameter in split_commas(text):
        where = at + offset + len(parameter) - len(parameter.lstrip())
        match = re.search(r"\[\[\s*(\w+)\s*(?:\(\s*(\w+)\s*\))?\s*\]\]\s*$", parameter)
        if not match:
            source.problem(where,
                           f"'{' '.join(parameter.split())}': a kernel's parameter needs an "
                           f"attribute")
            continue
        name, index = SAME_AS.get(match[1], match[1]), match[2] or "0"
        if name not in ATTRIBUTES:
            source.problem(where, f"[[{name}]]: no attribute that is known here")
        elif name in bits and not (index.isdigit() and int(index) < 31):
            source.problem(where, f"[[{name}({index})]]: an index is a number below 31")
        elif name in bits:
            if bits[name] >> int(index) & 1:
                source.problem(where, f"[[{name}({index})]]: taken twice")
            bits[name] |= 1 << int(index)
        codes.append(f"emu::parameter<emu::at_{name}, {index}>{{}}")
    return codes, bits


def shared_arrays(source, first, end):
    """threadgroup T name[n]; in a kernel's body: taken from the engine."""
    def take(match):
        out = []
        for _, declarator in split_commas(match[3]):
            name, shape = re.match(r"\s*(\w+)\s*((?:\[[^\]]*\]\s*)*)$", declarator).groups()
            out.append(f"auto &{name} = emu::shared<emu_array_{name}>();")
            out[-1] = f"typedef {match[2]} emu_array_{name}{shape}; {out[-1]}"
        return match[1] + " ".join(out) + "\n" * match[0][len(match[1]):].count("\n")
    body = re.sub(r"(?<=[;{}])(\s*)threadgroup\s+([\w:]+(?:\s*<[^;<>]*>)?)\s+(\w+[^;=*&()]*);",
                  take, source.text[first:end])
    return body


def take_kernels(source):
    """Rewrites kernels; returns {name: (is template, codes, buffers, shared, most threads)}."""
    kernels, out, at = {}, [], 0
    pattern = re.compile(r"(template\s*<[^{};]*?>\s*)?(?:\[\[[^\]]*\]\]\s*)*"
                         r"(?:\bkernel\b|\[\[\s*kernel\s*\]\])\s*"
                         r"(?:\[\[[^\]]*\]\]\s*)*void\s+(\w+)\s*\(")
    for match in pattern.finditer(source.text):
        end = closing(source.text, match.end() - 1)
        parameters = source.text[match.end():end]
        codes, bits = parameters_of(source, match.end(), parameters)
        most = re.search(r"\bmax_total_threads_per_threadgroup\s*(\([^\]]*\))\s*\]\]", match[0])
        kernels[match[2]] = (bool(match[1]), codes, bits["buffer"], bits["threadgroup"],
                             most[1] if most else "0")
        body = source.text.index("{", end)
        body_end = closing(source.text, body, "{}")
        head = re.sub(r"\[\[.*?\]\]", lambda m: blank(m[0]), source.text[match.start():end],
                      flags=re.S)
        out += [source.text[at:match.start()], head, source.text[end:body],
                shared_arrays(source, body, body_end + 1)]
        at = body_end + 1
    source.text = "".join(out) + source.text[at:]
    return kernels


# ---- writing -------------------------------------------------------------------------------------

def with_lines(source):
    """The text, each line where it was in the source: #line wherever that is not the next."""
    out, expected = [], None
    for number, line in zip(source.number_at, source.text.split("\n")):
        if not line.strip():
            continue
        if number != expected:
            out.append(f'#line {number} "kernels.metal"')
        out.append(line)
        expected = number + 1
    return "\n".join(out)


def launcher(number, entry, kernels):
    host, call = entry
    _, codes, buffers, shared, most_threads = kernels[re.match(r"\w+", call)[0]]
    codes = "".join(", " + code for code in codes)
    return (f"static void emu_launch_{number}(emu_group *g) "
            f"{{ emu::enter(g); emu::call(g, {call}{codes}); }}\n",
            f'{{ "{host}", emu_launch_{number}, {buffers}u, {shared}u, {most_threads} }},\n')


def part(body, number, entries, kernels, constants):
    """The C++ of one object file."""
    launchers = [launcher(i, entry, kernels) for i, entry in enumerate(entries)]
    names = {index: name for _, name, index in constants}
    out = ["#include <metal_stdlib>\n#include <launch.h>\n"]
    if number == 0:
        out.append("__thread emu_group *emu_now;\nconst emu_engine *emu_do;\n"
                   "#ifdef MSL_FLAT\n#include <checked.h>\n#endif\n")
    out += ["namespace {\n", body, '\n}\n#line 1 "launchers"\nnamespace {\n']
    out += [text for text, _ in launchers]
    out += ["const emu_entry emu_entries[] = {\n", *[row for _, row in launchers], "{} };\n"]
    out.append("EMU_OWN void emu_bind(const emu_engine *engine) { emu_do = engine; }\n")
    out.append("EMU_OWN void emu_set(uint64_t set, const uint32_t *value)\n{\n(void)set; "
               "(void)value;\n")
    for kind, name, index in constants:
        value = {"bool": f"value[{index}] != 0",
                 "float": f"__builtin_bit_cast(float, value[{index}])",
                 }.get(kind, f"({kind})value[{index}]")
        out.append(f"{name}_is_defined = set >> {index} & 1; {name} = {name}_is_defined ? {value} "
                   f": ({kind})0;\n")
    out.append("}\nconst char *const emu_names[32] = {\n")
    out += [f'"{names[i]}",' if i in names else "0," for i in range(32)]
    out.append(f'}};\n}}\nextern "C" __attribute__((visibility("default"))) '
               f'extern const emu_part emu_part_{number};\n'
               f"const emu_part emu_part_{number} = "
               f"{{ emu_entries, emu_bind, emu_set, emu_names }};\n")
    return "".join(out)


def generate(text, n_parts):
    """The C++ of n_parts object files, kernels dealt out in turn."""
    source = preprocess(text)
    lint(source)
    entries = take_instantiations(source)
    constants = take_constants(source)
    kernels = take_kernels(source)
    source.text = literals(source.text)
    for host, call in entries:
        if re.match(r"\w+", call)[0] not in kernels:
            source.problem(0, f'host_name("{host}"): there is no kernel {call}')
    entries += [(name, name) for name, (is_template, *_) in kernels.items() if not is_template]
    for _, name, index in constants:
        if index >= 32:
            source.problem(0, f"function constant {name}: an index is below 32")
    if source.problems:
        raise SourceError("".join(f"kernels.metal:{line}: {what}\n" for line,
                                  what in sorted(set(source.problems))))
    body = with_lines(source)
    return [part(body, i, entries[i::n_parts], kernels, constants) for i in range(n_parts)]
