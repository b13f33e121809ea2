"""include/paceline.h as cffi reads it: declarations without the preprocessor, attributes and
system headers. The package is built of them, and tests/library/test_abi.py describes them."""

import pathlib
import re
import subprocess
import tempfile

#: in a tree, and in a source package, which has a copy
PLACES = ("../../include/paceline.h", "paceline.h")


def header():
    here = pathlib.Path(__file__).resolve().parent
    for place in PLACES:
        if (here / place).is_file():
            return (here / place).resolve()
    raise FileNotFoundError(f"paceline.h is neither of {', '.join(PLACES)} beside {here}")


def declarations(compiler="cc"):
    """What the header declares once macros are expanded."""
    text = re.sub(r"^#include.*$", "", header().read_text(), flags=re.MULTILINE)
    with tempfile.NamedTemporaryFile("w", suffix=".h") as alone:
        alone.write(text)
        alone.flush()
        text = subprocess.run([compiler, "-E", "-P", alone.name], check=True, capture_output=True,
                              text=True).stdout
    return re.sub(r"__attribute__\s*\(\(.*?\)\)\)?", "", text)


def parts_of(text):
    """Of what is declared, in order: names of structs with members, names of enums, and functions
    as (name, result, parameters)."""
    structs = re.findall(r"^typedef struct (\w+) \{", text, re.MULTILINE)
    enums = re.findall(r"^typedef enum (\w+) \{", text, re.MULTILINE)
    flat = " ".join(text.split())
    functions = re.findall(r"(?:^|[;}] )(?!typedef)([\w ]+?[ *]+)(pl_\w+)\(([^()]*)\)(?=;)", flat)
    return structs, enums, [(name, result.strip(), args) for result, name, args in functions]
