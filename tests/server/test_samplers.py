"""What clients ask of the samplers, through HTTP."""

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


@pytest.mark.parametrize("members,piece", [
    ({"stop_token_ids": [10 ** 6]}, "stop_token_ids names token 1000000; 0 to 49151 are wanted"),
    ({"stop_token_ids": list(range(65))}, "holds 65 tokens; at most 64"),
    ({"stop_token_ids": 5}, "an array of token ids is wanted"),
    ({"min_tokens": 25}, "min_tokens is 25; at most the 24 of max_tokens are wanted"),
])
def test_ends_that_are_refused(server, members, piece):
    error = refusal(server, **members)
    assert error["param"] == next(iter(members)) and piece in error["message"]
