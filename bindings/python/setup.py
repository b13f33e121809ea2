"""Builds the extension and puts the library beside it, so that a wheel needs no other."""

import pathlib
import re
import shutil
import sys

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from build_ffi import library  # noqa: E402
from declarations import header  # noqa: E402


class WithLibrary(build_py):
    def run(self):
        super().run()
        to = pathlib.Path(self.build_lib) / "paceline"
        to.mkdir(parents=True, exist_ok=True)
        shutil.copy(library(), to / library().name)


setup(
    version=re.search(r'#define PL_VERSION "(.*)"', header().read_text())[1],
    cmdclass={"build_py": WithLibrary},
    cffi_modules=["build_ffi.py:ffibuilder"],
    options={"bdist_wheel": {"py_limited_api": "cp39"}},
)
