"""What the tests of the library share: where it is installed, a tiny model, and what the
program says of it."""

import os
import sys

import pytest
from building import ROOT, run
from gguf import GGUFValueType

sys.path.insert(0, str(ROOT / "tests"))

import tiny_models  # noqa: E402


@pytest.fixture(scope="session")
def prefix(build_dir, tmp_path_factory):
    """Where `cmake --install` put everything: not where the build was told."""
    to = tmp_path_factory.mktemp("installed")
    run("cmake", "--install", build_dir, "--prefix", to)
    return to


@pytest.fixture(scope="session")
def libdir(prefix):
    found, = prefix.rglob("libpaceline.a")
    return found.parent


@pytest.fixture(scope="session")
def environment(libdir):
    """Of a program that is built and run with what is installed."""
    return {**os.environ, "PKG_CONFIG_PATH": str(libdir / "pkgconfig"),
            "LD_LIBRARY_PATH": str(libdir)}


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    template = (GGUFValueType.STRING, TEMPLATE)
    tiny_models.write(path, "llama", keys=[("tokenizer.chat_template", template)])
    return path


TEMPLATE = ("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
            "{% if add_generation_prompt %}assistant:{% endif %}")


@pytest.fixture(scope="session")
def reply(build_dir, tiny):
    """reply(text, n) -> how the tiny model goes on for n tokens with the neutral sampling and seed
    0, as the program has it."""
    neutral = ["--temp", 1, "--top-k", 0, "--top-p", 1, "--min-p", 0, "--seed", 0]

    def ask(text, n_tokens=16):
        said = run(build_dir / "paceline", "run", "--model", tiny, "--raw", "--prompt", text, "-n",
                   n_tokens, *neutral)
        return said.removesuffix("\n")
    return ask
