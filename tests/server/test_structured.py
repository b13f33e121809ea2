"""Replies that keep to a form: by response_format, by a schema and by the grammars of other
servers."""

import concurrent.futures
import json
import re

import jsonschema
import openai
import pydantic
import pytest

from schemas import SCHEMAS


@pytest.fixture(scope="module")
def client(server):
    return openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)


def ask(client, question="Tell me about a person.", max_tokens=120, **more):
    return client.chat.completions.create(
        model="", messages=[{"role": "user", "content": question}], max_tokens=max_tokens,
        **{"temperature": 1, "seed": 3} | more)


def schema_format(schema, **more):
    return {"type": "json_schema", "json_schema": {"name": "it", "schema": schema, **more}}


def test_json_object(client):
    choice = ask(client, response_format={"type": "json_object"}, temperature=0).choices[0]
    text = choice.message.content
    if choice.finish_reason == "stop":
        assert isinstance(json.loads(text), dict)
    assert text.startswith("{")


def valid_reply(client, name, seed):
    schema = SCHEMAS[name]
    choice = ask(client, f"Say something about {name}.", 160, seed=seed,
                 response_format=schema_format(schema, strict=True)).choices[0]
    if choice.finish_reason == "stop":
        jsonschema.validate(json.loads(choice.message.content), schema,
                            format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
    return choice.finish_reason == "stop"


def test_what_is_finished_is_valid(client):
    asks = [(name, seed) for name in SCHEMAS for seed in range(3)]
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        finished = list(pool.map(lambda a: valid_reply(client, *a), asks))
    assert sum(finished) > 0.6 * len(asks), f"{sum(finished)} of {len(asks)}"


def test_parse(client):
    class Place(pydantic.BaseModel):
        city: str
        population: int
        is_capital: bool

    c = client.chat.completions.parse(
        model="", messages=[{"role": "user", "content": "A city."}], max_tokens=100,
        temperature=0, response_format=Place).choices[0]
    assert c.finish_reason == "stop" and isinstance(c.message.parsed, Place)


def test_stream_is_the_same(client):
    form = schema_format(SCHEMAS["person"])
    whole = ask(client, response_format=form, logprobs=True, top_logprobs=2).choices[0]
    parts = [c.choices[0] for c in ask(client, response_format=form, stream=True)]
    assert "".join(p.delta.content or "" for p in parts) == whole.message.content
    assert parts[-1].finish_reason == whole.finish_reason
    assert all(t.logprob <= 0 for t in whole.logprobs.content)
    assert json.loads(whole.message.content)["name"] is not None


def test_twenty_at_once_each_equal_to_its_solo_reply(client):
    names = list(SCHEMAS)[:20]

    def reply(name):
        return ask(client, max_tokens=60, response_format=schema_format(SCHEMAS[name]),
                   logprobs=True).choices[0].model_dump_json()

    solo = [reply(name) for name in names]
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        assert list(pool.map(reply, names)) == solo


@pytest.mark.parametrize("member, value, pattern", [
    ("grammar", 'root ::= "yes" | "no" [!]{2}', "yes|no!!"),
    ("grammar", "%llguidance {}\nstart: /[ab]{3}/", "[ab]{3}"),
    ("json_schema", {"type": "integer", "minimum": 10, "maximum": 12}, "1[012]"),
    ("guided_json", '{"const": [1, 2]}', r"\[\s*1\s*,\s*2\s*\]"),
    ("guided_regex", r"\d{3}-\d{4}", r"\d{3}-\d{4}"),
    ("guided_choice", ["red", 'a "blue"'], 'red|a "blue"'),
    ("guided_grammar", 'root ::= [xyz] "."', r"[xyz]\."),
    ("structured_outputs", {"regex": "[a-c]+d"}, "[a-c]+d"),
    ("structured_outputs", {"choice": ["one", "two"]}, "one|two"),
])
def test_other_servers_names(server, member, value, pattern):
    for path, prompt in (("/v1/chat/completions", {"messages": [{"role": "user",
                                                                 "content": "Hi"}]}),
                         ("/v1/completions", {"prompt": "Hi"})):
        status, _, reply = server.post(path, {**prompt, "max_tokens": 60, "seed": 1,
                                              member: value})
        choice = reply["choices"][0]
        text = choice["message"]["content"] if "message" in choice else choice["text"]
        assert status == 200 and choice["finish_reason"] == "stop"
        assert re.fullmatch(pattern, text), text


@pytest.mark.parametrize("member, value, word", [
    ("response_format", schema_format({"type": "array", "uniqueItems": True}), "uniqueItems"),
    ("response_format", schema_format({"type": "number", "not": {"multipleOf": 2}}, strict=False),
     "multipleOf"),
    ("response_format", schema_format({"type": "strange"}), "strange"),
    ("json_schema", {"allOf": [{"type": "null"}, {"type": "integer"}]}, "Unsatisfiable"),
    ("json_schema", {"$ref": "https://example.com/x.json"}, "example.com"),
    ("grammar", "root ::= other", "other"),
    ("grammar", 'root ::= "a', "line 1"),
    ("guided_regex", "(?<=a)b", "regex"),
    ("structured_outputs", {"grammar": "start: nothing"}, "nothing"),
])
def test_what_cannot_be_honoured_is_named(server, member, value, word):
    status, _, reply = server.post("/v1/completions", {"prompt": "Hi", member: value})
    error = reply["error"]
    assert status == 400 and error["param"] == member and error["code"] == "invalid_grammar"
    assert word in error["message"]


def test_penalties_and_bias_go_on(server):
    ids = server.post("/tokenize", {"content": "1"})[2]["tokens"]
    ask = {"prompt": "Digits:", "guided_regex": "[0-9]{12}", "max_tokens": 30, "temperature": 0}
    text = server.post("/v1/completions", {**ask, "logit_bias": {str(ids[0]): -100}})[2]
    assert "1" not in text["choices"][0]["text"] and len(text["choices"][0]["text"]) == 12
    other = server.post("/v1/completions", {**ask, "frequency_penalty": 2})[2]["choices"][0]
    assert len(set(other["text"])) > 5


def test_stop_strings_and_n(client):
    choices = ask(client, n=3, extra_body={"guided_regex": "[a-z]{5};[a-z]{5}"}, stop=";").choices
    assert all(re.fullmatch("[a-z]{5}", c.message.content) for c in choices)
    assert all(c.finish_reason == "stop" for c in choices)


def test_some_tokens_alone(server):
    ids = server.post("/tokenize", {"content": "yes no"})[2]["tokens"]
    reply = server.post("/completion", {"prompt": "Hi", "n_predict": 12, "return_tokens": True,
                                        "seed": 1, "allowed_token_ids": ids})[2]
    assert reply["tokens"] and set(reply["tokens"]) <= set(ids)


def test_unwanted_words_do_not_occur(server):
    """Whatever the tokens are that spell them; replies without them are as they would have been."""
    ask = {"prompt": "The capital of France is", "max_tokens": 24, "temperature": 0}
    free = server.post("/v1/completions", ask)[2]["choices"][0]["text"]
    word = max(re.findall("[a-z]{3,}", free), key=len)
    held = server.post("/v1/completions", {**ask, "bad_words": [word[1:], '"']})[2]["choices"][0]
    assert word[1:] not in held["text"] and '"' not in held["text"] and len(held["text"]) > 10
    same = server.post("/v1/completions", {**ask, "bad_words": ["\u00e9\u00e9\u00e9"]})[2]
    assert same["choices"][0]["text"] == free


@pytest.mark.parametrize("more, word", [
    ({"bad_words": [""]}, "bad_words[0]"), ({"bad_words": "x"}, "bad_words"),
    ({"allowed_token_ids": ["a"]}, "allowed_token_ids[0]"),
    ({"allowed_token_ids": [10**8]}, "too large"),
    ({"bad_words": ["x"], "guided_regex": "a"}, "bad_words"),
])
def test_of_tokens_and_words_what_is_wrong_is_named(server, more, word):
    status, _, reply = server.post("/v1/completions", {"prompt": "Hi", **more})
    assert status == 400 and word in reply["error"]["message"]
