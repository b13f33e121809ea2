"""What `cmake --install` leaves, and that programs of others are built with it: by pkg-config, by
find_package and by add_subdirectory."""

import platform
import re
import shutil
import subprocess

import pytest
from building import ROOT, run

HELLO = ROOT / "examples/c/hello.c"
TEXT = "Riders in a paceline take turns"
ELF_ONLY = pytest.mark.skipif(not shutil.which("readelf"), reason="no ELF here: Mach-O")


def declared():
    """Functions of the public header."""
    text = re.sub(r"/\*.*?\*/", "", (ROOT / "include/paceline.h").read_text(), flags=re.DOTALL)
    return set(re.findall(r"PL_API\b[^;(]*?\b(pl_\w+)\(", text))


def version():
    return re.search(r'#define PL_VERSION "(.*)"', (ROOT / "include/paceline.h").read_text())[1]


def exported(library, *options):
    lines = run("nm", "--defined-only", *options, library).splitlines()
    return {line.split()[-1] for line in lines if len(line.split()) == 3}


def test_what_is_installed(prefix, libdir):
    found = {p.relative_to(prefix).as_posix() for p in prefix.rglob("*") if not p.is_dir()}
    lib = libdir.relative_to(prefix).as_posix()
    assert {"bin/paceline", "include/paceline.h", f"{lib}/libpaceline.so", f"{lib}/libpaceline.a",
            f"{lib}/libpaceline.so.{version()}", f"{lib}/pkgconfig/paceline.pc",
            f"{lib}/cmake/paceline/paceline-config.cmake", "share/man/man1/paceline.1",
            "share/man/man1/paceline-serve.1"} <= found
    assert run(prefix / "bin/paceline", "--version") == f"paceline {version()}\n"


def test_versions_agree():
    cmake = (ROOT / "CMakeLists.txt").read_text()
    assert re.search(r"project\(paceline VERSION ([\d.]+)", cmake)[1] == version()


@ELF_ONLY
def test_the_public_functions_are_exported_and_nothing_else(libdir):
    """Neither ours of other names nor Rust's, which a program may have again."""
    assert len(declared()) > 40
    shared = exported(libdir / "libpaceline.so", "-D")
    node = {name for name in shared if name.startswith("PACELINE_")}
    assert {name.split("@@")[0] for name in shared - node} == declared()
    assert {name.split("@@")[1] for name in shared - node} == node
    assert exported(libdir / "libpaceline.a", "-g") == declared()


@ELF_ONLY
def test_the_name_that_programs_look_for(libdir):
    major, minor, _ = version().split(".")
    soname = re.search(r"soname: \[(.*)\]", run("readelf", "-d", libdir / "libpaceline.so"))[1]
    assert soname == "libpaceline.so." + (major if major != "0" else f"{major}.{minor}")
    assert (libdir / soname).resolve() == (libdir / f"libpaceline.so.{version()}").resolve()


@pytest.mark.parametrize("static", [[], ["--static"]], ids=["shared", "static"])
def test_a_program_by_pkg_config(static, libdir, environment, tiny, reply, tmp_path):
    flags = run("pkg-config", "--cflags", "--libs", *static, "paceline", env=environment).split()
    if static:
        flags = [f"-l:{libdir}/libpaceline.a" if f == "-lpaceline" else f for f in flags]
        flags = [f.replace("-l:", "") for f in flags]
        environment = {k: v for k, v in environment.items() if k != "LD_LIBRARY_PATH"}
    assert len(HELLO.read_text().splitlines()) <= 22
    run("cc", "-std=c11", "-Wall", "-Wextra", "-Werror", HELLO, "-o", tmp_path / "hello", *flags)
    said = run(tmp_path / "hello", tiny, TEXT, env=environment)
    assert said == reply(TEXT) and said
    done = subprocess.run([tmp_path / "hello", "/nowhere.gguf", TEXT], env=environment,
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "/nowhere.gguf" in done.stderr and not done.stdout


@pytest.mark.skipif(not shutil.which("qemu-x86_64") or platform.machine() != "x86_64",
                    reason="qemu-user shows an older x86-64 on an x86-64")
@pytest.mark.parametrize("cpu, kernels", [("Nehalem", "scalar"), ("Haswell", "scalar, avx2")])
def test_one_program_runs_on_older_machines(cpu, kernels, build_dir, tiny, reply):
    """With SSE4, with AVX2: the same bytes."""
    older = ["qemu-x86_64", "-cpu", cpu, build_dir / "paceline"]
    assert f"kernels    {kernels} on this machine\n" in run(*older, "--version", "--build-info")
    said = run(*older, "run", "--model", tiny, "--raw", "--prompt", TEXT, "-n", 4, "--temp", 1,
               "--top-k", 0, "--top-p", 1, "--min-p", 0, "--seed", 0)
    assert said.removesuffix("\n") == reply(TEXT, 4)


PROJECT = """cmake_minimum_required(VERSION 3.25)
project(other LANGUAGES C)
{find}
add_executable(hello {hello})
target_link_libraries(hello PRIVATE {target})
"""


def build(folder, find, target, *options):
    """The program, built by a project of its own."""
    source = folder / "source"
    source.mkdir()
    (source / "CMakeLists.txt").write_text(PROJECT.format(find=find, target=target, hello=HELLO))
    run("cmake", "-S", source, "-B", folder / "build", "-G", "Ninja", *options)
    run("cmake", "--build", folder / "build", "--target", "hello")
    return folder / "build/hello"


@pytest.mark.parametrize("target", ["paceline::paceline", "paceline::static"])
def test_a_program_by_find_package(target, prefix, tiny, reply, tmp_path):
    wanted = ".".join(version().split(".")[:2])
    hello = build(tmp_path, f"find_package(paceline {wanted} REQUIRED)", target,
                  f"-DCMAKE_PREFIX_PATH={prefix}")
    assert run(hello, tiny, TEXT) == reply(TEXT)


def test_another_version_is_not_found(prefix, tmp_path):
    source = tmp_path / "CMakeLists.txt"
    for wanted, is_found in [("0.2", False), ("1.0", False), (version(), True)]:
        source.write_text("cmake_minimum_required(VERSION 3.25)\nproject(other LANGUAGES C)\n"
                          f"find_package(paceline {wanted} REQUIRED)\n")
        done = subprocess.run(["cmake", "-S", tmp_path, "-B", tmp_path / f"build-{wanted}",
                               f"-DCMAKE_PREFIX_PATH={prefix}"], capture_output=True, timeout=120)
        assert (done.returncode == 0) == is_found, done.stderr


def test_a_program_by_add_subdirectory(tiny, reply, tmp_path):
    """The other project's own settings and targets stay as they are; the server, whose libraries
    it need not have, is not built."""
    hello = build(tmp_path, f"add_subdirectory({ROOT} paceline)", "paceline::paceline",
                  "-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_C_FLAGS_DEBUG=-O0")
    assert run(hello, tiny, TEXT) == reply(TEXT)
    targets = run("cmake", "--build", tmp_path / "build", "--target", "help")
    assert "paceline_shared" in targets and "pl_engine" in targets
    assert "pl_server" not in targets and "test_scheduler" not in targets
