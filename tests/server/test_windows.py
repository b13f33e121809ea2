"""Layers that look back 512 positions keep no more of them: Gemma 3, whose other layers see all."""

import concurrent.futures
import random

import pytest

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
N_LAYERS, N_WINDOW_LAYERS, WINDOW = 18, 15, 512
LAYER_BYTES = 2 * 256 * 2               # of a position: a key and a value of 256 halves


def prompt(seed, n_tokens):
    """So many ids, or one more: the same for the same seed as far as both go."""
    r = random.Random(seed)
    return [r.randrange(1000, 200000) for _ in range(n_tokens)]


def reply(server, tokens, **more):
    body = {"prompt": tokens, "max_tokens": 40, "temperature": 0, "logprobs": 3,
            "ignore_eos": True, **more}
    status, _, got = server.post(TEXT, body)
    assert status == 200, got
    choice, details = got["choices"][0], got["usage"]["prompt_tokens_details"]
    return choice["text"], choice["logprobs"], details["cached_tokens"]


@pytest.fixture(scope="module")
def windowed(start_server):
    with start_server("--parallel", 4, "--ctx-size", 4096, model="gemma3-270m") as s:
        memory = s.request("GET", "/props")[2]["memory"]
        assert memory["kv_bytes"] < 4 * 4096 * N_LAYERS * LAYER_BYTES / 2
        yield s


@pytest.fixture(scope="module")
def whole(start_server):
    """A pool too small for windows to be worth pages of their own: every layer keeps all."""
    with start_server("--parallel", 4, "--ctx-size", 4096, "--kv-tokens", 2400,
                      model="gemma3-270m") as s:
        assert s.request("GET", "/props")[2]["memory"]["kv_bytes"] >= \
            2400 * N_LAYERS * LAYER_BYTES
        yield s


LENGTHS = [100, 520, 1100, 1800]


@pytest.fixture(scope="module")
def wanted(whole):
    return {n: reply(whole, prompt(n, n))[:2] for n in LENGTHS}


def test_replies_are_those_of_a_model_that_keeps_all(windowed, wanted):
    """Alone, and all at once, in slots whose windows begin at different places."""
    for n in LENGTHS:
        assert reply(windowed, prompt(n, n), cache_prompt=False)[:2] == wanted[n]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda n: reply(windowed, prompt(n, n), cache_prompt=False), LENGTHS)
        for n, got in zip(LENGTHS, found):
            assert got[:2] == wanted[n]


def test_a_prefix_is_found_again(windowed, whole, wanted):
    """Where its end is in the window's pages: of a longer prompt, and of the prompt itself."""
    for n in LENGTHS[1:]:
        reply(windowed, prompt(n, n))
        text, logprobs, cached = reply(windowed, prompt(n, n))
        assert (text, logprobs) == wanted[n]
        assert cached == (n - 1) // 16 * 16
        longer = prompt(n, n) + prompt(7, 100)
        text, logprobs, cached = reply(windowed, longer)
        assert (text, logprobs) == reply(whole, longer)[:2]
        assert cached == n // 16 * 16


def test_choices_of_one_prompt(windowed, whole):
    """Forks take up the window of the prompt's end, or compute it again."""
    body = {"prompt": prompt(5, 900), "max_tokens": 60, "n": 3, "seed": 9, "temperature": 1,
            "ignore_eos": True}
    texts = [[c["text"] for c in s.post(TEXT, body)[2]["choices"]] for s in (windowed, whole)]
    assert texts[0] == texts[1] and len(set(texts[0])) == 3


def test_memory_is_what_windows_need(start_server):
    """20 streams of 8k: within 3 % of the positions that each layer sees, planned and resident."""
    needed = 20 * LAYER_BYTES * (N_WINDOW_LAYERS * WINDOW + (N_LAYERS - N_WINDOW_LAYERS) * 8192)
    with start_server("--parallel", 20, "--ctx-size", 8192, model="gemma3-270m") as s:
        memory = s.request("GET", "/props")[2]["memory"]
        assert needed <= memory["kv_bytes"] < 1.03 * needed
        assert abs(s.anonymous_bytes() / memory["total_bytes"] - 1) < 0.02
