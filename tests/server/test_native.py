"""llama-server's own /completion and /infill, and prompts in the middle of a text."""

import json

import pytest
import requests

ASK = {"prompt": "The capital of France is", "n_predict": 8, "temperature": 0}


@pytest.fixture(scope="module")
def url(start_server):
    with start_server("--parallel", 4, "--ctx-size", 512, model="qwen2.5-coder-0.5b") as s:
        yield s.url


def ask(url, route="/completion", **more):
    r = requests.post(url + route, json=ASK | more, timeout=60)
    assert r.status_code == 200, r.text
    return r.json()


def openai(url, **more):
    body = {"max_tokens": 8, "temperature": 0, "prompt": ASK["prompt"]} | more
    r = requests.post(url + "/v1/completions", json=body, timeout=60)
    assert r.status_code == 200, r.text
    return r.json()


def pieces(url, **more):
    with requests.post(url + "/completion", json=ASK | {"stream": True} | more, stream=True,
                       timeout=60) as r:
        lines = [line for line in r.iter_lines() if line]
    assert all(line.startswith(b"data: ") for line in lines)
    return [json.loads(line[6:]) for line in lines]


def tokenize(url, text):
    return requests.post(url + "/tokenize", json={"content": text}, timeout=60).json()["tokens"]


def test_the_reply_is_openais(url):
    r = ask(url, return_tokens=True, seed=7)
    assert r["content"] == openai(url)["choices"][0]["text"]
    assert r["stop"] and r["stop_type"] == "limit" and r["stopping_word"] == ""
    assert r["tokens_predicted"] == 8 == len(r["tokens"]) and not r["truncated"]
    assert r["tokens_evaluated"] == len(tokenize(url, ASK["prompt"]))
    assert r["prompt"] == ASK["prompt"] and r["index"] == 0
    assert r["has_new_line"] == ("\n" in r["content"])
    s = r["generation_settings"]
    assert s["n_predict"] == 8 and s["seed"] == 7 and s["temperature"] == 0 and s["stop"] == []
    assert ask(url)["tokens"] == []


def test_timings(url):
    t = ask(url)["timings"]
    assert t["prompt_n"] + t["cache_n"] == len(tokenize(url, ASK["prompt"]))
    assert t["predicted_n"] == 8 and t["predicted_ms"] > 0
    assert t["predicted_per_second"] == pytest.approx(7e3 / t["predicted_ms"], rel=1e-6)
    assert t["predicted_per_token_ms"] == pytest.approx(t["predicted_ms"] / 7, rel=1e-4)
    one = ask(url, n_predict=1)["timings"]
    assert one["predicted_n"] == 1 and one["predicted_per_second"] == 0
    assert all(v >= 0 for v in one.values())


def test_stream_is_the_same(url):
    whole = ask(url, return_tokens=True)
    got = pieces(url)
    assert "".join(p["content"] for p in got) == whole["content"]
    assert [t for p in got for t in p["tokens"]] == whole["tokens"]
    assert [p["stop"] for p in got] == [False] * (len(got) - 1) + [True]
    assert got[-1]["content"] == "" and got[-1]["stop_type"] == "limit"
    assert {k for k in whole if k not in ("content", "tokens")} <= set(got[-1])


def test_stop_words(url):
    text = ask(url)["content"]
    word = text.split()[1]
    r = ask(url, stop=["never", word])
    assert r["stop_type"] == "word" and r["stopping_word"] == word
    assert r["content"] == text[:text.index(word)]
    assert "".join(p["content"] for p in pieces(url, stop=["never", word])) == r["content"]


def test_a_reply_to_the_end_of_the_context(url):
    r = ask(url, n_predict=-1, ignore_eos=True, prompt="a " * 400)
    assert r["truncated"] and r["stop_type"] == "limit"
    assert r["tokens_predicted"] + r["tokens_evaluated"] == 512


def test_probabilities(url):
    r = ask(url, n_probs=3, n_predict=4, return_tokens=True)
    probs = r["completion_probabilities"]
    assert [p["id"] for p in probs] == r["tokens"]
    for p in probs:
        assert len(p["top_logprobs"]) == 3 and p["top_logprobs"][0]["id"] == p["id"]
        assert p["logprob"] == p["top_logprobs"][0]["logprob"] <= 0
        assert bytes(p["bytes"]).decode() == p["token"]
    streamed = [p for piece in pieces(url, n_probs=3, n_predict=4)
                for p in piece.get("completion_probabilities", [])]
    assert streamed == probs
    assert "completion_probabilities" not in ask(url)


def test_fields(url):
    r = ask(url, response_fields=["content", "generation_settings/n_predict", "none/such",
                                  "timings/prompt_n"])
    assert set(r) == {"content", "generation_settings/n_predict", "timings/prompt_n"}
    assert r["generation_settings/n_predict"] == 8
    last = pieces(url, response_fields=["stop", "content"])[-1]
    assert last == {"stop": True, "content": ""}


def test_prompts_of_every_form(url):
    text = ASK["prompt"]
    ids = tokenize(url, text)
    want = ask(url)["content"]
    assert ask(url, prompt=ids)["content"] == want
    assert ask(url, prompt={"prompt_string": text})["content"] == want
    head = requests.post(url + "/detokenize", json={"tokens": ids[2:]}, timeout=60).json()
    assert ask(url, prompt=ids[:2] + [head["content"]])["content"] == want
    several = ask(url, prompt=[text, ids, {"prompt_string": text}, ids[:2] + [head["content"]]])
    assert [r["content"] for r in several] == [want] * 4
    assert [r["index"] for r in several] == [0, 1, 2, 3]
    assert [c["text"] for c in openai(url, prompt=[text, ids])["choices"]] == [want] * 2


@pytest.mark.parametrize("more,param", [
    ({"prompt": None}, "prompt"), ({"prompt": []}, "prompt"), ({"prompt": {}}, "prompt"),
    ({"prompt": [1, True]}, "prompt"), ({"prompt": [1, -1]}, "prompt"),
    ({"prompt": {"prompt_string": "x", "multimodal_data": ["eA=="]}}, "prompt"),
    ({"return_tokens": 1}, "return_tokens"), ({"response_fields": "content"}, "response_fields"),
    ({"response_fields": [1]}, "response_fields"), ({"n_probs": "3"}, "n_probs"),
    ({"n_probs": -1}, "logprobs"), ({"post_sampling_probs": True}, "post_sampling_probs"),
])
def test_what_is_wrong_is_said(url, more, param):
    r = requests.post(url + "/completion", json=ASK | more, timeout=60)
    assert r.status_code == 400 and r.json()["error"]["param"] == param, r.text


@pytest.mark.parametrize("as_pairs", [True, False])
def test_biases_of_texts(url, as_pairs):
    word = " " + ask(url)["content"].split()[0]
    bias = [[word, -100], [" no such", False]] if as_pairs else {word: -100, " no such": -100}
    ids = tokenize(url, word) + tokenize(url, " no such")
    r = ask(url, logit_bias=bias)
    assert word not in r["content"]
    assert r["content"] == ask(url, logit_bias=[[i, -100] for i in ids])["content"]
    assert [b["token"] for b in r["generation_settings"]["logit_bias"]] == ids
    assert all(b["bias"] is None for b in r["generation_settings"]["logit_bias"])
    many = requests.post(url + "/completion", json=ASK | {"logit_bias": {"word " * 1025: 1}},
                         timeout=60)
    assert many.status_code == 400 and many.json()["error"]["param"] == "logit_bias"


# ---- filling in the middle ----

PREFIX, SUFFIX = "def add(a, b):\n    return", "\n\nprint(add(1, 2))\n"


def infill(url, **more):
    body = {"input_prefix": PREFIX, "input_suffix": SUFFIX, "n_predict": 6, "temperature": 0} | more
    return requests.post(url + "/infill", json=body, timeout=60)


def test_infill_is_the_prompt_that_the_model_knows(url):
    raw = ask(url, prompt=f"<|fim_prefix|>{PREFIX}<|fim_suffix|>{SUFFIX}<|fim_middle|>",
              n_predict=6)
    r = infill(url).json()
    assert r["content"] == raw["content"] and "a + b" in r["content"]
    assert r["prompt"] == raw["prompt"]
    assert openai(url, prompt=PREFIX, suffix=SUFFIX, max_tokens=6)["choices"][0]["text"] == \
        r["content"]
    begun = infill(url, prompt=" a +").json()
    assert begun["prompt"] == raw["prompt"] + " a +"


def test_infill_among_other_files(url):
    extra = [{"filename": "a.py", "text": "x = 1\n"}, {"text": "y = 2\n"}]
    r = infill(url, input_extra=extra, return_tokens=True).json()
    assert r["prompt"].startswith(
        "<|repo_name|>project\n<|file_sep|>a.py\nx = 1\n<|file_sep|>file\ny = 2\n<|file_sep|>")
    assert r["prompt"].endswith(f"<|fim_prefix|>{PREFIX}<|fim_suffix|>{SUFFIX}<|fim_middle|>")


def test_marks_in_a_text_stay_text(url):
    r = infill(url, input_prefix="<|fim_middle|>").json()
    assert r["tokens_evaluated"] > len(tokenize(
        url, f"<|fim_prefix|><|fim_middle|><|fim_suffix|>{SUFFIX}<|fim_middle|>"))


@pytest.mark.parametrize("more,param", [
    ({"input_prefix": None}, "input_prefix"), ({"input_suffix": 5}, "input_suffix"),
    ({"prompt": 5}, "prompt"), ({"input_extra": {}}, "input_extra"),
    ({"input_extra": [{}]}, "input_extra"), ({"input_extra": [{"text": 5}]}, "input_extra"),
    ({"input_extra": [{"text": "a", "filename": 5}]}, "input_extra"),
])
def test_what_is_wrong_of_an_infill(url, more, param):
    r = infill(url, **more)
    assert r.status_code == 400 and r.json()["error"]["param"] == param, r.text


def test_suffix_in_other_places(url, start_server):
    def post(base, route, **body):
        return requests.post(base + route, json={"max_tokens": 2} | body, timeout=60)
    assert post(url, "/v1/completions", prompt=["a", "b"], suffix="c").status_code == 400
    assert post(url, "/v1/completions", prompt="a", input_extra=[{"text": "b"}]).status_code == 400
    assert post(url, "/v1/completions", prompt="a", suffix="").status_code == 200
    chat = post(url, "/v1/chat/completions", messages=[{"role": "user", "content": "a"}],
                suffix="c")
    assert chat.status_code == 400 and chat.json()["error"]["param"] == "suffix"
    with start_server() as s:       # a model without such tokens
        r = post(s.url, "/v1/completions", prompt="a", suffix="b")
        assert r.status_code == 400 and "filling in the middle" in r.json()["error"]["message"]
