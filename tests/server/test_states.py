"""A server of a model whose streams have states."""

import pytest

import tiny_models
from serving import Server


@pytest.fixture(scope="module")
def hybrid(build_dir, tmp_path_factory):
    path = tiny_models.write(str(tmp_path_factory.mktemp("hybrid") / "model.gguf"), arch="qwen35")
    server = Server(build_dir / "paceline", path, "--parallel", 100, "--ctx-size", 512)
    try:
        yield server.wait()
    finally:
        server.stop()


def test_memory_is_states_and_the_pages_of_attention(hybrid):
    memory = hybrid.request("GET", "/props")[2]["memory"]
    t = tiny_models
    pages = 100 * 512 * (t.N_LAYERS - t.N_MIXERS) * t.N_KV_HEADS * t.D_HEAD * 2 * 2
    assert memory["kv_bytes"] == pytest.approx(304 * t.STATE_BYTES + pages, rel=0.001)
    # the room of streams is taken when they come
    at_once = sum(memory[f"{part}_bytes"] for part in ("weights", "kv", "scratch"))
    assert hybrid.anonymous_bytes() == pytest.approx(at_once, rel=0.03)


def test_an_equal_prompt_goes_on_behind_its_last_full_page(hybrid):
    body = {"prompt": [1 + i % 200 for i in range(100)], "max_tokens": 60, "temperature": 0,
            "ignore_eos": True}
    first, again = (hybrid.post("/v1/completions", body)[2] for _ in range(2))
    assert first["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    assert again["usage"]["prompt_tokens_details"]["cached_tokens"] == 96
    assert again["choices"][0]["text"] == first["choices"][0]["text"]
