"""What each tensor type means, against the gguf package's own dequantisation on random blocks."""

import subprocess

import numpy as np
import pytest
from gguf import GGMLQuantizationType
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize

N_BLOCKS = 2000
WANTED = {"F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K",
          "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4"}
# Byte offsets of the f16 scales and minima in a block; everything else may be any byte.
HALVES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "IQ4_NL": [0],
          "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
          "IQ4_XS": [0]}


def dequantise(build_dir, number, blocks):
    out = subprocess.run([build_dir / "tests/unit/quant/dequantise_cli", str(number)],
                         input=blocks.tobytes(), capture_output=True, check=True).stdout
    return np.frombuffer(out, np.float32)


def random_f16(rng, n):
    """Any finite bit pattern: both zeros, denormals and the largest too."""
    h = rng.integers(0, 65536, n, np.uint16)
    return np.where((h & 0x7C00) == 0x7C00, h & ~np.uint16(0x4000), h).astype("<u2")


def random_blocks(name, n_bytes, seed):
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (N_BLOCKS, n_bytes), np.uint8)
    blocks[0], blocks[1] = 0, 255   # each field at its least and its most
    for at in HALVES.get(name, []):
        blocks[:, at:at + 2] = random_f16(rng, N_BLOCKS).view(np.uint8).reshape(-1, 2)
    return blocks


def test_the_same_types_and_sizes(build_dir):
    out = subprocess.run([build_dir / "tests/unit/quant/dequantise_cli", "types"],
                         capture_output=True, check=True, text=True).stdout
    ours = {}
    for line in out.splitlines():
        name, number, *size = line.split()
        assert GGMLQuantizationType(int(number)).name == name
        assert GGML_QUANT_SIZES[GGMLQuantizationType[name]] == tuple(map(int, size))
        ours[name] = int(number)
    assert set(ours) == WANTED


@pytest.mark.parametrize("name", sorted(WANTED))
def test_random_blocks(build_dir, name):
    kind = GGMLQuantizationType[name]
    n_weights, n_bytes = GGML_QUANT_SIZES[kind]
    blocks = random_blocks(name, n_bytes, seed=kind.value)
    with np.errstate(invalid="ignore", over="ignore"):
        want = np.asarray(dequantize(blocks, kind), np.float32).reshape(-1)
    got = dequantise(build_dir, kind.value, blocks)
    assert got.size == want.size == N_BLOCKS * n_weights
    if name not in HALVES:      # plain numbers: bit by bit, not-a-numbers too
        is_nan = np.isnan(want)
        assert np.array_equal(np.isnan(got), is_nan)
        got, want = got[~is_nan], want[~is_nan]
    assert np.isfinite(got).sum() > 0.9 * got.size and len(np.unique(got)) > 1000
    different = np.flatnonzero(got != want)
    assert not different.size, (
        f"{name}: {different.size} of {got.size} weights differ, first weight {different[0]}: "
        f"{got[different[0]]!r} for {want[different[0]]!r}")
