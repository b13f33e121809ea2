"""Anthropic's /v1/messages with its own client, and with bodies that are wrong."""

import json

import anthropic
import jsonschema
import pytest
import requests

WEATHER = {"name": "get_weather", "description": "The weather of a city", "input_schema": {
    "type": "object", "properties": {"city": {"type": "string", "maxLength": 20}},
    "required": ["city"], "additionalProperties": False}}
USER = {"role": "user", "content": "What is the weather in Paris?"}
THOUGHTS = {"regex": "<think>I see[.]</think>Yes[.]"}


@pytest.fixture(scope="module")
def url(start_server):
    with start_server("--parallel", 4, "--ctx-size", 2048, model="qwen2.5-coder-0.5b") as s:
        yield s.url


@pytest.fixture(scope="module")
def client(url):
    return anthropic.Anthropic(base_url=url, api_key="none", max_retries=0)


def arguments(extra_body=None, **more):
    """Newer clients know no temperature, servers do."""
    return {"model": "claude", "max_tokens": 12, "messages": [USER],
            "extra_body": {"temperature": 0} | (extra_body or {})} | more


def ask(client, **more):
    return client.messages.create(**arguments(**more))


def openai(url, **more):
    body = {"max_tokens": 12, "temperature": 0, "messages": [USER]} | more
    return requests.post(url + "/v1/chat/completions", json=body, timeout=60).json()


def test_the_reply_is_openais(client, url):
    m, o = ask(client), openai(url)
    assert m.type == "message" and m.role == "assistant" and m.id.startswith("msg_")
    assert [b.text for b in m.content] == [o["choices"][0]["message"]["content"]]
    assert m.stop_reason == "max_tokens" and m.stop_sequence is None
    u = m.usage
    assert u.input_tokens + u.cache_read_input_tokens == o["usage"]["prompt_tokens"]
    assert u.output_tokens == 12


def test_system_and_blocks_reach_the_template(client, url):
    blocks = [{"type": "text", "text": "The"}, {"type": "text", "text": "weather?"}]
    count = client.messages.count_tokens(model="x", system="Be kind.", messages=[
        {"role": "user", "content": blocks}])
    same = client.messages.count_tokens(model="x", messages=[
        {"role": "user", "content": blocks}], system=[
            {"type": "text", "text": "x-anthropic-billing-header: cch=1f;"},
            {"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}])
    wanted = openai(url, messages=[{"role": "system", "content": "Be kind."},
                                   {"role": "user", "content": "The\nweather?"}])
    assert count.input_tokens == same.input_tokens == wanted["usage"]["prompt_tokens"]


def test_stop_sequence(client):
    text = ask(client).content[0].text
    word = text.split()[2]
    m = ask(client, stop_sequences=["never said", word])
    assert m.stop_reason == "stop_sequence" and m.stop_sequence == word
    assert m.content[0].text == text[:text.index(word)]


def test_stream_is_the_same(client):
    whole = ask(client, max_tokens=40)
    with client.messages.stream(**arguments(max_tokens=40)) as stream:
        kinds = [e.type for e in stream]
        m = stream.get_final_message()
    assert kinds[0] == "message_start" and kinds[-1] == "message_stop"
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") == 1
    assert [b.text for b in m.content] == [b.text for b in whole.content]
    assert m.stop_reason == whole.stop_reason
    assert m.usage.output_tokens == whole.usage.output_tokens


def test_tools_there_and_back(client):
    m = ask(client, max_tokens=100, tools=[WEATHER], tool_choice={"type": "any"})
    assert m.stop_reason == "tool_use" and [b.type for b in m.content] == ["tool_use"]
    call = m.content[0]
    assert call.name == "get_weather"
    jsonschema.validate(call.input, WEATHER["input_schema"])
    after = ask(client, max_tokens=20, tools=[WEATHER], messages=[
        USER, {"role": "assistant", "content": [b.model_dump() for b in m.content]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": call.id, "content": "Sunny, 25 degrees"},
            {"type": "text", "text": "Well?"}]}])
    assert after.content[0].type == "text"


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "get_weather"}])
def test_tools_in_a_stream(client, choice):
    more = {"tools": [WEATHER], "tool_choice": choice | {"disable_parallel_tool_use": True}}
    whole = ask(client, max_tokens=100, **more)
    with client.messages.stream(**arguments(max_tokens=100, **more)) as stream:
        m = stream.get_final_message()
    assert [(b.name, b.input) for b in m.content] == [(b.name, b.input) for b in whole.content]
    assert len(m.content) == 1 and m.stop_reason == "tool_use"


def test_calls_in_the_history_are_openais(client, url):
    history = [USER, {"role": "assistant", "content": [
        {"type": "thinking", "thinking": "Hm.", "signature": ""},
        {"type": "redacted_thinking", "data": "eA=="}, {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "abcdefgh1", "name": "get_weather",
         "input": {"city": "Paris"}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "abcdefgh1",
                                      "content": [{"type": "text", "text": "Sunny"}]}]}]
    call = {"id": "abcdefgh1", "type": "function",
            "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}
    tool = {"type": "function", "function": {
        "name": "get_weather", "description": WEATHER["description"],
        "parameters": WEATHER["input_schema"]}}
    wanted = openai(url, tools=[tool], messages=[
        USER, {"role": "assistant", "content": "I look.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "abcdefgh1", "content": "Sunny"}])
    count = client.messages.count_tokens(model="x", messages=history, tools=[WEATHER])
    assert count.input_tokens == wanted["usage"]["prompt_tokens"]


def test_thoughts_are_a_block(client):
    m = ask(client, max_tokens=60, extra_body=THOUGHTS)
    assert [b.type for b in m.content] == ["thinking", "text"]
    assert m.content[0].thinking == "I see." and m.content[1].text == "Yes."
    assert m.stop_reason == "end_turn"
    with client.messages.stream(**arguments(THOUGHTS, max_tokens=60)) as stream:
        starts = [e for e in stream if e.type == "content_block_start"]
        streamed = stream.get_final_message()
    assert [e.index for e in starts] == [0, 1]
    assert [(b.type, getattr(b, "thinking", None) or b.text) for b in streamed.content] == [
        ("thinking", "I see."), ("text", "Yes.")]


def test_a_schema(client):
    schema = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 99}},
              "required": ["n"], "additionalProperties": False}
    m = ask(client, max_tokens=60, extra_body={
        "output_config": {"format": {"type": "json_schema", "schema": schema}}})
    jsonschema.validate(json.loads(m.content[0].text), schema)


def test_errors_are_anthropics(client):
    with pytest.raises(anthropic.BadRequestError) as e:
        ask(client, messages=[{"role": "user", "content": "word " * 3000}])
    assert e.value.body["type"] == "error"
    assert e.value.body["error"]["type"] == "invalid_request_error"
    assert e.value.body["error"]["message"].startswith("prompt is too long: ")
    with pytest.raises(anthropic.BadRequestError, match="image input is not supported"):
        ask(client, messages=[{"role": "user", "content": [
            {"type": "image", "source": {"type": "base64", "media_type": "image/png",
                                         "data": "eA=="}}]}])


@pytest.mark.parametrize("more,words", [
    ({"messages": None}, "messages is missing"),
    ({"messages": []}, "messages is empty"),
    ({"messages": "hi"}, "messages is a string"),
    ({"messages": [5]}, "messages[0].role"),
    ({"messages": [{"role": "tool", "content": "x"}]}, 'role is "tool"'),
    ({"messages": [{"role": "user"}]}, "content is missing"),
    ({"messages": [{"role": "user", "content": 5}]}, "content is an integer"),
    ({"messages": [{"role": "user", "content": [5]}]}, "a content block of type"),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "type \"text\""),
    ({"messages": [{"role": "user", "content": [{"type": "tool_use", "id": "a", "name": "b",
                                                 "input": {}}]}]}, "type \"tool_use\""),
    ({"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "a",
                                                      "name": "b"}]}]}, "a tool_use block"),
    ({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, "tool_use_id"),
    ({"system": 5}, "system is an integer"),
    ({"system": [{"type": "image"}]}, "system: image input"),
    ({"tools": {}}, "tools is an object"),
    ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "web_search_20250305"),
    ({"tools": [{"name": "b c", "input_schema": {}}]}, "tools[0].function.name"),
    ({"tools": [WEATHER], "tool_choice": "auto"}, "tool_choice.type"),
    ({"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "other"}}, '"other"'),
    ({"thinking": {"type": "much"}}, 'thinking.type is "much"'),
    ({"output_format": {"type": "xml"}}, "output_format"),
    ({"output_config": {"effort": 5}}, "output_config.effort"),
    ({"stop_sequences": 5}, "stop is an integer"),
    ({"max_tokens": 0}, "max_tokens is 0"),
    ({"prompt_embeds": "x"}, "prompt_embeds is not supported"),
])
def test_what_is_wrong_is_said(url, more, words):
    body = {"model": "x", "max_tokens": 5, "messages": [USER]} | more
    body = {k: v for k, v in body.items() if v is not None}
    r = requests.post(url + "/v1/messages", json=body, timeout=60)
    assert r.status_code == 400 and words in r.json()["error"]["message"], r.text
    assert r.json()["error"]["type"] == "invalid_request_error"


def test_other_methods_and_keys(start_server):
    with start_server("--api-key", "right") as s:
        client = anthropic.Anthropic(base_url=s.url, api_key="wrong", max_retries=0)
        with pytest.raises(anthropic.AuthenticationError) as e:
            ask(client)
        assert e.value.body["error"]["type"] == "authentication_error"
        ask(anthropic.Anthropic(base_url=s.url, api_key="right", max_retries=0))


def test_a_client_that_leaves_frees_its_slot(client, url):
    with client.messages.stream(**arguments({"ignore_eos": True}, max_tokens=1500)) as stream:
        next(iter(stream))
    for _ in range(600):
        if not any(s["is_processing"] for s in requests.get(url + "/slots", timeout=60).json()):
            return
    pytest.fail("the stream goes on")
