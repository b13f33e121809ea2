"""paceline up and down: a server in the background, found and stopped by its own process id."""

import json
import os
import re
import signal
import subprocess
import urllib.request

import pytest

from hub import Hub


@pytest.fixture
def paceline(build_dir, tmp_path):
    """Runs commands whose servers keep their files in a folder of the test; stops what is left."""
    env = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}

    def run(*words, **more):
        return subprocess.run([build_dir / "paceline", *map(str, words)], capture_output=True,
                              timeout=120, text=True, env=env | more)
    yield run
    for file in (tmp_path / "paceline").glob("*.run"):
        run("down", "--name", file.stem)


def address(done):
    assert done.returncode == 0, done.stderr
    return re.search(r"^ready +(http://\S+)/v1", done.stdout, re.MULTILINE)[1]


def pid_of(tmp_path, name="paceline"):
    return int((tmp_path / f"paceline/{name}.run").read_text())


def test_up_and_down(paceline, fetch_model, tmp_path):
    model = fetch_model("smollm2-135m")
    words = ["up", model, "--parallel", 2, "--ctx-size", 256, "--port", 0]
    first = paceline(*words, "--", "--alias", "mine")
    url = address(first)
    assert "total" in first.stdout      # the plan comes before
    assert json.load(urllib.request.urlopen(f"{url}/v1/models"))["data"][0]["id"] == "mine"
    second = paceline(*words)
    assert second.returncode == 1 and "runs already" in second.stderr and url in second.stderr
    other = paceline(*words, "--name", "two")
    assert address(other) != url
    pid = pid_of(tmp_path)
    assert paceline("down").stdout == f"stopped    process {pid}\n"
    with pytest.raises(OSError):
        urllib.request.urlopen(f"{url}/health", timeout=5)
    assert urllib.request.urlopen(f"{address(other)}/health").status == 200
    assert paceline("down", "--name", "two").returncode == 0
    again = paceline("down")
    assert again.returncode == 1 and "no server" in again.stderr


def test_a_model_that_is_missing_is_pulled(paceline, fetch_model, tmp_path):
    name, content = "owner/tiny-GGUF:Q4_1", fetch_model("smollm2-135m").read_bytes()
    words = ["up", name, "--parallel", 1, "--ctx-size", 128, "--port", 0]
    with Hub() as hub:
        hub.add("owner/tiny-GGUF", {"tiny-q4_1.gguf": content})
        env = {"HF_ENDPOINT": hub.url, "XDG_CACHE_HOME": str(tmp_path / "cache"), "no_proxy": "*"}
        dry = paceline(*words, "--dry-run", **env)
        assert dry.returncode == 2 and f"paceline pull {name}" in dry.stderr
        url = address(paceline(*words, **env))
        assert json.load(urllib.request.urlopen(f"{url}/v1/models"))["data"]
        assert paceline("down").returncode == 0
        n_requests = len(hub.requests)
        address(paceline(*words, **env))
        assert len(hub.requests) == n_requests      # what is there is not fetched again
        assert paceline("down").returncode == 0
        elsewhere = [*words, "--dir", tmp_path / "models"]
        address(paceline(*elsewhere, **env))
        assert list((tmp_path / "models").rglob("tiny-q4_1.gguf"))
        assert len(hub.requests) > n_requests
        assert paceline("down").returncode == 0
        n_requests = len(hub.requests)
        address(paceline(*elsewhere, **env))
        assert len(hub.requests) == n_requests
        none = paceline("up", "owner/none-GGUF:Q4_1", "--name", "x", **env)
        assert none.returncode == 1 and "none-GGUF" in none.stderr


def test_a_server_that_was_killed_is_not_running(paceline, fetch_model, tmp_path):
    words = ["up", fetch_model("smollm2-135m"), "--parallel", 1, "--ctx-size", 128, "--port", 0]
    address(paceline(*words))
    os.kill(pid_of(tmp_path), signal.SIGKILL)
    assert "no server" in paceline("down").stderr     # the lock went with it
    address(paceline(*words))


def test_what_does_not_fit_is_refused_with_what_would(paceline, fetch_model, tmp_path):
    done = paceline("up", fetch_model("smollm2-135m"), "--parallel", 4096, "--ctx-size", 8192)
    assert done.returncode == 3 and "GiB are missing" in done.stderr
    assert "--parallel" in done.stderr and not (tmp_path / "paceline").exists()


def test_a_server_that_cannot_start_says_why(paceline, fetch_model):
    model = fetch_model("smollm2-135m")
    done = paceline("up", model, "--parallel", 1, "--ctx-size", 128, "--port", 0, "--", "--no-such")
    assert done.returncode == 1 and "unknown option --no-such" in done.stderr
    done = paceline("up", "/nowhere.gguf")
    assert done.returncode == 1 and "/nowhere.gguf" in done.stderr


def test_a_dry_run_starts_nothing(paceline, fetch_model, tmp_path):
    done = paceline("up", fetch_model("smollm2-135m"), "--dry-run")
    assert done.returncode == 0 and "would start:" in done.stdout
    assert "serve --model" in done.stdout and paceline("down").returncode == 1
    options = "--rope-scaling yarn --yarn-ext-factor 0.5 --yarn-orig-ctx 2048 --rope-scale 4"
    done = paceline("up", fetch_model("smollm2-135m"), "--dry-run", "--parallel", 1, "--ctx-size",
                    8192, *options.split(), "--override-kv", "a=int:1", "--override-kv", "b=str:x")
    assert done.returncode == 0 and options in done.stdout
    assert "--override-kv a=int:1,b=str:x" in done.stdout


def test_what_is_started_where_nothing_is_said(paceline, fetch_model, build_dir, tmp_path):
    model = fetch_model("smollm2-135m")
    done = paceline("up", model, "-c", 256, "--dry-run")
    assert (f"would start: {build_dir}/paceline serve --model {model} --parallel 20 --ctx-size 256 "
            "--host 127.0.0.1 --port 8080\n"
            f"with its output in {tmp_path}/paceline/paceline.log\n") in done.stdout
    assert "20 slots, queue of 1024 requests" in done.stdout
    assert "a step of up to 256 columns" in done.stdout
    assert done.stdout.count("20 streams of 256 tokens each (prompt + reply; the model's limit is "
                             "8192); 64 prompt tokens a step beside running streams; queue 1024 "
                             "requests, 8388608 tokens\n") == 1
    done = paceline("up", model, "-c", 256, "--dry-run", "-t", 1, "-ctk", "q8_0", "-ctv", "bf16",
                    "--port", 0, "--api-key-file", "/k", "--", "--alias", "a")
    assert ("--port 0 --threads 1 --cache-type-k q8_0 --cache-type-v bf16 --api-key-file /k "
            "--alias a\n") in done.stdout


@pytest.mark.parametrize("words,piece", [
    (["up"], "needs a model"), (["up", "m", "--name", "../x"], "--name"),
    (["down", "--name", "a/b"], "--name"),
])
def test_wrong_command_lines(paceline, words, piece):
    done = paceline(*words)
    assert done.returncode == 2 and piece in done.stderr
