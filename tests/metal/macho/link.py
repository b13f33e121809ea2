#!/usr/bin/env python3
"""Compiles and links the whole program for arm64 macOS 14 on Linux, with zig as the compiler, so
that what would not build on a Mac is found where there is none.

    tests/metal/macho/link.py BUILD      # a built tree of this machine, for generated sources

Real: our sources, libSystem's headers and symbols (zig brings them), Metal's declarations
(generated from the objc2-metal crate). Stubs: Foundation, CoreFoundation, IOKit and notify as
declared in include/; the libraries that a Mac has from Homebrew, of which Debian's headers are
taken, and as symbols those that Debian's libraries export; the Rust shim, of which its C symbols
are. A symbol of our own that is missing still fails the link, and so does any warning.
"""
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
TARGET = ["-target", "aarch64-macos.14.0"]
ZIG = [sys.executable, "-m", "ziglang", "cc", *TARGET]
FLAGS = ["-std=gnu11", "-D_GNU_SOURCE", "-DPACELINE_HAS_METAL", "-O1", "-Wall", "-Wextra",
         "-Wshadow",
         "-Wstrict-prototypes", "-Wvla", "-Werror", "-ffp-contract=off", "-fno-math-errno"]
BY_SUFFIX = {"_i8mm.c": ["-mcpu=apple_m2"], ".m": ["-fno-objc-arc"]}
HEADERS = ("histedit.h curl jansson.h jansson_config.h microhttpd.h gnutls ncursesw ncurses.h "
           "curses.h term.h unctrl.h ncurses_dll.h pcre2.h xxhash.h").split()
LIBRARIES = "curl edit jansson microhttpd gnutls pcre2-8 ncursesw tinfo".split()
OTHER_MACHINES = ("_avx2.c", "_avxvnni.c", "_avx512.c")
OBJC_RUNTIME = ("objc_msgSend objc_alloc objc_alloc_init objc_opt_class "
                "objc_opt_respondsToSelector objc_autoreleasePoolPush objc_autoreleasePoolPop "
                "objc_retain objc_release __CFConstantStringClassReference "
                "_objc_empty_cache").split()


def run(command, **options):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)
    if done.returncode or done.stderr.strip():
        sys.exit(f"{' '.join(map(str, command[:6]))} ... {command[-1]}\n{done.stdout}{done.stderr}")
    return done.stdout


def library_headers(out):
    for name in HEADERS:
        for folder in ("/usr/include", "/usr/include/x86_64-linux-gnu"):
            source = pathlib.Path(folder) / name
            if source.exists() and not (out / name).exists():
                (out / name).symlink_to(source)
    return out


def sources(build):
    ours = [p for p in (ROOT / "src").rglob("*") if p.suffix in (".c", ".m")
            and not p.name.endswith(OTHER_MACHINES)]
    return sorted(ours) + [build / "page/report_js.c", build / "page/report_css.c",
                           *build.glob("macho/metal_*source.c")]


def compile_all(build, out, sdk):
    include = ["-I", ROOT / "src", "-I", ROOT / "include", "-isystem", HERE / "include", "-isystem",
               sdk, "-isystem", library_headers(out)]

    def one(source):
        extra = [f for end, flags in BY_SUFFIX.items() if source.name.endswith(end) for f in flags]
        to = out / ("_".join(source.parts[-3:]) + ".o")
        run([*ZIG, *FLAGS, *extra, *include, "-c", source, "-o", to])
        return to
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(one, sources(build)))


def exported(library):
    folder = pathlib.Path("/usr/lib") / run(["gcc", "-print-multiarch"]).strip()
    # the name without a number may be a linker script
    path = min(folder.glob(f"lib{library}.so.*"))
    listed = run(["nm", "-D", "--defined-only", path])
    return re.findall(r" [TDBRWVi] (\w+)(?:@+\S*)?$", listed, re.M)


def shim_symbols():
    header = "\n".join(p.read_text() for p in sorted((ROOT / "src/text").glob("*.[ch]")))
    archive = ROOT / "rust/target/release/libpaceline_text.a"
    listed = subprocess.run(["nm", "--defined-only", archive], capture_output=True,
                            text=True).stdout
    return sorted({s for s in re.findall(r" T (\w+)$", listed, re.M)
                   if re.search(rf"\b{s}\b", header)})


def declared():
    text = "\n".join(p.read_text() for p in (HERE / "include").rglob("*.h"))
    text = re.sub(r"^#.*$", "", text, flags=re.M)
    return sorted(set(re.findall(r"\b(\w+)\([^;{)]*\)?[^;{]*;", text)) |
                  set(re.findall(r"extern const \w+ (\w+);", text)))


def classes(sdk):
    headers = HERE / "include/Foundation/Foundation.h", sdk / "Metal/Metal.h"
    text = "".join(header.read_text() for header in headers)
    return sorted(set(re.findall(r"@interface (\w+)", text)))


def stub(out, name, symbols, objc_classes=()):
    path = out / f"lib{name}.tbd"
    listed = ", ".join(f"'_{s}'" for s in sorted(set(symbols)))
    kinds = f"    symbols: [ {listed} ]\n"
    if objc_classes:
        kinds += f"    objc-classes: [ {', '.join(objc_classes)} ]\n"
    path.write_text("--- !tapi-tbd\ntbd-version: 4\ntargets: [ arm64-macos ]\n"
                    f"install-name: '/usr/lib/lib{name}.dylib'\ncurrent-version: 1\n"
                    "compatibility-version: 1\nexports:\n"
                    f"  - targets: [ arm64-macos ]\n{kinds}...\n")
    return path


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    build = pathlib.Path(sys.argv[1]).resolve()
    out, sdk = build / "macho", build / "macho/sdk"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    subprocess.run([HERE.parent / "mock/make_sdk.py", sdk], check=True)
    lists = re.findall(r"^kernels\((\w+) ([^)]*)\)", (ROOT / "cmake/metal.cmake").read_text(), re.M)
    for name, parts in lists:
        metal = [ROOT / "src/backend/metal/op_args.h",
                 *(ROOT / f"src/backend/metal/{part}.metal" for part in parts.split())]
        run(["cmake", f"-DIN={';'.join(map(str, metal))}", f"-DOUT={out / name}.c",
             f"-DNAME={name}", "-DTEXT=ON", "-P", ROOT / "cmake/embed.cmake"])
    objects = compile_all(build, out, sdk)
    stubs = [stub(out, name, exported(name)) for name in LIBRARIES]
    stubs.append(stub(out, "paceline_text", shim_symbols()))
    stubs.append(stub(out, "frameworks",
                      [*declared(), *OBJC_RUNTIME, "MTLCreateSystemDefaultDevice"], classes(sdk)))
    program = out / "paceline"
    run([*ZIG, *objects, *stubs, "-o", program])
    print(f"{program}: {len(objects)} objects,", run(["file", "-b", program]).strip())


if __name__ == "__main__":
    main()
