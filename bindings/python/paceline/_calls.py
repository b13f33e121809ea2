"""Calls of the library that may fail, and its structs as Python has them."""

from ._paceline import ffi, lib


class Error(Exception):
    """What went wrong: what was found, what was wanted, what to change. status: the library's name
    of it, "queue_full"; http: the status that a server answers with."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status = ffi.string(lib.pl_status_name(status)).decode()
        self.http = lib.pl_status_http(status)


def check(function, *words):
    err = ffi.new("pl_err *")
    status = function(*words, err)
    if status:
        raise Error(status, ffi.string(err.text).decode(errors="replace"))


def version():
    """Of the library."""
    return ffi.string(lib.pl_version()).decode()


def value_of(value):
    """A member of a struct: texts as str, arrays as lists, structs as dicts."""
    if not isinstance(value, ffi.CData):
        return value
    kind = ffi.typeof(value)
    if kind.kind == "struct":
        return dict_of(value)
    if kind.kind == "array" and kind.item.cname == "char":
        return ffi.string(value).decode(errors="replace")
    if kind.kind == "array":
        return [value_of(item) for item in value]
    if kind.cname == "char *":
        return None if value == ffi.NULL else ffi.string(value).decode(errors="replace")
    raise TypeError(f"{kind.cname} has no form in Python")


def dict_of(struct):
    return {name: value_of(getattr(struct, name)) for name, _ in ffi.typeof(struct).fields}


def fill(struct, values, kept):
    """Sets members by name. Texts become C's, which `kept` holds on to."""
    kind = ffi.typeof(struct)
    names = dict((kind.item if kind.kind == "pointer" else kind).fields)
    for name, value in values.items():
        if name not in names:
            raise TypeError(f"{name} is none of {', '.join(sorted(names))}")
        if isinstance(value, (str, bytes)) or hasattr(value, "__fspath__"):
            value = as_bytes(value, name)
            kept.append(ffi.new("char[]", value))
            value = kept[-1]
        if value is not None:
            setattr(struct, name, value)


def as_bytes(text, what):
    text = text if isinstance(text, (str, bytes)) else text.__fspath__()
    text = text.encode() if isinstance(text, str) else text
    if b"\0" in text:
        raise ValueError(f"{what} holds a zero byte; none may")
    return text
