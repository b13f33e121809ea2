#!/usr/bin/env python3
"""Compiles Metal source to a library for the emulator, and prints where it is.

    build.py run|checked|fast|functions FILE    the library's path; what was refused goes to
                                        standard output, too
    build.py lint FILE                  casts between address spaces, by clang's own account of them
"""

import concurrent.futures
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import gen

FOLDER = pathlib.Path(__file__).resolve().parent
COMMON = ["clang++-19", "-march=x86-64-v3", "-fPIC", "-fvisibility=hidden", "-w",
          "-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics", "-nostdinc++",
          "-fno-math-errno",
          "-Xclang", "-ffloat16-excess-precision=none", "-gline-tables-only", f"-I{FOLDER / 'msl'}"]
FLAGS = {
    "run": ["-O2", "-ffp-contract=off"],
    "fast": ["-O2", "-ffast-math", "-DMSL_FAST"],
    "functions": ["-O2", "-ffp-contract=off", "-DMSL_FAST"],
    # Wider accesses than of 16 bytes are not instrumented, nor are those to other address spaces.
    "checked": ["-O1", "-ffp-contract=off", "-fsanitize=thread", "-fno-vectorize",
                "-fno-slp-vectorize", "-mllvm", "-tsan-instrument-func-entry-exit=0", "-DMSL_FLAT"],
    "lint": ["-O0", "-S", "-emit-llvm"],
}
N_PARTS = 2
KERNELS_FEW = 8         # a source of so few kernels is one part


def standard_of(source):
    """Metal's is C++14 up to 3.1, of which 17 takes everything; tensors have values of classes as
    template arguments."""
    return "-std=c++20" if "<metal_tensor>" in source else "-std=c++17"


def cache_folder():
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "paceline" / "metal-emulated"


def key_of(source, mode):
    """Of all that the library depends on."""
    digest = hashlib.sha256("\0".join(COMMON + FLAGS[mode] + [mode, source]).encode())
    for path in sorted([FOLDER / "gen.py", FOLDER / "abi.h", FOLDER / "build.py",
                        *(FOLDER / "msl").iterdir()]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:32]


def run(command):
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    if done.returncode:
        raise gen.SourceError(done.stdout + done.stderr)
    return done.stdout


def compile_part(folder, number, text, mode, standard):
    path = folder / f"part{number}.cpp"
    path.write_text(text)
    out = folder / f"part{number}.o"
    run([*COMMON, standard, *FLAGS[mode], "-c", "-xc++", str(path), "-o", str(out)])
    return str(out)


def build(source, mode):
    folder = cache_folder()
    library = folder / f"{key_of(source, mode)}.so"
    if library.exists():
        return library
    folder.mkdir(parents=True, exist_ok=True)
    n_parts = N_PARTS if source.count("kernel") > KERNELS_FEW else 1
    texts = gen.generate(source, n_parts)
    work = pathlib.Path(tempfile.mkdtemp(dir=folder))
    try:
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = list(pool.map(lambda i: compile_part(work, i, texts[i], mode,
                                    standard_of(source)), range(n_parts)))
        made = work / "library.so"
        run(["clang++-19", "-shared", "-nostdlib++", "-o", str(made), *objects, "-lm"])
        made.replace(library)       # whole or not there, whoever else builds it
    finally:
        shutil.rmtree(work)
    return library


def lint(source):
    """clang writes a cast between address spaces as an instruction of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        code = (folder / "code.cpp")
        code.write_text(gen.generate(source, 1)[0])
        run([*COMMON, standard_of(source), *FLAGS["lint"], "-xc++", str(code), "-o",
             str(folder / "code.ll")])
        ir = (folder / "code.ll").read_text()
    files = dict(re.findall(r'^!(\d+) = !DIFile\(filename: "([^"]*)"', ir, flags=re.M))
    scopes = {}
    for number, file in re.findall(r"^!(\d+) = (?:distinct "
                                   r")?!DI(?:Subprogram|LexicalBlock\w*)\(.*?file: !(\d+)",
                                   ir, flags=re.M):
        scopes[number] = files.get(file, "")
    lines = {number: (int(line), scope) for number, line, scope in
             re.findall(r"^!(\d+) = !DILocation\(line: (\d+),.*?scope: !(\d+)", ir, flags=re.M)}
    found = set()
    for dbg in re.findall(r"addrspacecast [^\n]*!dbg !(\d+)", ir):
        line, scope = lines.get(dbg, (0, ""))
        if scopes.get(scope, "").endswith("kernels.metal"):
            found.add(line)
    if found:
        raise gen.SourceError("".join(f"kernels.metal:{line}: a cast between address spaces\n"
                                      for line in sorted(found)))


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in FLAGS:
        sys.exit(__doc__)
    source = pathlib.Path(sys.argv[2]).read_text()
    try:
        if sys.argv[1] == "lint":
            lint(source)
        else:
            print(build(source, sys.argv[1]))
    except gen.SourceError as error:
        print(error)
        sys.exit(1)


if __name__ == "__main__":
    main()
