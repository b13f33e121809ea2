"""The extension paceline._paceline: the C interface as cffi compiles it, against the header."""

import os
import pathlib
import platform
import subprocess
import sys

from cffi import FFI

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from declarations import declarations, header  # noqa: E402

# What the engine's thread calls must not wait, and would wait for Python's lock: it writes a byte
# to a pipe that a loop of asyncio watches. A full pipe says the same.
SOURCE = """
#include <unistd.h>
#include "paceline.h"

static void wake(void *arg)
{
    const char one = 1;
    if (write((int)(intptr_t)arg, &one, 1) < 0) return;
}

static pl_wake_fn *wake_function(void)
{
    return wake;
}
"""


def folder():
    """Where the library is."""
    prefix = os.environ.get("PACELINE_PREFIX")
    if prefix:
        found = sorted(pathlib.Path(prefix).rglob("paceline.pc"))
        if not found:
            raise FileNotFoundError(f"PACELINE_PREFIX={prefix}: there is no paceline.pc below it")
        return found[0].parent.parent
    words = ["pkg-config", "--variable=libdir", "paceline"]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    return pathlib.Path(said.strip())


def library():
    """The file that a program which was linked looks for: libpaceline.so.0.1."""
    pattern = "libpaceline.*.dylib" if platform.system() == "Darwin" else "libpaceline.so.*"
    return min(folder().glob(pattern), key=lambda path: len(path.name))


def beside():
    """How the extension finds what lies beside it."""
    return "-Wl,-rpath,@loader_path" if platform.system() == "Darwin" else "-Wl,-rpath,$ORIGIN"


ffibuilder = FFI()
ffibuilder.cdef(declarations() + "\npl_wake_fn *wake_function(void);")
ffibuilder.set_source("paceline._paceline", SOURCE, include_dirs=[str(header().parent)],
                      libraries=["paceline"], library_dirs=[str(folder())],
                      extra_link_args=[beside()])
