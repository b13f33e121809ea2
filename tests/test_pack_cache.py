"""The pack cache on a real model, as a shell sees it: the numbers do not change, damage and
replaced files are noticed, processes share the memory."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

TOKENS = ",".join(str(i) for i in range(100, 140))


@pytest.fixture
def score(build_dir):
    def run(model, *words):
        ask = ["score", "--model", model, "--tokens", TOKENS, "--every", "--json", *words]
        done = subprocess.run([build_dir / "paceline", *map(str, ask)], capture_output=True,
                              timeout=120)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout), done.stderr.decode()
    return run


@pytest.fixture
def model(fetch_model):
    return fetch_model("smollm2-135m")


def packs(folder):
    return sorted(folder.glob("*.pack"))


def test_numbers_are_the_same(score, model, tmp_path):
    without, _ = score(model)
    folder = tmp_path / "cache"
    for _ in range(2):
        result, messages = score(model, "--pack-cache", folder)
        assert result == without and messages == ""
    [pack] = packs(folder)
    assert pack.stat().st_mode & 0o7777 == 0o600 and folder.stat().st_mode & 0o7777 == 0o700
    assert not list(folder.glob("*.tmp"))


def test_damage_is_mended(score, model, tmp_path):
    without, _ = score(model)
    score(model, "--pack-cache", tmp_path)
    [pack] = packs(tmp_path)
    whole = pack.read_bytes()
    for at in (3, 90, 2 << 20, len(whole) // 2, len(whole) - 1):
        with open(pack, "r+b") as f:
            f.seek(at)
            f.write(bytes([whole[at] ^ 0x20]))
        result, messages = score(model, "--pack-cache", tmp_path)
        assert result == without and "written anew" in messages
        assert pack.read_bytes() == whole
    os.truncate(pack, len(whole) // 2)
    result, messages = score(model, "--pack-cache", tmp_path)
    assert result == without and "written anew" in messages and pack.read_bytes() == whole
    assert score(model, "--pack-cache", tmp_path) == (without, "")


def test_another_model_under_the_same_name(score, model, fetch_model, tmp_path):
    other = fetch_model("gemma3-270m")
    path, folder = tmp_path / "model.gguf", tmp_path / "cache"
    for source in (model, other, model, other):
        shutil.copyfile(source, path)
        result, messages = score(path, "--pack-cache", folder)
        assert result == score(source)[0] and messages == ""
    assert len(packs(folder)) == 2

    # changed in place, with the times set back: a byte of the last tensor
    before = path.stat()
    with open(path, "r+b") as f:
        f.seek(-1000, 2)
        byte = f.read(1)
        f.seek(-1000, 2)
        f.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    score(path, "--pack-cache", folder)
    assert len(packs(folder)) == 3


def test_trouble_is_a_warning(score, model, tmp_path):
    without, _ = score(model)
    file = tmp_path / "file"
    file.touch()
    for folder in (file, tmp_path / "no" / "where"):
        result, messages = score(model, "--pack-cache", folder)
        assert result == without and "packed in memory" in messages
        assert len(messages.splitlines()) == 1 and str(folder) in messages


def mapped_kib(pid, name):
    """(resident, proportional) KiB of a file in a process."""
    text = pathlib.Path(f"/proc/{pid}/smaps").read_text()
    parts = re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", text)
    [part] = [p for p in parts if name in p.partition("\n")[0]]
    return [int(re.search(rf"(?m)^{k}: *(\d+)", part)[1]) for k in ("Rss", "Pss")]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_processes_share_the_memory(build_dir, model, tmp_path):
    servers = []
    try:
        for _ in range(2):
            server = subprocess.Popen([build_dir / "paceline", "serve", "--model", model, "--port",
                                       "0", "--ctx-size", "256", "--pack-cache", tmp_path],
                                      stderr=subprocess.PIPE, text=True)
            servers.append(server)
            started = []
            while not started or "listening" not in started[-1]:
                line = server.stderr.readline()
                assert line, started
                started.append(line)
            assert any("mapped from the pack cache" in line for line in started), started
        [pack] = packs(tmp_path)
        for server in servers:
            rss, pss = mapped_kib(server.pid, pack.name)
            assert rss > pack.stat().st_size / 1024 * 0.9
            assert pss < rss * 0.6
    finally:
        for server in servers:
            server.terminate()
        for server in servers:
            assert server.wait(30) == 0
            server.stderr.close()
