"""Embeddings over HTTP, by the real `openai` client and by hand, of tiny models whose rows
tests/golden/forward.py computes exactly."""

import base64
import concurrent.futures
import contextlib
import http.client
import json
import subprocess
import sys

import numpy as np
import openai
import pytest
from gguf import GGUFValueType as T

import tiny_models
from serving import Server
from test_logits_golden import GOLDEN

sys.path.insert(0, str(GOLDEN))
import forward  # noqa: E402

CTX = 512
POOLING = {"none": 0, "mean": 1, "cls": 2, "last": 3, "rank": 4}     # as files number them
EOS = tiny_models.N_VOCAB - 1


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """tiny(architecture, pooling, ...) -> path"""
    known = {}

    def write(arch="qwen3", pooling=None, ends=False):
        at = arch, pooling, ends
        keys = {} if pooling is None else {"pooling_type": (T.UINT32, POOLING[pooling])}
        if ends:
            keys["tokenizer.ggml.add_eos_token"] = (T.BOOL, True)
        if at not in known:
            path = str(tmp_path_factory.mktemp("embed") / f"{arch}.gguf")
            known[at] = tiny_models.write(path, arch, tied=arch == "qwen3", keys=keys)
        return known[at]
    return write


@pytest.fixture(scope="module")
def serve(build_dir, tiny):
    @contextlib.contextmanager
    def start(path, *options, parallel=8):
        server = Server(build_dir / "paceline", path, "--parallel", parallel, "--ctx-size", CTX,
                        "--threads", 1, *options)
        try:
            yield server.wait()
        finally:
            code = server.stop()
        assert code == 0, f"exit code {code}: {server.errors}"
    return start


@pytest.fixture(scope="module")
def server(serve, tiny):
    with serve(tiny(), "--queue-requests", 4) as s:
        yield s


@pytest.fixture(scope="module")
def client(server):
    return openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)


def ids_of(n, seed):
    return [int(t) for t in np.random.default_rng(seed).integers(0, EOS, n)]


def vectors(server, texts, **more):
    status, _, body = server.post("/v1/embeddings", {"input": texts, **more})
    assert status == 200, body
    assert [d["index"] for d in body["data"]] == list(range(len(body["data"])))
    return [d["embedding"] for d in body["data"]]


def raw(server, texts, **more):
    """As float32: what comes of numbers written with nine digits."""
    return np.array(vectors(server, texts, embd_normalize=-1, **more), dtype=np.float32)


def pooled(rows, kind):
    return {"mean": rows.mean(0), "cls": rows[0], "last": rows[-1]}[kind]


def cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


# ---- what a vector is ----

@pytest.mark.parametrize("arch, said_by", [
    ("qwen3", "file"), ("llama", "option"), ("gemma2", "file"), ("qwen35", "option")])
@pytest.mark.parametrize("kind", ["mean", "cls", "last"])
def test_against_the_exact_forward_pass(serve, tiny, arch, said_by, kind):
    path = tiny(arch, kind if said_by == "file" else None)
    texts = [ids_of(n, n) for n in (1, 15, 16, 17, 120)]
    m = forward.Model(path)
    want = [pooled(forward.hidden(m, t), kind) for t in texts]
    with serve(path, *([] if said_by == "file" else ["--pooling", kind])) as s:
        for a, b in zip(raw(s, texts), want):
            assert cosine(a, b) >= 0.999
            assert abs(np.linalg.norm(a) / np.linalg.norm(b) - 1) < 0.02


def test_last_is_the_default(server, serve, tiny):
    texts = [ids_of(n, n) for n in (3, 40)]
    with serve(tiny(), "--pooling", "last") as s:
        assert (raw(s, texts) == raw(server, texts)).all()


def test_none_tells_every_row(serve, tiny):
    texts = [ids_of(n, n) for n in (1, 33)]
    with serve(tiny(pooling="none")) as s:
        status, _, body = s.post("/v1/embeddings", {"input": texts})
        assert status == 400 and "POST /embedding" in body["error"]["message"]
        status, _, rows = s.post("/embedding", {"input": texts})
        assert status == 200
        rows = [np.array(r["embedding"], dtype=np.float32) for r in rows]
    assert [len(r) for r in rows] == [1, 33]
    m = forward.Model(tiny())
    for text, got in zip(texts, rows):
        want = forward.hidden(m, text)
        assert min(cosine(a, b) for a, b in zip(got, want)) >= 0.999
        assert np.linalg.norm(got[0]) > 2      # as they are
    with serve(tiny(), "--pooling", "mean") as s:
        for text, got in zip(texts, rows):      # summed in double, in the order of positions
            total = np.zeros(got.shape[1])
            for row in got.astype(np.float64):
                total += row
            assert (raw(s, [text])[0] == (total / len(got)).astype(np.float32)).all()


def test_end_token_where_the_file_asks_for_it(serve, tiny, server):
    ids = server.post("/tokenize", {"content": "abc"})[2]["tokens"]
    with serve(tiny(ends=True)) as s:
        status, _, body = s.post("/v1/embeddings", {"input": "abc"})
        assert status == 200 and body["usage"]["prompt_tokens"] == len(ids) + 1
        assert body["data"][0]["embedding"] == vectors(s, [[*ids, EOS]])[0]
        assert s.post("/tokenize", {"content": "abc", "add_special": True})[2]["tokens"] == ids
    assert vectors(server, ["abc"]) == vectors(server, [ids])


# ---- many ----

def test_a_thousand_texts_are_what_each_is_alone(server, client):
    """The queue has room for four: a request's texts wait elsewhere."""
    texts = [f"{i} " + "text " * (i % 7) for i in range(1000)]
    many = client.embeddings.create(model="", input=texts, encoding_format="float")
    assert [d.index for d in many.data] == list(range(1000))
    assert many.usage.prompt_tokens == many.usage.total_tokens == sum(len(t) for t in texts)
    for text, together in zip(texts, many.data):
        alone = client.embeddings.create(model="", input=text, encoding_format="float")
        assert alone.data[0].embedding == together.embedding, text


@pytest.mark.parametrize("step", [1, 7, 256])
def test_however_texts_are_cut(serve, tiny, server, step):
    texts = [ids_of(n, n) for n in (1, 2, 17, 64, 200)]
    with serve(tiny(), "--pooling", "mean", "--ubatch-size", 100, parallel=1) as s:
        mean = vectors(s, texts)
    with serve(tiny(), "--ubatch-size", max(step, 4), "--prefill-tokens", step, parallel=4) as s:
        assert vectors(s, texts) == vectors(server, texts)
    with serve(tiny(), "--pooling", "mean", "--ubatch-size", max(step, 4), parallel=4) as s:
        assert vectors(s, texts) == mean


COMPLETION = {"prompt": "Once upon", "max_tokens": 60, "temperature": 0, "ignore_eos": True}


def test_replies_go_on_meanwhile(server):
    """The largest batch does not hold up a reply that comes later, nor change it, and ends with its
    client."""
    want = server.post("/v1/completions", COMPLETION)[2]["choices"][0]["text"]
    batch = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
    texts = [ids_of(500, n) for n in range(2048)]
    batch.request("POST", "/v1/embeddings", json.dumps({"input": texts}))
    assert server.wait_until(lambda: server.busy_slots() > 0)
    for _ in range(3):
        got = server.post("/v1/completions", COMPLETION)[2]["choices"][0]["text"]
        assert got == want
    assert server.busy_slots() > 0, "the batch should still be running"
    batch.close()
    assert server.wait_until(lambda: server.busy_slots() == 0)
    assert server.wait_until(lambda: server.metric("paceline_http_active_requests") == 0)
    assert server.wait_until(lambda: server.metric("paceline_http_body_bytes") == 0)


def test_twenty_batches_at_once(server):
    batches = [[ids_of(5 + n, 100 * b + n) for n in range(10)] for b in range(20)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda b: vectors(server, b), batches))
    assert together == [vectors(server, b) for b in batches]


# ---- how it is told ----

def test_base64_is_the_same(server, client):
    texts = ["one", "another text", "x" * 100]
    numbers = np.array(vectors(server, texts), dtype="<f4")
    strings = vectors(server, texts, encoding_format="base64")
    assert (np.array([np.frombuffer(base64.b64decode(s, validate=True), "<f4") for s in strings])
            == numbers).all()
    by_client = client.embeddings.create(model="", input=texts)      # which asks for base64
    assert (np.array([d.embedding for d in by_client.data], dtype="<f4") == numbers).all()


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 255, 256])
def test_dimensions(server, client, n):
    whole = raw(server, ["a text"])[0]
    for form in ("float", "base64"):
        got = client.embeddings.create(model="", input="a text", dimensions=n, encoding_format=form)
        got = got.data[0].embedding
        got = np.frombuffer(base64.b64decode(got), "<f4") if isinstance(got, str) else np.array(got)
        want = whole[:n].astype(np.float64)
        np.testing.assert_allclose(got, want / np.linalg.norm(want), rtol=1e-6)


@pytest.mark.parametrize("norm, size", [
    (0, lambda x: np.abs(x).max() / 32760), (1, lambda x: np.abs(x).sum()), (2, np.linalg.norm),
    (3, lambda x: (np.abs(x)**3).sum()**(1 / 3))])
def test_norms(server, norm, size):
    x = raw(server, ["a text"])[0].astype(np.float64)
    got = vectors(server, ["a text"], embd_normalize=norm)[0]
    np.testing.assert_allclose(got, x / size(x), rtol=1e-6)
    assert norm != 2 or got == vectors(server, ["a text"])[0]


def test_llama_servers_shape(server):
    status, _, body = server.post("/embedding", {"content": ["one", "two"]})
    assert status == 200
    assert body == [{"index": i, "embedding": [v]} for i, v in enumerate(vectors(server, ["one",
                                                                                         "two"]))]
    assert server.post("/embedding", {"content": "one"})[2] == [body[0]]
    assert server.post("/embeddings", {"input": "one"})[2]["data"][0]["embedding"] == \
        body[0]["embedding"][0]


def test_every_kind_of_input(server):
    ids = server.post("/tokenize", {"content": "hello"})[2]["tokens"]
    want = vectors(server, "hello")
    assert vectors(server, ids) == vectors(server, [ids]) == vectors(server, ["hello"]) == want
    assert vectors(server, ["hello", ids]) == want * 2


# ---- what is refused ----

@pytest.mark.parametrize("body, param, piece", [
    ({}, "input", "input"), ({"input": ""}, "input", "empty"), ({"input": []}, "input", "0 texts"),
    ({"input": ["a", ""]}, "input", "text 1 is empty"), ({"input": [[1], []]}, "input", "text 1"),
    ({"input": ["a"] * 2049}, "input", "1 to 2048"), ({"input": [1, -1]}, "input", "token 1"),
    ({"input": [[1], [2, 512]]}, "input", "token 1 of text 1 is 512; 0 to 511"),
    ({"input": [2**31]}, "input", "token 0"), ({"input": [1, "a"]}, "input", "token 1"),
    ({"input": ["a", 1]}, "input", "text 1 is an integer"), ({"input": {}}, "input", "an object"),
    ({"input": "a", "dimensions": 0}, "dimensions", "1 to 256"),
    ({"input": "a", "dimensions": 257}, "dimensions", "1 to 256"),
    ({"input": "a", "encoding_format": "int8"}, "encoding_format", "base64"),
    ({"input": "a", "embd_normalize": -2}, "embd_normalize", "-1 to"),
    ({"input": "a", "model": 5}, "model", "a string")])
def test_refused(server, body, param, piece):
    status, _, got = server.post("/v1/embeddings", body)
    assert status == 400 and got["error"]["type"] == "invalid_request_error"
    assert got["error"]["param"] == param and piece in got["error"]["message"]


def test_too_long(server):
    assert len(vectors(server, [[1] * CTX])) == 1
    status, _, got = server.post("/v1/embeddings", {"input": ["a", "a" * (CTX + 1)]})
    error = got["error"]
    assert status == 400 and error["type"] == "exceed_context_size_error"
    assert (error["n_prompt_tokens"], error["n_ctx"]) == (CTX + 1, CTX)
    assert "text 1" in error["message"]


def test_names_and_rank(serve, tiny):
    with serve(tiny(), "--strict-model-names", "--alias", "mine") as s:
        assert s.post("/v1/embeddings", {"input": "a", "model": "other"})[0] == 404
        assert s.post("/v1/embeddings", {"input": "a", "model": "mine"})[2]["model"] == "mine"
    with serve(tiny(pooling="rank")) as s:
        status, _, got = s.post("/v1/embeddings", {"input": "a"})
        assert status == 501 and got["error"]["type"] == "not_supported_error"
        assert s.post("/v1/completions", COMPLETION)[0] == 200


def test_poolings_that_are_none(build_dir, tiny, tmp_path):
    def serve_fails(path, *options):
        done = subprocess.run([build_dir / "paceline", "serve", path, "--port", "0", *options],
                              capture_output=True, text=True, timeout=60)
        assert done.returncode
        return done.stderr
    odd = tiny_models.write(str(tmp_path / "odd.gguf"), "qwen3",
                            keys={"pooling_type": (T.UINT32, 5)})
    assert "pooling_type is 5; 0 (none)" in serve_fails(odd)
    assert "none, mean, cls or last is wanted" in serve_fails(tiny(), "--pooling", "rank")


def test_no_room_for_vectors(serve, tiny):
    """All rows of many long texts: more than bodies may have together."""
    texts = [[1] * CTX] * 600
    with serve(tiny(pooling="none")) as s:
        status, _, got = s.post("/embedding", {"input": texts})
        assert status == 400 and "fewer texts" in got["error"]["message"]
        assert s.metric("paceline_http_body_bytes") == 0
        assert len(s.post("/embedding", {"input": texts[:2]})[2]) == 2
