"""What the tests of pull share: a hub of our own, and the program with a home of its own."""

import json
import os
import random
import signal
import subprocess
import time

import pytest

from hub import Hub, sha256

REPO, TAG = "some/Model-GGUF", "some/Model-GGUF:Q4_K_M"
FILE = "model-q4_k_m.gguf"
PATH = f"/{REPO}/resolve/main/{FILE}"
LISTING = f"/api/models/{REPO}/tree/main"
TOKEN = "hf_abcdefghijklmnop"
HUB = "https://huggingface.co"      # whose URLs stand for the hub's names


def gguf(n, seed=1):
    return b"GGUF" + random.Random(seed).randbytes(n - 4)


@pytest.fixture
def hub():
    with Hub() as h:
        h.add(REPO, {FILE: gguf(300000), "model-q8_0.gguf": gguf(1000, 2),
                     "mmproj-model-f16.gguf": gguf(900, 3), "imatrix-q4_k_m.gguf": gguf(800, 4),
                     "README.md": b"#"})
        yield h


class Cli:
    def __init__(self, binary, folder, hub):
        self.binary, self.folder, self.hub = binary, folder, hub
        self.models = folder / "cache/paceline/models"
        kept = {k: v for k, v in os.environ.items()
                if "proxy" not in k.lower() and not k.startswith("HF_")}
        self.env = kept | {"HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache"),
                           "HF_ENDPOINT": hub.url}

    def command(self, *words):
        return [self.binary, *map(str, words)]

    def __call__(self, *words, env=(), **more):
        return subprocess.run(self.command(*words), env=self.env | dict(env), capture_output=True,
                              text=True, timeout=120, stdin=subprocess.DEVNULL, **more)

    def pull(self, *words, **more):
        return self("pull", "--retry-delay", "0.01", *words, **more)

    def start(self, *words):
        """With Ctrl-C as a person has it: who runs the tests may have it ignored, as nohup does."""
        return subprocess.Popen(self.command("pull", "--retry-delay", "0.01", *words), env=self.env,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))

    def files(self):
        """All files under the folder of models, by their path there."""
        return {str(p.relative_to(self.models)): p for p in self.models.rglob("*") if p.is_file()}


@pytest.fixture
def cli(build_dir, tmp_path, hub):
    return Cli(build_dir / "paceline", tmp_path, hub)


def check_pulled(cli, done, content, name=f"{REPO}/{FILE}"):
    assert done.returncode == 0, done.stderr
    path = cli.models / name
    assert done.stdout.splitlines()[-1] == str(path)
    assert path.read_bytes() == content
    assert not [f for f in cli.files() if ".part" in f or f.endswith(".tmp")]
    note = json.loads((cli.models / f"{name}.json").read_text())
    assert note["sha256"] == sha256(content) and note["size"] == len(content)
    return note


def check_refused(cli, done, *pieces, code=1):
    assert done.returncode == code, done.stderr
    assert not done.stdout
    for piece in pieces:
        assert piece in done.stderr, done.stderr
    assert not [f for f in cli.files() if f.endswith(".gguf")]


def wait_for(condition):
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.02)
    pytest.fail("what was waited for did not come within 120 s")
