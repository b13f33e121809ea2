#!/usr/bin/env python3
"""Writes src/sys.rs, the C interface as Rust sees it, from include/paceline.h; each struct's size
is asserted in it.

    bindings/rust/make_sys.py > bindings/rust/src/sys.rs
"""

import pathlib
import sys

from cffi import FFI
from pycparser import CParser, c_ast

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "python"))

from declarations import declarations, parts_of  # noqa: E402

RUST = {"int8_t": "i8", "uint8_t": "u8", "int32_t": "i32", "uint32_t": "u32", "int64_t": "i64",
        "uint64_t": "u64", "size_t": "usize", "bool": "bool", "float": "f32", "double": "f64",
        "int": "c_int", "unsigned": "c_uint", "char": "c_char", "void": "c_void"}
MAX_COLUMNS = 100
WORDS = {"type", "match", "ref", "box", "in", "fn"}      # of Rust; those that C may have
HEAD = """//! The C interface: include/paceline.h, whose comments say what all of this means.
//! Written by make_sys.py.
#![allow(non_camel_case_types)]

use std::ffi::{c_char, c_int, c_uint, c_void};
"""


def value_of(node, known):
    """Of an enum's or an array's constant expression."""
    if isinstance(node, c_ast.Constant):
        return int(node.value, 0)
    if isinstance(node, c_ast.ID):
        return known[node.name]
    if isinstance(node, c_ast.BinaryOp) and node.op == "+":
        return value_of(node.left, known) + value_of(node.right, known)
    raise ValueError(f"{node.coord}: a constant of another kind than this knows")


def name_of(word):
    return f"r#{word}" if word in WORDS else word


def type_of(node, known, is_parameter=False):
    if isinstance(node, c_ast.TypeDecl):
        name = " ".join(node.type.names) if isinstance(node.type, c_ast.IdentifierType) \
            else node.type.name
        return RUST.get(name, name)
    if isinstance(node, c_ast.ArrayDecl) and not is_parameter:
        return f"[{type_of(node.type, known)}; {value_of(node.dim, known)}]"
    if isinstance(node, (c_ast.PtrDecl, c_ast.ArrayDecl)):
        inner, what = node.type, type_of(node.type, known)
        if what in known["functions"]:
            return f"Option<{what}>"
        return f"*{'const' if 'const' in inner.quals else 'mut'} {what}"
    raise ValueError(f"{node.coord}: a type of another kind than this knows")


def signature(head, node, known, indent=""):
    """A function's, as rustfmt breaks it."""
    words = []
    for p in node.args.params if node.args else []:
        kind = type_of(p.type, known, is_parameter=True)
        if kind != "c_void":
            words.append(f"{name_of(p.name or 'arg')}: {kind}")
    kind = type_of(node.type, known)
    result = "" if kind == "c_void" else f" -> {kind}"
    line = f"{indent}{head}({', '.join(words)}){result};"
    if len(line) <= MAX_COLUMNS:
        return line
    first, _, rest = line.partition(" = ")
    if rest and len(rest) + 4 <= MAX_COLUMNS:
        return f"{first} =\n    {rest}"
    return "\n".join([f"{indent}{head}(", *(f"{indent}    {w}," for w in words),
                      f"{indent}){result};"])


def enum_lines(name, node, known):
    value = 0
    if name:
        yield f"pub type {name} = c_uint;"
    for item in node.values.enumerators:
        value = value_of(item.value, known) if item.value else value
        known[item.name] = value
        kind = name or "usize"
        yield f"pub const {item.name}: {kind} = {value};"
        value += 1


def struct_lines(name, node, known):
    yield "#[repr(C)]"
    if node.decls is None:
        yield f"pub struct {name} {{\n    _opaque: [u8; 0],\n}}"
        return
    yield f"#[derive(Clone, Copy, Debug)]\npub struct {name} {{"
    for field in node.decls:
        yield f"    pub {name_of(field.name)}: {type_of(field.type, known)},"
    yield "}"


def lines(text):
    ffi = FFI()
    ffi.cdef(text)
    known, blocks, functions = {"functions": set()}, [], []
    types = "".join(f"typedef int {name};\n" for name in RUST if name.endswith("_t"))
    for node in CParser().parse(types + "typedef int bool;\n" + text).ext:
        inner = node.type.type if isinstance(node, c_ast.Typedef) and \
            isinstance(node.type, c_ast.TypeDecl) else node.type
        if isinstance(inner, c_ast.Enum):
            blocks.append(list(enum_lines(node.name, inner, known)))
        elif isinstance(inner, c_ast.Struct):
            blocks.append(list(struct_lines(node.name, inner, known)))
        elif isinstance(inner, c_ast.FuncDecl) and isinstance(node, c_ast.Typedef):
            known["functions"].add(node.name)
            head = f'pub type {node.name} = unsafe extern "C" fn'
            blocks.append([signature(head, inner, known)])
        elif isinstance(inner, c_ast.FuncDecl):
            functions.append(signature(f"pub fn {node.name}", inner, known, "    "))
    yield HEAD
    yield "\n\n".join("\n".join(block) for block in blocks)
    yield "\nextern \"C\" {\n" + "\n".join(functions) + "\n}\n"
    yield "#[cfg(target_pointer_width = \"64\")]\nconst _: () = {"
    for name in parts_of(text)[0]:
        yield f"    assert!(size_of::<{name}>() == {ffi.sizeof(name)});"
    yield "};"


if __name__ == "__main__":
    print("\n".join(lines(declarations())))
