"""Token ids against the models' reference tokenizers: every text of tests/golden/*.tokens.json,
with and without control tokens, and what the tokens stand for."""

import json
import pathlib
import struct
import subprocess

import pytest

GOLDEN = pathlib.Path(__file__).resolve().parent / "golden"
MODELS = ["smollm2-135m", "qwen2.5-coder-0.5b", "gemma3-270m"]


@pytest.fixture(scope="module")
def tokenize(build_dir, models_dir):
    cli = next(pathlib.Path(build_dir).rglob("tokenize_cli"), None)
    assert cli, f"{build_dir} has no tokenize_cli: build it first"

    def run(mode, model, texts):
        path = pathlib.Path(models_dir) / f"{model}.gguf"
        assert path.exists(), f"{path} is missing: scripts/fetch_models.sh {model}"
        data = b"".join(struct.pack("<I", len(t)) + t for t in texts)
        done = subprocess.run([cli, mode, path], input=data, capture_output=True, check=True)
        lines = done.stdout.decode().split("\n")
        assert len(lines) == len(texts) + 1
        return lines[:-1]

    return run


def golden(model):
    return json.loads((GOLDEN / f"{model}.tokens.json").read_text())


@pytest.mark.parametrize("mode", ["plain", "special"])
@pytest.mark.parametrize("model", MODELS)
def test_tokens_equal_the_reference(tokenize, model, mode):
    cases = golden(model)
    lines = tokenize(mode, model, [case["text"].encode() for case in cases])
    wrong = [
        f"{case['text']!r}: {ids} instead of {case[mode]}"
        for case, ids in zip(cases, ([int(i) for i in line.split()] for line in lines))
        if ids != case[mode]
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("model", MODELS)
def test_tokens_stand_for_the_text(tokenize, model):
    texts = [case["text"].encode() for case in golden(model)]
    lines = tokenize("detokenize", model, texts)
    for text, line in zip(texts, lines):
        if model.startswith("gemma"):  # a SentencePiece vocabulary says U+2581 as a space
            text = text.replace("\u2581".encode(), b" ")
        assert bytes.fromhex(line) == text
