#!/usr/bin/env python3
"""Holds the emulator against Apple's own compiler: two kernels of MLX, as Apple compiled them (AIR,
LLVM bitcode), run on the emulator's engine, and their results against plain sums.

    tests/metal/apple_air.py [FOLDER]

FOLDER: where the wheel lies or is put; ~/.cache/paceline/mlx where none is named.

Downloads 43 MiB with pip where the wheel is missing. Not a part of the test suite: run it after
changes to the engine's simd functions or matrices. Needs clang-19, llvm-19 and gcc.
"""

import ctypes
import pathlib
import random
import re
import struct
import subprocess
import sys
import tempfile
import zipfile

EMULATOR = pathlib.Path(__file__).resolve().parent / "emulator"
WHEEL = "mlx-metal==0.32.4"
RMS = "rmsfloat32"
QMM = "affine_qmm_t_float_gs_64_b_4_alN_true_batch_0"

# What AIR calls and LLVM does not know. A matrix travels as 64 floats of which a lane fills two.
BODIES = {
    "air.simdgroup_matrix_8x8_multiply_accumulate.v64f32.v64f32.v64f32.v64f32": """
define internal <64 x float> @NAME(<64 x float> %a, <64 x float> %b, <64 x float> %c) {
  %v = alloca [8 x float]
""" + "".join(f"""  %{m}{i} = extractelement <64 x float> %{m}, i64 {i}
  %p{m}{i} = getelementptr float, ptr %v, i64 {2 * "abc".index(m) + i}
  store float %{m}{i}, ptr %p{m}{i}
""" for m in "abc" for i in (0, 1)) + """  call void @air_multiply(ptr %v)
  %d0p = getelementptr float, ptr %v, i64 6
  %d1p = getelementptr float, ptr %v, i64 7
  %d0 = load float, ptr %d0p
  %d1 = load float, ptr %d1p
  %r0 = insertelement <64 x float> undef, float %d0, i64 0
  %r1 = insertelement <64 x float> %r0, float %d1, i64 1
  ret <64 x float> %r1
}
declare void @air_multiply(ptr)
""",
    "air.convert.f.f32.s.i32": "define internal float @NAME(i32 %x) {\n%r = sitofp i32 %x to "
                               "float\nret float %r\n}\n",
    "air.convert.f.f32.u.i32": "define internal float @NAME(i32 %x) {\n%r = uitofp i32 %x to "
                               "float\nret float %r\n}\n",
    "air.min.s.i32": "define internal i32 @NAME(i32 %x, i32 %y) {\n%c = icmp slt i32 %x, %y\n"
                     "%r = select i1 %c, i32 %x, i32 %y\nret i32 %r\n}\n",
}

# The rest, and what the engine wants of a library.
GLUE = """
#include <metal_stdlib>
#include <launch.h>
__thread emu_group *emu_now;
const emu_engine *emu_do;
extern "C" {
void air_multiply(float *v)
{
    const float2 d = emu::multiply(float2(v[0], v[1]), float2(v[2], v[3]), float2(v[4], v[5]));
    v[6] = d.x;
    v[7] = d.y;
}
float air_simd_sum(float x) __asm__("air.simd_sum.f32");
float air_simd_sum(float x) { return metal::simd_sum(x); }
float air_rsqrt(float x) __asm__("air.rsqrt.f32");
float air_rsqrt(float x) { return metal::rsqrt(x); }
void air_barrier(int flags, int) __asm__("air.wg.barrier");
void air_barrier(int flags, int) { emu::barrier(flags & 3); }
void air_simd_barrier(int flags, int) __asm__("air.simdgroup.barrier");
void air_simd_barrier(int flags, int) { emu::simd_barrier(flags & 3); }
void KERNEL(TYPES);
}
static void launch(emu_group *g) { emu::enter(g); emu::call(g, KERNEL CODES); }
static const emu_entry entries[] = { { "KERNEL", launch, 0, 0, 0 }, {} };
static void bind(const emu_engine *engine) { emu_do = engine; }
static void set(uint64_t, const uint32_t *) {}
extern "C" __attribute__((visibility("default"))) extern const emu_part emu_part_0;
const emu_part emu_part_0 = { entries, bind, set, nullptr };
"""


def metallib(folder):
    path = folder / "mlx/lib/mlx.metallib"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        if not list(folder.glob("mlx_metal*.whl")):
            subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps",
                            "--only-binary=:all:",
                            "--platform", "macosx_14_0_arm64", "--python-version", "3.12", "-d",
                           folder, WHEEL], check=True)
        with zipfile.ZipFile(next(folder.glob("mlx_metal*.whl"))) as wheel:
            wheel.extract("mlx/lib/mlx.metallib", folder)
    return path.read_bytes()


def air_of(library, name, work):
    """The function's text. Its entry in the list has its place; there, a wrapper has the
    bitcode's."""
    coded = name.encode() + b"\0"
    entry = library.index(b"NAME" + struct.pack("<H", len(coded)) + coded)
    place = library.index(b"OFFT", entry)
    offset = struct.unpack_from("<HQQQ", library, place + 4)[3]
    at = struct.unpack_from("<Q", library, 0x48)[0] + offset
    magic, _, first, size = struct.unpack_from("<IIII", library, at)
    assert magic == 0x0B17C0DE, "no bitcode wrapper"
    (work / "k.bc").write_bytes(library[at + first:at + first + size])
    subprocess.run(["llvm-dis-19", work / "k.bc", "-o", work / "k.ll"], check=True)
    return (work / "k.ll").read_text()


def lower(air):
    """To what clang takes for x86: names, attributes and layouts of Apple's out, bodies in."""
    air = re.sub(r"^target .*$", "", air, flags=re.M)
    air = re.sub(r' "air-[^"]*"', "", air)
    # not internal: the compiler must not think that nobody else writes them at a barrier
    air = re.sub(r"= internal unnamed_addr addrspace\(3\) global (.*) undef,",
                 r"= hidden addrspace(3) global \1 zeroinitializer,", air)
    for name, body in BODIES.items():
        quoted = re.escape(name)
        air, n = re.subn(rf"^declare [^\n]*@{quoted}\([^\n]*$", "", air, flags=re.M)
        air += body.replace("NAME", name) if n else ""
    return air


def glue_for(name, air):
    types, codes = [], []
    parameter = r'^!\d+ = !\{i32 \d+, !"air\.(\w+)"(.*"air\.arg_name".*)$'
    for attribute, rest in re.findall(parameter, air[air.index("!air.kernel"):], flags=re.M):
        if attribute == "buffer":
            index = re.search(r'"air\.location_index", i32 (\d+)', rest)[1]
            types.append("void *")
        else:
            index = 0
            types.append(re.search(r'"air\.arg_type_name", !"(\w+)"', rest)[1])
        codes.append(f", emu::parameter<emu::at_{attribute}, {index}>{{}}")
    return (GLUE.replace("TYPES", ", ".join(types)).replace("CODES",
                                                            "".join(codes)).replace("KERNEL", name))


def compile_air(library, name, work):
    air = air_of(library, name, work)
    (work / "k.ll").write_text(lower(air))
    (work / "glue.cpp").write_text(glue_for(name, air))
    flags = ["-O2", "-march=x86-64-v3", "-fPIC"]
    subprocess.run(["clang++-19", *flags, "-Wno-override-module", "-c", "-x", "ir", work / "k.ll",
                    "-o", work / "k.o"], check=True)
    subprocess.run(["clang++-19", *flags, "-std=c++17", "-w", "-ffp-contract=off",
                    f"-I{EMULATOR / 'msl'}", "-c",
                    work / "glue.cpp", "-o", work / "glue.o"], check=True)
    out = work / f"{name}.so"
    subprocess.run(["clang++-19", "-shared", "-nostdlib++", work / "k.o", work / "glue.o", "-lm",
                   "-o", out], check=True)
    return out


class Dispatch(ctypes.Structure):
    """struct emu_dispatch"""
    class Buffer(ctypes.Structure):
        _fields_ = [("at", ctypes.c_void_p), ("n_bytes", ctypes.c_uint64)]
    _fields_ = [("kernel", ctypes.c_void_p), ("buffer", Buffer * 31),
                ("shared_bytes", ctypes.c_uint32 * 31),
                ("constants_set", ctypes.c_uint64), ("constant", ctypes.c_uint32 * 32),
                ("n_groups", ctypes.c_uint32 * 3), ("n_threads", ctypes.c_uint32 * 3)]


def engine_of(work):
    sources = [p for p in EMULATOR.glob("*.c") if not p.name.startswith("test_")]
    out = work / "engine.so"
    subprocess.run(["gcc", "-std=gnu11", "-O2", "-fPIC", "-shared", "-D_GNU_SOURCE",
                    f'-DEMULATOR_FOLDER="{EMULATOR}"', *sources, "-o", out,
                    "-lpthread", "-ldl"], check=True)
    engine = ctypes.CDLL(str(out))
    for name in ("emu_library_open", "emu_kernel_find"):
        getattr(engine, name).restype = ctypes.c_void_p
    return engine


def run(engine, path, name, buffers, n_groups, n_threads):
    log, text = ctypes.c_char_p(), ctypes.create_string_buffer(1024)
    library = engine.emu_library_open(str(path).encode(), 0, ctypes.byref(log))
    assert library, log.value
    d = Dispatch(kernel=engine.emu_kernel_find(ctypes.c_void_p(library), name.encode()))
    for i, buffer in buffers.items():
        d.buffer[i] = Dispatch.Buffer(ctypes.addressof(buffer), ctypes.sizeof(buffer))
    d.n_groups[:], d.n_threads[:] = n_groups, n_threads
    if not engine.emu_run(ctypes.byref(d), text, len(text)):
        sys.exit(text.value.decode())


def floats(values):
    values = list(values)
    return (ctypes.c_float * len(values))(*values)


def check_rms(engine, path, chance):
    rows, n = 3, 576
    x = floats(chance.uniform(-1, 1) for _ in range(rows * n))
    w = floats(chance.uniform(-1, 1) for _ in range(n))
    out = floats([0] * (rows * n))
    run(engine, path, RMS,
        {0: x, 1: w, 2: out, 3: floats([1e-5]), 4: ctypes.c_uint32(n), 5: ctypes.c_uint32(1)},
        (rows, 1, 1), (160, 1, 1))
    worst = 0
    for r in range(rows):
        scale = (sum(v * v for v in x[r * n:(r + 1) * n]) / n + 1e-5) ** -0.5
        worst = max(worst, *(abs(out[r * n + i] - x[r * n + i] * scale * w[i]) for i in range(n)))
    return worst, 1


def check_qmm(engine, path, chance):
    m, n, k = 13, 64, 128
    w = (ctypes.c_uint32 * (n * k // 8))(*(chance.getrandbits(32) for _ in range(n * k // 8)))
    scales = floats(chance.uniform(-1, 1) for _ in range(n * k // 64))
    biases = floats(chance.uniform(-1, 1) for _ in range(n * k // 64))
    x, y = floats(chance.uniform(-1, 1) for _ in range(m * k)), floats([0] * (m * n))
    sizes = {i: ctypes.c_int32(v) for i, v in ((5, k), (6, n), (7, m), (8, 0), (11, 0))}
    run(engine, path, QMM, {0: w, 1: scales, 2: biases, 3: x, 4: y, **sizes},
        ((n + 31) // 32, (m + 31) // 32, 1), (32, 2, 2))
    worst = largest = 0
    for row in range(n):
        weights = [(w[(row * k + i) // 8] >> 4 * (i % 8) & 15) * scales[(row * k + i) // 64] +
                   biases[(row * k + i) // 64] for i in range(k)]
        for column in range(m):
            wanted = sum(a * b for a, b in zip(weights, x[column * k:(column + 1) * k]))
            worst = max(worst, abs(y[column * n + row] - wanted))
            largest = max(largest, abs(wanted))
    return worst, largest


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1
                          else pathlib.Path.home() / ".cache/paceline/mlx")
    library = metallib(folder)
    failed = False
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        engine = engine_of(work)
        for kernel, check in ((RMS, check_rms), (QMM, check_qmm)):
            path = compile_air(library, kernel, work)
            worst, largest = check(engine, path, random.Random(1))
            is_right = worst <= 1e-5 * largest
            failed |= not is_right
            print(f"{kernel}: largest error {worst:.2g} of {largest:.3g}: "
                  f"{'right' if is_right else 'WRONG'}")
            engine.emu_set_layout(1)
            if check is check_qmm:          # a layout that Apple's code does not expect must show
                worst, largest = check(engine, path, random.Random(1))
                failed |= worst <= 1e-5 * largest
                print(f"{kernel}, another layout: largest error {worst:.3g}: "
                      f"{'WRONG, it must fail' if worst <= 1e-5 * largest else 'fails as it must'}")
            engine.emu_set_layout(0)
    sys.exit(failed)


if __name__ == "__main__":
    main()
