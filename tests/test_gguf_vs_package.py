"""Model files as this project reads them against the gguf package's reader: every key, value and
tensor of the real models, and of a file that has every kind, whole and in parts."""

import subprocess

import gguf
import numpy as np
import pytest

ARRAY = gguf.GGUFValueType.ARRAY
STRING = gguf.GGUFValueType.STRING
FLOATS = (gguf.GGUFValueType.FLOAT32, gguf.GGUFValueType.FLOAT64)


def text(kind, value):
    if kind == STRING:
        return "x" + bytes(value).hex()
    return float(value).hex() if kind in FLOATS else str(int(value))


def expected_lines(path):
    lines = set()
    reader = gguf.GGUFReader(path)
    for name, field in reader.fields.items():
        if name.startswith("GGUF."):    # of the header, not keys
            continue
        values = [field.parts[i] if field.types[-1] == STRING else field.parts[i][0]
                  for i in field.data]
        kind = field.types[-1]
        words = [text(kind, v) for v in values]
        head = ["array", str(kind.value), str(len(words))] if field.types[0] == ARRAY \
            else [str(kind.value)]
        lines.add(" ".join(["key", name, *head, *words]))
    for t in reader.tensors:
        dims = [str(int(d)) for d in t.shape]
        lines.add(f"tensor {t.name} {t.tensor_type.value} {t.data_offset} {t.n_bytes} "
                  + " ".join(dims))
    return lines


def normal(line):
    """C writes 0x1.8p+3 where Python writes 0x1.8000000000000p+3."""
    return " ".join(float.fromhex(w).hex() if w.startswith(("0x", "-0x")) else w
                    for w in line.split(" "))


def listed(build_dir, path):
    out = subprocess.run([build_dir / "tests/unit/gguf/gguf_cli", path], capture_output=True,
                         check=True, text=True).stdout.splitlines()
    return [line for line in out if line.startswith("part ")], \
           [normal(line) for line in out if not line.startswith("part ")]


def compare(got, want):
    missing, added = want - set(got), set(got) - want
    assert not missing and not added, (
        f"{len(missing)} missing, first {min(missing, default='')[:200]!r}; "
        f"{len(added)} added, first {min(added, default='')[:200]!r}")
    assert len(got) == len(want)


@pytest.mark.parametrize("name", ["smollm2-135m", "qwen2.5-coder-0.5b", "gemma3-270m",
                                  "qwen2.5-coder-1.5b"])
def test_real_models(build_dir, fetch_model, name):
    path = fetch_model(name)
    parts, lines = listed(build_dir, path)
    assert parts == [f"part {path} {path.stat().st_size}"]
    assert len(lines) > 200
    compare(lines, expected_lines(path))


def write_model(path, **split):
    w = gguf.GGUFWriter(path, "llama", **split)
    w.add_uint8("u8", 255)
    w.add_uint16("u16", 65535)
    w.add_uint32("u32", 2**32 - 1)
    w.add_uint64("u64", 2**64 - 1)
    w.add_int8("i8", 127)
    w.add_int16("i16", 2**15 - 1)
    w.add_int32("i32", 2**31 - 1)
    w.add_int64("i64", 2**63 - 1)
    w.add_float32("f32", -0.1)
    w.add_float64("f64", 0.375)
    w.add_bool("yes", True)
    w.add_bool("no", False)
    w.add_string("string", "grüße, 日本")
    w.add_string("nothing", "")
    w.add_array("strings", ["a", "", "né"])
    w.add_array("ints", [-1, 0, 7])
    w.add_array("floats", [0.5, -1e-9])
    rng = np.random.default_rng(3)
    for i in range(6):
        w.add_tensor(f"blk.{i}.weight", rng.random((3 + i, 32), np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def test_every_kind(build_dir, tmp_path):
    write_model(tmp_path / "all.gguf")
    _, lines = listed(build_dir, tmp_path / "all.gguf")
    assert len(lines) > 20
    compare(lines, expected_lines(tmp_path / "all.gguf"))


def test_parts_written_by_the_package(build_dir, tmp_path):
    write_model(tmp_path / "m.gguf", split_max_tensors=2)
    files = sorted(tmp_path.glob("m-*.gguf"))
    assert [f.name for f in files] == [f"m-0000{i}-of-00003.gguf" for i in (1, 2, 3)]
    parts, lines = listed(build_dir, files[0])
    assert len(parts) == 3
    want = expected_lines(files[0])
    for f in files[1:]:
        want |= {line for line in expected_lines(f) if line.startswith("tensor ")}
    compare(lines, want)


def test_the_check_can_fail(build_dir, tmp_path):
    write_model(tmp_path / "a.gguf")
    _, lines = listed(build_dir, tmp_path / "a.gguf")
    with pytest.raises(AssertionError):
        compare(lines, expected_lines(tmp_path / "a.gguf") | {"key more 4 1"})
