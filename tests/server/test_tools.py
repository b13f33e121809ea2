"""Tool calls with the real openai client: forced, wished for, streamed, and what is refused."""

import json

import jsonschema
import openai
import pydantic
import pytest


def function(name, description, strict=None, **parameters):
    f = {"name": name, "description": description,
         "parameters": {"type": "object", "properties": parameters,
                        "required": list(parameters), "additionalProperties": False}}
    return {"type": "function", "function": f | ({} if strict is None else {"strict": strict})}


TOOLS = [
    function("get_weather", "The weather of a city", city={"type": "string", "maxLength": 20},
             unit={"enum": ["C", "F"]}),
    function("add", "The sum of two numbers", a={"type": "integer", "maximum": 999},
             b={"type": "integer", "maximum": 999}),
]
PARAMETERS = {t["function"]["name"]: t["function"]["parameters"] for t in TOOLS}
ASK = {"model": "", "max_tokens": 200, "temperature": 0, "tools": TOOLS, "messages": [
    {"role": "user", "content": "What is the weather in Paris? Call a function."}]}


@pytest.fixture(scope="module", params=["smollm2-135m", "qwen2.5-coder-0.5b"])
def client(request, start_server):
    """One model whose template knows no tools and one that has a syntax of its own."""
    with start_server("--parallel", 4, "--ctx-size", 2048, model=request.param) as s:
        c = openai.OpenAI(base_url=s.url + "/v1", api_key="none", max_retries=0)
        c.name, c.server = request.param, s
        yield c


def check(calls, names=tuple(PARAMETERS)):
    assert calls and len({c.id for c in calls}) == len(calls)
    for c in calls:
        assert c.type == "function" and c.function.name in names
        jsonschema.validate(json.loads(c.function.arguments), PARAMETERS[c.function.name])


@pytest.mark.parametrize("seed", range(4))
def test_required(client, seed):
    c = client.chat.completions.create(
        **ASK | {"temperature": 1, "seed": seed}, tool_choice="required",
        parallel_tool_calls=False).choices[0]
    assert c.finish_reason == "tool_calls" and c.message.content is None
    assert len(c.message.tool_calls) == 1
    check(c.message.tool_calls)


def test_named(client):
    c = client.chat.completions.create(
        **ASK, tool_choice={"type": "function", "function": {"name": "add"}}).choices[0]
    assert c.finish_reason == "tool_calls"
    check(c.message.tool_calls, ["add"])


def collect(stream):
    calls, content, finish = {}, "", None
    for chunk in stream:
        for choice in chunk.choices:
            content += choice.delta.content or ""
            finish = choice.finish_reason or finish
            for d in choice.delta.tool_calls or []:
                call = calls.setdefault(d.index, {"name": "", "arguments": "", "id": None})
                call["id"] = call["id"] or d.id
                call["name"] += d.function.name or ""
                call["arguments"] += d.function.arguments or ""
    return list(calls.values()), content, finish


@pytest.mark.parametrize("choice", ["required", "auto"])
def test_stream_is_the_same(client, choice):
    whole = client.chat.completions.create(**ASK, tool_choice=choice).choices[0]
    calls, content, finish = collect(client.chat.completions.create(
        **ASK, tool_choice=choice, stream=True))
    assert finish == whole.finish_reason and content == (whole.message.content or "")
    assert [(c["name"], c["arguments"]) for c in calls] == \
        [(c.function.name, c.function.arguments) for c in whole.message.tool_calls or []]
    assert all(c["id"] for c in calls)


def test_auto_calls_where_the_model_does(client):
    if client.name != "qwen2.5-coder-0.5b":
        pytest.skip("too small to call by itself")
    c = client.chat.completions.create(**ASK).choices[0]
    assert c.finish_reason == "tool_calls"
    assert [f.function.name for f in c.message.tool_calls] == ["get_weather"]
    assert json.loads(c.message.tool_calls[0].function.arguments)["city"] == "Paris"


def test_what_begins_like_a_call_becomes_one(client):
    """A bias towards the mark makes any model call: from there on the tools' schemas hold."""
    if client.name != "qwen2.5-coder-0.5b":
        pytest.skip("its mark is one token there")
    mark = client.server.post("/tokenize", {"content": "<tool_call>"})[2]["tokens"]
    assert len(mark) == 1
    for seed in range(4):
        c = client.chat.completions.create(
            **ASK | {"temperature": 1.5, "seed": seed}, logit_bias={str(mark[0]): 40},
            parallel_tool_calls=False).choices[0]
        assert c.finish_reason == "tool_calls"
        check(c.message.tool_calls)


def test_none_and_no_tools(client):
    for more in ({"tool_choice": "none"}, {"tools": []}):
        c = client.chat.completions.create(**ASK | {"max_tokens": 20} | more).choices[0]
        assert not c.message.tool_calls and c.message.content


def test_a_conversation_goes_on(client):
    messages = list(ASK["messages"])
    for result in ("18 degrees", "rain"):
        m = client.chat.completions.create(**ASK | {"messages": messages}, tool_choice="required",
                                           parallel_tool_calls=False).choices[0].message
        messages += [m.model_dump(exclude_none=True),
                     {"role": "tool", "tool_call_id": m.tool_calls[0].id, "content": result}]
    prompt = client.server.post("/v1/chat/completions", {**ASK, "messages": messages,
                                                         "max_tokens": 20})
    assert prompt[0] == 200
    c = client.chat.completions.create(**ASK | {"messages": messages, "max_tokens": 30})
    assert c.choices[0].message.content or c.choices[0].message.tool_calls


def told(client, arguments, result, **more):
    """What the model is given of a call and its result."""
    call = {"id": "abcdefgh1", "type": "function",
            "function": {"name": "add", "arguments": arguments}}
    messages = [{"role": "user", "content": "1 + 2?"},
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "abcdefgh1", "content": result}]
    status, _, body = client.server.post("/apply-template", {"messages": messages, **more})
    assert status == 200, body
    return body["prompt"]


@pytest.mark.parametrize("more", [{}, {"tools": TOOLS}])
def test_nothing_of_a_call_in_the_history_is_lost(client, more):
    """Whether arguments come as an object or as its text, and results in one part or in several."""
    prompt = told(client, '{"a":1, "b": 2}', "it is three", **more)
    assert '{"a": 1, "b": 2}' in prompt and "it is three" in prompt
    assert told(client, {"a": 1, "b": 2}, "it is three", **more) == prompt
    parts = [{"type": "text", "text": "it is "}, {"type": "text", "text": "three"}]
    assert told(client, {"a": 1, "b": 2}, parts, **more).replace("\n", "") == \
        prompt.replace("\n", "")


def test_a_template_that_writes_calls_in_its_own_way_does(start_server, tmp_path):
    """Though no table has that way, and tools of a request would have to be taught."""
    template = tmp_path / "template.jinja"
    template.write_text(
        "{% for m in messages %}{{ m.role }}:{% for c in m.tool_calls or [] %}CALL "
        "{{ c.function.name }}{% for k, v in c.function.arguments|items %} {{ k }}={{ v }}"
        "{% endfor %}{% endfor %}{{ m.content }}\n{% endfor %}")
    with start_server("--parallel", 1, "--ctx-size", 512, "--chat-template-file", template) as s:
        s_client = type("", (), {"server": s})
        for arguments in ('{"a": 1, "b": 2}', {"a": 1, "b": 2}):
            assert "CALL add a=1 b=2" in told(s_client, arguments, "three")
        assert "<tool_call>" in told(s_client, {"a": 1}, "three", tools=TOOLS)


def test_with_a_schema_beside(client):
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {
        "type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"],
        "additionalProperties": False}}}
    c = client.chat.completions.create(**ASK, response_format=form).choices[0]
    if c.message.tool_calls:
        check(c.message.tool_calls)
    else:
        assert isinstance(json.loads(c.message.content)["ok"], bool)


def test_parse(client):
    class Sum(pydantic.BaseModel):
        a: int
        b: int

    tool = openai.pydantic_function_tool(Sum, name="sum")
    c = client.chat.completions.parse(**ASK | {"tools": [tool]}, tool_choice="required",
                                      parallel_tool_calls=False).choices[0]
    assert isinstance(c.message.tool_calls[0].function.parsed_arguments, Sum)


def test_cut_off(client):
    c = client.chat.completions.create(**ASK | {"max_tokens": 6}, tool_choice="required")
    assert c.choices[0].finish_reason == "length"


@pytest.mark.parametrize("more, param", [
    ({"tool_choice": "sometimes"}, "tool_choice"),
    ({"tool_choice": {"type": "function", "function": {"name": "none of them"}}}, "tool_choice"),
    ({"tool_choice": "required", "tools": []}, "tool_choice"),
    ({"tools": [{"type": "web_search"}]}, "tools"),
    ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools"),
    ({"tools": [{"type": "function", "function": {"name": "a", "parameters": 5}}]}, "tools"),
    ({"parallel_tool_calls": "no"}, "parallel_tool_calls"),
    ({"tool_choice": "required", "tools": [function("f", "d", strict=True, x={"not": {}})]},
     "tools"),
    ({"grammar": 'root ::= "x"'}, "grammar"),
])
def test_what_is_refused(client, more, param):
    status, _, reply = client.server.post("/v1/chat/completions", {**ASK, **more})
    assert status == 400 and reply["error"]["param"] == param, reply


def test_odd_schemas_are_taken_as_far_as_they_go(client):
    tools = [function("f", "d", x={"type": "string", "format": "strange", "maxLength": 9},
                      y={"not": {"type": "null"}, "type": "boolean"})]
    c = client.chat.completions.create(**ASK | {"tools": tools}, tool_choice="required",
                                       parallel_tool_calls=False).choices[0]
    assert isinstance(json.loads(c.message.tool_calls[0].function.arguments)["y"], bool)
