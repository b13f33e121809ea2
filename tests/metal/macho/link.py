#!/usr/bin/env python3
"""Compiles what the macOS workflow compiles, and links the program, for arm64 macOS 14 on Linux,
with zig as the compiler, so that what would not build on a Mac is found where there is none.

    tests/metal/macho/link.py BUILD      # a built tree of this machine, for generated sources

Real: our sources, libSystem's headers and symbols (zig brings them), Metal's declarations
(generated from the objc2-metal crate), and of CMake its warnings, which are errors, and its list
of frameworks. Stubs: a library for each framework, of what include/ declares of it, so that one
that is missing in the list leaves symbols undefined; the libraries that a Mac has from Homebrew, of
which Debian's headers are taken, and as symbols those that Debian's libraries export; the Rust
shim, of which its C symbols are. The program is linked; tests and measuring programs are compiled
alone.
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
CMAKE = [ROOT / "CMakeLists.txt", *sorted((ROOT / "cmake").glob("*.cmake"))]
TARGET = ["-target", "aarch64-macos.14.0"]
ZIG = [sys.executable, "-m", "ziglang", "cc", *TARGET]
FLAGS = ["-std=gnu11", "-D_GNU_SOURCE", "-DPACELINE_HAS_METAL", "-DPACELINE_HAS_SME",
         "-O1", "-Werror"]
BY_SUFFIX = {"_i8mm.c": ["-mcpu=apple_m2"], ".m": ["-fno-objc-arc"],
             "_sme.c": ["-mcpu=apple_m2+sme", "-fno-builtin"]}
# Of the kernels in streaming mode, as they are optimised: on both systems
SME_TARGETS = {"macOS": [*TARGET, "-mcpu=apple_m2+sme"],
               "Linux": ["-target", "aarch64-linux-gnu", "-mcpu=neoverse_n1+i8mm+sme"]}
# What must not be in them: SVE outside of streaming mode, which Apple's cores do not have, and the
# run-time library of compilers that switch by themselves
NOT_IN_SME = re.compile(r"\b(cnt[bhwd]|rdvl|rdsvl|smstart|smstop|__arm_\w+)\b|\bbl\s+_?mem\w+")
HEADERS = ("histedit.h curl jansson.h jansson_config.h microhttpd.h gnutls ncursesw ncurses.h "
           "curses.h term.h unctrl.h ncurses_dll.h pcre2.h xxhash.h cmocka.h").split()
LIBRARIES = "curl edit jansson microhttpd gnutls pcre2-8 ncursesw tinfo".split()
OTHER_MACHINES = ("_avx2.c", "_avxvnni.c", "_avx512.c", "_amx.c")
LINUX_ONLY = ("tests/metal/mock", "tests/metal/emulator", "tests/fuzz")
# of libobjc, and the class of constant strings: Foundation hands both on
OBJC_RUNTIME = ("objc_msgSend objc_alloc objc_alloc_init objc_opt_class "
                "objc_opt_respondsToSelector objc_autoreleasePoolPush objc_autoreleasePoolPop "
                "objc_retain objc_release objc_autorelease __CFConstantStringClassReference "
                "_objc_empty_cache").split()
METAL_FUNCTIONS = ["MTLCreateSystemDefaultDevice", "MTLCopyAllDevices"]
# Of which nothing is called, and which must be linked all the same: Apple's page of
# MTLCreateSystemDefaultDevice
BESIDE_METAL = "CoreGraphics"


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


def cmake_text():
    return "\n".join(path.read_text() for path in CMAKE)


def warnings():
    """As CMake gives them to every file."""
    return re.search(r"\nadd_compile_options\((-Wall[^)]*)\)", cmake_text())[1].split()


def frameworks():
    """That CMake links, in order."""
    return list(dict.fromkeys(re.findall(r'"-framework (\w+)"', cmake_text())))


def sources(build):
    ours = [p for p in (ROOT / "src").rglob("*") if p.suffix in (".c", ".m")
            and not p.name.endswith(OTHER_MACHINES)]
    return sorted(ours) + [*build.glob("embedded/*.c"), *build.glob("macho/metal_*source.c")]


def looked_at():
    """Tests and measuring programs that a Mac builds."""
    return [p for folder in ("tests", "bench") for p in sorted((ROOT / folder).rglob("*.c"))
            if not str(p.relative_to(ROOT)).startswith(LINUX_ONLY)]


def compile_all(build, out, sdk):
    include = ["-I", ROOT / "src", "-I", ROOT / "include", "-I", ROOT / "tests", "-isystem",
               HERE / "include", "-isystem", sdk, "-isystem", library_headers(out)]
    flags = [*FLAGS, *warnings(), *include]

    def one(source):
        extra = [f for end, fs in BY_SUFFIX.items() if source.name.endswith(end) for f in fs]
        to = out / ("_".join(source.parts[-3:]) + ".o")
        run([*ZIG, *flags, *extra, "-c", source, "-o", to])
        return to

    (out / "looked_at").mkdir()

    def look(source):
        run([*ZIG, *flags, "-c", source, "-o", out / "looked_at" / f"{source.stem}.o"])
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(one, sources(build)))
        return objects, len(list(pool.map(look, looked_at())))


def assemble_sme(out):
    """How many outer products the kernels in streaming mode have on each system."""
    found = {}
    for system, target in SME_TARGETS.items():
        for source in sorted((ROOT / "src/backend/cpu/kernels/arm").glob("*_sme.c")):
            command = [sys.executable, "-m", "ziglang", "cc", *target, "-std=gnu11", "-O2",
                       "-g0", "-fno-builtin", *warnings(),
                       "-Wno-unused-command-line-argument", "-I",
                       ROOT / "src", "-I", ROOT / "include"]
            run([*command, "-c", source, "-o", out / f"{source.stem}_{system}.o"])
            done = subprocess.run([*map(str, command), "-S", str(source), "-o",
                                   str(out / "sme.s")], capture_output=True, text=True)
            if done.returncode:
                sys.exit(done.stderr)
            text = (out / "sme.s").read_text(errors="replace")
            if wrong := NOT_IN_SME.search(text):
                sys.exit(f"{source.name} for {system} has {wrong[0]}")
            found[source.name, system] = len(re.findall(r"\bu?smopa\b", text))
            if not found[source.name, system] and source.name != "enter_sme.c":
                sys.exit(f"{source.name} for {system} has no outer product")
    return sum(found.values())


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


def declared(*headers):
    """Functions and constants."""
    text = "\n".join(p.read_text() for p in headers)
    text = re.sub(r"^#.*$", "", text, flags=re.M)
    return sorted(set(re.findall(r"\b(\w+)\([^;{)]*\)?[^;{]*;", text)) |
                  set(re.findall(r"extern const \w+ (\w+);", text)))


def classes(header):
    return sorted(set(re.findall(r"@interface (\w+)", header.read_text())))


def framework_stubs(out, sdk):
    """A library for each that CMake links; other names than these have none."""
    include = HERE / "include"
    foundation = include / "Foundation/Foundation.h"
    known = {
        "Metal": (METAL_FUNCTIONS, classes(sdk / "Metal/Metal.h")),
        "Foundation": (OBJC_RUNTIME, classes(foundation)),
        "CoreFoundation": (declared(*(include / "CoreFoundation").glob("*.h")), ()),
        "IOKit": (declared(*(include / "IOKit").rglob("*.h")), ()),
        "CoreGraphics": ((), ()),
    }
    unknown = [name for name in frameworks() if name not in known]
    if unknown:
        sys.exit(f"no stub is known of {unknown}: add what is used of it to framework_stubs")
    if BESIDE_METAL not in frameworks():
        sys.exit(f"CMake links no {BESIDE_METAL}: without it a program of the command line may "
                 "get no default device of Metal")
    return {name: stub(out, name, *known[name]) for name in frameworks()}


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


def links_without(name, objects, stubs, others, out):
    rest = [path for other, path in stubs.items() if other != name]
    command = [*ZIG, *objects, *others, *rest, "-o", out / "unlinked"]
    done = subprocess.run([str(c) for c in command], capture_output=True, check=False)
    return done.returncode == 0


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
        metal = [ROOT / "src/backend/metal" / part for part in parts.split()]
        run(["cmake", f"-DIN={';'.join(map(str, metal))}", f"-DOUT={out / name}.c",
             f"-DNAME={name}", "-DTEXT=ON", "-P", ROOT / "cmake/embed.cmake"])
    objects, n_looked_at = compile_all(build, out, sdk)
    others = [stub(out, name, exported(name)) for name in LIBRARIES]
    others.append(stub(out, "paceline_text", shim_symbols()))
    others.append(stub(out, "notify", declared(HERE / "include/notify.h")))     # of libSystem
    stubs = framework_stubs(out, sdk)
    program = out / "paceline"
    run([*ZIG, *objects, *others, *stubs.values(), "-o", program])
    for name in stubs:
        if name != BESIDE_METAL and links_without(name, objects, stubs, others, out):
            sys.exit(f"the program links without {name}: CMake need not link it, or its stub is "
                     "in another's")
    print(f"{program}: {len(objects)} objects,", run(["file", "-b", program]).strip())
    print(f"{assemble_sme(out)} outer products in the kernels of SME, for {', '.join(SME_TARGETS)}")
    print(f"{n_looked_at} files of tests and bench compile; frameworks: {', '.join(stubs)}")


if __name__ == "__main__":
    main()
