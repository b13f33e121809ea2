#!/usr/bin/env python3
"""Describes the interface of include/paceline.h for programs that were compiled: sizes and offsets
of its structs, values of its enums, functions. What changes between two descriptions tells whether
such a program goes on working with the later library.

    tests/library/abi.py > tests/library/abi-0.1.txt
"""

import pathlib
import sys

from cffi import FFI

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "bindings/python"))

from declarations import declarations, parts_of  # noqa: E402


def describe(text):
    """Lines of the description of a header's declarations, sorted within a kind."""
    ffi = FFI()
    ffi.cdef(text)
    structs, enums, functions = parts_of(text)
    for name in sorted(structs):
        kind = ffi.typeof(name)
        yield f"struct {name} {ffi.sizeof(name)} bytes, aligned to {ffi.alignof(name)}"
        for field, at in kind.fields:
            yield f"  {name}.{field} at {at.offset}: {at.type.cname}"
    for name in sorted(enums):
        for value, word in sorted(ffi.typeof(name).elements.items()):
            yield f"enum {name} {word} {value}"
    for name, result, parameters in sorted(functions):
        kind = ffi.typeof(f"{result} (*)({parameters})")
        words = ", ".join(a.cname for a in kind.args) or "void"
        yield f"function {kind.result.cname} {name}({words})"


def broken(old, new):
    """What programs that were compiled against the old interface would miss, of two descriptions: a
    line that is gone. A struct that grew has another size: callers have the memory."""
    return [line for line in old if line not in set(new)]


if __name__ == "__main__":
    print("\n".join(describe(declarations())))
