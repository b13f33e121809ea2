"""What clients ask of the samplers, through HTTP."""

import concurrent.futures
import re

import pytest

PROMPT = "The old lighthouse keeper opened the door and"
ASK = {"prompt": PROMPT, "max_tokens": 24, "seed": 7, "temperature": 1, "top_k": 0, "top_p": 1,
       "min_p": 0}


def ask(server, **members):
    status, _, reply = server.post("/v1/completions", {**ASK, **members})
    assert status == 200, reply
    return reply["choices"][0]


def tokens_of(server, text):
    return server.post("/tokenize", {"content": text})[2]["tokens"]


def refusal(server, **members):
    status, _, reply = server.post("/v1/completions", {**ASK, **members})
    assert status == 400, reply
    return reply["error"]


# ---- where a reply ends --------------------------------------------------------------------------

def test_a_stop_token_ends_the_reply(server):
    whole = ask(server, ignore_eos=True)
    assert whole["finish_reason"] == "length"
    ids = tokens_of(server, whole["text"])
    cut = ask(server, ignore_eos=True, stop_token_ids=[ids[9]])
    assert cut["finish_reason"] == "stop"
    assert whole["text"].startswith(cut["text"]) and len(cut["text"]) < len(whole["text"])
    assert ids[9] not in tokens_of(server, cut["text"])


def test_a_reply_of_min_tokens(server):
    end = tokens_of(server, "<|im_end|>")
    assert len(end) == 1
    wanted = {"logit_bias": {str(end[0]): 50}}
    for n in (0, 1, 5, 24):
        status, _, reply = server.post("/v1/completions", {**ASK, **wanted, "min_tokens": n})
        assert status == 200
        assert reply["usage"]["completion_tokens"] == n
        assert reply["choices"][0]["finish_reason"] == ("length" if n == 24 else "stop")


def test_a_prompt_that_is_only_read_has_no_end(server):
    status, _, reply = server.post("/v1/completions", {"prompt": PROMPT, "n_predict": 0,
                                                       "min_tokens": 5, "stop_token_ids": [7]})
    assert status == 200 and reply["choices"][0]["text"] == ""


@pytest.mark.parametrize("members,piece", [
    ({"stop_token_ids": [10 ** 6]}, "stop_token_ids names token 1000000; 0 to 49151 are wanted"),
    ({"stop_token_ids": list(range(65))}, "holds 65 tokens; at most 64"),
    ({"stop_token_ids": 5}, "an array of token ids is wanted"),
    ({"min_tokens": 25}, "min_tokens is 25; at most the 24 of max_tokens are wanted"),
])
def test_ends_that_are_refused(server, members, piece):
    error = refusal(server, **members)
    assert error["param"] == next(iter(members)) and piece in error["message"]


# ---- samplers ------------------------------------------------------------------------------------

SETTINGS = [
    {"dry_multiplier": 2, "dry_allowed_length": 0}, {"xtc_probability": 1, "xtc_threshold": 0.02},
    {"mirostat": 1, "mirostat_tau": 2}, {"mirostat_mode": 2, "mirostat_eta": 0.5},
    {"dynatemp_range": 0.9, "dynatemp_exponent": 2}, {"top_n_sigma": 0.5}, {"nsigma": 0.5},
    {"top_p": 0.1, "min_keep": 20}, {"samplers": ["temperature", "top_p"], "top_p": 0.6,
                                     "temperature": 1.6},
    {"samplers": "tp", "top_p": 0.6, "temperature": 1.6},
    {"samplers": "k", "top_k": 3, "temperature": 0.1},
    {"dry_multiplier": 1, "dry_sequence_breakers": ["the", "\n"], "xtc_probability": 0.5,
     "top_k": 30, "repeat_penalty": 1.1, "top_n_sigma": 2},
]


@pytest.fixture(scope="module")
def alone(server):
    return [ask(server, **s)["text"] for s in SETTINGS]


def test_each_makes_a_difference(server, alone):
    assert len({*alone, ask(server)["text"]}) == len(SETTINGS) - 2 + 1
    assert alone[5] == alone[6] and alone[8] == alone[9]


def test_replies_among_others(server, alone):
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        for _ in range(2):
            assert list(pool.map(lambda s: ask(server, **s)["text"], SETTINGS)) == alone


def test_steps_of_another_size(start_server, alone):
    with start_server("--parallel", 3, "--ctx-size", 256, "--ubatch-size", 4, "--prefill-tokens", 3,
                      "--queue-requests", 50) as s:
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            assert list(pool.map(lambda x: ask(s, **x)["text"], SETTINGS)) == alone


def test_the_default_order_says_nothing(server):
    filters = {"top_k": 50, "top_p": 0.9, "min_p": 0.02, "repeat_penalty": 1.2, "temperature": 1.2}
    plain = ask(server, **filters)["text"]
    for order in (["penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc",
                   "temperature"], "edskypmxt", "xdekspymt", "ekpmt", []):
        assert ask(server, **filters, samplers=order)["text"] == plain
    assert ask(server, **filters, samplers="kpmt")["text"] != plain     # no penalties


def test_what_is_left_out_of_the_order_is_off(server):
    both = {"top_k": 3, "temperature": 1.5}
    assert ask(server, **both, samplers="t")["text"] == ask(server, temperature=1.5)["text"]
    assert ask(server, **both, samplers="k")["text"] == ask(server, top_k=3)["text"]


def test_temperature_0_with_what_moves_the_best(server):
    greedy = ask(server, temperature=0)["text"]
    assert ask(server, temperature=0, mirostat=2, top_n_sigma=1, min_keep=5)["text"] == greedy
    assert ask(server, temperature=0, xtc_probability=1, xtc_threshold=0.05)["text"] != greedy


def test_dry_stops_a_repetition(server):
    count = {"prompt": "One, two, three, four, one, two, three, four, one, two,", "temperature": 0}
    assert " three, four, one, two, three" in ask(server, **count)["text"]
    assert " three, four, one, two, three" not in ask(server, **count, dry_multiplier=4)["text"]
    broken = ask(server, **count, dry_multiplier=4, dry_sequence_breakers=[","])["text"]
    assert " three, four, one, two, three" in broken


def test_under_a_form(server):
    for s in SETTINGS:
        assert re.fullmatch("[a-f]{5}", ask(server, **s, regex="[a-f]{5}")["text"])


def defaults(server):
    props = server.request("GET", "/props")[2]
    return props["default_generation_settings"]["params"]


def test_props_have_the_defaults(server):
    params = defaults(server)
    assert params["dry_base"] == 1.75 and params["dry_sequence_breakers"] == ["\n", ":", '"', "*"]
    assert params["samplers"] == ["penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p",
                                  "min_p", "xtc", "temperature"]
    assert (params["dry_penalty_last_n"], params["top_n_sigma"], params["mirostat"]) == (-1, -1, 0)


def test_defaults_of_the_command_line(start_server, server):
    given = {"dry_multiplier": 2, "dry_sequence_breakers": ["\n"], "xtc_probability": 0.5,
             "samplers": "kxtd", "top_k": 30}
    with start_server("--parallel", 2, "--ctx-size", 256, "--dry-multiplier", 2, "--sampler-seq",
                      "kxtd", "--dry-sequence-breaker", "\\n", "--xtc-probability", 0.5) as s:
        params = defaults(s)
        assert params["samplers"] == ["top_k", "xtc", "temperature", "dry"]
        assert params["dry_sequence_breakers"] == ["\n"]
        assert ask(s, top_k=30)["text"] == ask(server, **given)["text"]
        assert ask(s, dry_multiplier=0, xtc_probability=0, samplers="t")["text"] == \
            ask(server)["text"]


@pytest.mark.parametrize("members,piece", [
    ({"samplers": ["top_k", "nucleus"]}, '"nucleus" is no sampler; penalties, dry, '),
    ({"samplers": "kk2"}, '"2" is no sampler'), ({"samplers": "ktk"}, "top_k stands in the order"),
    ({"samplers": {"k": 1}}, "an array of names or a string of letters is wanted"),
    ({"xtc_probability": 2}, "xtc_probability is 2; a number from 0 to 1 is wanted"),
    ({"mirostat": 3}, "mirostat is 3; 0 to 2 is wanted"),
    ({"dry_sequence_breakers": "x"}, "is a string; an array of strings is wanted"),
    ({"dry_base": 0.5, "dry_multiplier": 1}, "dry_base is 0.5; a number from 1 to 100 is wanted"),
])
def test_samplers_that_are_refused(server, members, piece):
    error = refusal(server, **members)
    assert error["param"] == next(iter(members)) and piece in error["message"]
