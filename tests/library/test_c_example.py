"""examples/c/streams.c: twenty threads and one engine, with the library as it is installed and
under sanitizers."""

import os
import re
import subprocess

import pytest
from building import ROOT, run

STREAMS = ROOT / "examples/c/streams.c"


def replies(said):
    """{number: (state, n_tokens, text)} of what streams prints."""
    parts = re.split(r"^(\d+) (done|cancelled) (\d+) ", said, flags=re.MULTILINE)
    lines = zip(parts[1::4], parts[2::4], parts[3::4], parts[4::4], strict=True)
    return {int(i): (state, int(n), text.removesuffix("\n")) for i, state, n, text in lines}


def check(program, model, reply, **more):
    found = replies(run(program, model, 20, 12, **more))
    assert sorted(found) == list(range(20))
    assert found[0][0] == "cancelled" and 1 <= found[0][1] <= 12
    assert all(found[i][0] == "done" for i in range(1, 20))
    for i in (1, 7, 19):
        assert found[i][2] == reply(f"Rider {i} says:", 12)


def test_twenty_threads(environment, tiny, reply, tmp_path):
    flags = run("pkg-config", "--cflags", "--libs", "paceline", env=environment).split()
    run("cc", "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", STREAMS, "-o",
        tmp_path / "streams", *flags, "-lpthread")
    check(tmp_path / "streams", tiny, reply, env=environment)
    done = subprocess.run([tmp_path / "streams", tiny, "0"], env=environment, capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 2 and "usage" in done.stderr


@pytest.mark.parametrize("source", ["hello", "streams"])
def test_under_sanitizers(source, build_dir, tiny, reply, tmp_path):
    library = build_dir.parent / "asan/libpaceline.so"
    if not library.exists():
        pytest.skip("cmake --build --preset asan: the library is not there")
    run("cc", "-std=c11", "-D_GNU_SOURCE", "-g1", "-fsanitize=address,undefined",
        ROOT / f"examples/c/{source}.c", "-o", tmp_path / source, f"-I{ROOT}/include", library,
        f"-Wl,-rpath,{library.parent}", "-lpthread")
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=1"}
    if source == "streams":
        check(tmp_path / source, tiny, reply, env=environment)
    else:
        assert run(tmp_path / source, tiny, "Riders", env=environment) == reply("Riders")
