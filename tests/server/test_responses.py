"""OpenAI's /v1/responses with the real `openai` client; over plain HTTP what no client sends."""

import json
import socket

import jsonschema
import openai
import pydantic
import pytest
from openai.types import responses as types
from openai.types.responses.response_item_list import ResponseItemList

PATH = "/v1/responses"
QUESTION = "Tell me one fact about the number 7."


def flat(name, description, strict=None, **parameters):
    return {"type": "function", "name": name, "description": description, "strict": strict,
            "parameters": {"type": "object", "properties": parameters,
                           "required": list(parameters), "additionalProperties": False}}


TOOLS = [flat("get_weather", "The weather of a city", city={"type": "string", "maxLength": 20},
              unit={"enum": ["C", "F"]}),
         flat("add", "The sum of two numbers", a={"type": "integer", "maximum": 999},
              b={"type": "integer", "maximum": 999})]
PARAMETERS = {t["name"]: t["parameters"] for t in TOOLS}
ASK = {"model": "", "input": QUESTION, "max_output_tokens": 10, "temperature": 0}
CALL = {"model": "", "max_output_tokens": 200, "temperature": 0, "tools": TOOLS,
        "input": "What is the weather in Paris? Call a function.", "tool_choice": "required",
        "parallel_tool_calls": False}


def client_of(server):
    return openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)


@pytest.fixture(scope="module")
def client(server):
    return client_of(server)


@pytest.fixture(scope="module", params=["smollm2-135m", "qwen2.5-coder-0.5b"])
def caller(request, start_server):
    """One model whose template knows no tools and one that has a syntax of its own."""
    with start_server("--parallel", 4, "--ctx-size", 2048, model=request.param) as s:
        c = client_of(s)
        c.server = s
        yield c


@pytest.fixture(scope="module")
def thinker(start_server, tmp_path_factory):
    """Its template tells of earlier thoughts, and a reply begins in them if a grammar says so."""
    template = tmp_path_factory.mktemp("t") / "template.jinja"
    template.write_text("{% for m in messages %}[{{ m.role }}]{% if m.reasoning_content %}"
                        "(({{ m.reasoning_content }})){% endif %}{{ m.content or '' }}{% for c in "
                        "m.tool_calls or [] %}CALL {{ c.function.name }}{{ c.function.arguments }}"
                        "{% endfor %}\n{% endfor %}{{ reasoning_effort }}[assistant]")
    with start_server("--parallel", 2, "--ctx-size", 512, "--chat-template-file", template) as s:
        c = client_of(s)
        c.server = s
        yield c


def strict(document):
    """The document as the client's own type: all members right, none missing."""
    r = types.Response.model_validate(document, strict=True)
    assert r.object == "response" and r.id.startswith("resp_") and r.usage
    assert r.usage.total_tokens == r.usage.input_tokens + r.usage.output_tokens
    for item in r.output:
        kind, prefix = {"message": (types.ResponseOutputMessage, "msg_"),
                        "reasoning": (types.ResponseReasoningItem, "rs_"),
                        "function_call": (types.ResponseFunctionToolCallItem, "fc_")}[item.type]
        assert item.id.startswith(prefix)
        kind.model_validate(item.model_dump(by_alias=True), strict=True)
    return r


def post(server, body, **more):
    return server.post(PATH, body, **more)


def ask(server, **more):
    status, _, document = post(server, {**ASK, **more})
    assert status == 200, document
    return strict(document)


def events_of(server, body):
    """The stream's events as they stand on the wire, each checked against its type."""
    status, headers, raw = post(server, {**body, "stream": True})
    assert status == 200 and headers["Content-Type"].startswith("text/event-stream"), raw
    events = []
    for block in raw.decode().removesuffix("\n\n").split("\n\n"):
        if block.startswith(":"):
            continue
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == "event: " + event["type"] and event["sequence_number"] == len(events)
        pydantic.TypeAdapter(types.ResponseStreamEvent).validate_python(event, strict=True)
        events.append(event)
    return events


# ---- a reply -------------------------------------------------------------------------------------

def test_create(client, server):
    r = client.responses.create(**ASK, metadata={"a": "b"}, instructions="Be brief.")
    chat = client.chat.completions.create(
        model="", max_tokens=10, temperature=0,
        messages=[{"role": "system", "content": "Be brief."},
                  {"role": "user", "content": QUESTION}])
    assert r.output_text == chat.choices[0].message.content
    assert r.usage.input_tokens == chat.usage.prompt_tokens
    assert r.usage.output_tokens == chat.usage.completion_tokens
    assert r.status == "incomplete" and r.incomplete_details.reason == "max_output_tokens"
    assert r.output[0].status == "incomplete" and r.output[0].role == "assistant"
    assert r.metadata == {"a": "b"} and r.instructions == "Be brief." and r.temperature == 0
    assert r.max_output_tokens == 10 and r.tools == [] and r.tool_choice == "auto"
    assert r.text.format.type == "text" and r.error is None and r.previous_response_id is None
    assert strict(r.model_dump(by_alias=True)) and r.model == "smollm2-135m.gguf"


def test_a_reply_that_ends_by_itself(client):
    r = client.responses.create(**ASK, extra_body={"stop": " "})
    assert r.status == "completed" and r.incomplete_details is None
    assert [i.status for i in r.output] == ["completed"] and " " not in r.output_text


def test_without_the_v1(server):
    assert strict(server.post("/responses", ASK)[2])


@pytest.mark.parametrize("items", [
    [{"role": "user", "content": QUESTION}],
    [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": QUESTION}]}],
    [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": QUESTION}],
    [{"role": "user", "content": "Hi"},
     {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
      "content": [{"type": "output_text", "text": "Hello", "annotations": []}]},
     {"role": "user", "content": [{"type": "input_text", "text": "Tell me"},
                                  {"type": "input_text", "text": "more."}]}],
    [{"role": "user", "content": "Hi"},
     {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
     {"role": "user", "content": "Why?"}],
])
def test_input_is_the_chats(server, items):
    """The same prompt as /v1/chat/completions makes of the same conversation."""
    def part(p):
        return {"type": "text", "text": p.get("text") or p["refusal"]}
    messages = [{"role": i["role"], "content": i["content"] if isinstance(i["content"], str)
                 else [part(p) for p in i["content"]]} for i in items]
    chat = server.post("/v1/chat/completions",
                       {"messages": messages, "max_tokens": 10, "temperature": 0})[2]
    r = ask(server, input=items)
    assert r.output_text == chat["choices"][0]["message"]["content"]
    assert r.usage.input_tokens == chat["usage"]["prompt_tokens"]


def test_extra_members_pass_through(server):
    told = [ask(server, temperature=1.5, seed=s, top_k=40).output_text for s in (1, 1, 2)]
    assert told[0] == told[1] != told[2]
    assert json.loads(ask(server, json_schema={"const": 5}).output_text) == 5


def test_logprobs(client):
    r = client.responses.create(**ASK, top_logprobs=3, include=["message.output_text.logprobs"])
    tokens = r.output[0].content[0].logprobs
    assert len(tokens) == r.usage.output_tokens and r.top_logprobs == 3
    assert "".join(t.token for t in tokens) == r.output_text
    assert all(len(t.top_logprobs) == 3 and t.top_logprobs[0].token == t.token for t in tokens)
    told = [p for e in client.responses.create(**ASK, top_logprobs=3, stream=True)
            if e.type == "response.output_text.delta" for p in e.logprobs]
    assert [(t.token, t.logprob) for t in told] == [(t.token, t.logprob) for t in tokens]


# ---- streams -------------------------------------------------------------------------------------

def test_stream(client):
    whole = client.responses.create(**ASK)
    with client.responses.stream(**ASK, extra_body={"stop": "zzz"}) as stream:
        events = list(stream)
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == \
        whole.output_text
    assert events[-1].type == "response.incomplete"
    assert events[-1].response.output_text == whole.output_text


def test_the_client_accumulates_a_completed_one(client):
    ask_short = {**ASK, "extra_body": {"stop": " "}}
    with client.responses.stream(**ask_short) as stream:
        r = stream.get_final_response()
    assert r.status == "completed" and r.output_text == \
        client.responses.create(**ask_short).output_text


def test_events(server):
    events = events_of(server, ASK)
    names = [e["type"].removeprefix("response.") for e in events]
    assert names[:4] == ["created", "in_progress", "output_item.added", "content_part.added"]
    assert names[-4:] == ["output_text.done", "content_part.done", "output_item.done", "incomplete"]
    assert set(names[4:-4]) == {"output_text.delta"}
    first, last = events[0]["response"], strict(events[-1]["response"])
    assert first["status"] == "in_progress" and first["output"] == [] and first["usage"] is None
    assert first["id"] == last.id and events[2]["item"]["id"] == last.output[0].id
    assert "".join(e["delta"] for e in events[4:-4]) == events[-4]["text"] == last.output_text
    assert events[-2]["item"] == events[-1]["response"]["output"][0]


def test_parse(client):
    class Sum(pydantic.BaseModel):
        a: int
        ok: bool

    r = client.responses.parse(**{**ASK, "max_output_tokens": 100}, text_format=Sum)
    assert isinstance(r.output_parsed, Sum)
    assert r.text.format.type == "json_schema" and r.text.format.name == "Sum"
    with client.responses.stream(**{**ASK, "max_output_tokens": 100}, text_format=Sum) as stream:
        assert stream.get_final_response().output_parsed == r.output_parsed


def test_json_object(client):
    r = client.responses.create(**{**ASK, "max_output_tokens": 200, "input": "{}"},
                                text={"format": {"type": "json_object"}}, extra_body={"seed": 1})
    assert r.text.format.type == "json_object" and r.output_text.startswith("{")


def test_streams_leave_nothing_behind_when_their_clients_go(server):
    for _ in range(5):
        body = json.dumps({**ASK, "max_output_tokens": 8000, "ignore_eos": True, "stream": True})
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as s:
            s.sendall(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
                      f"{body}".encode())
            assert s.recv(1000).startswith(b"HTTP/1.1 200")
    assert server.wait_until(lambda: server.busy_slots() == 0)


# ---- tools ---------------------------------------------------------------------------------------

def check(call):
    assert call.type == "function_call" and call.status == "completed" and len(call.call_id) == 9
    jsonschema.validate(json.loads(call.arguments), PARAMETERS[call.name])


def test_tools_there_and_back(caller):
    r = caller.responses.create(**CALL)
    strict(r.model_dump(by_alias=True, warnings=False))
    assert [i.type for i in r.output] == ["function_call"] and r.status == "completed"
    check(r.output[0])
    assert [t.name for t in r.tools] == list(PARAMETERS) and r.tool_choice == "required"
    assert r.parallel_tool_calls is False
    result = {"type": "function_call_output", "call_id": r.output[0].call_id, "output": "18 C"}
    go_on = {**CALL, "tool_choice": "auto", "max_output_tokens": 20}
    whole = caller.responses.create(**{**go_on, "input": [
        {"role": "user", "content": CALL["input"]}, r.output[0].to_dict(), result]})
    chained = caller.responses.create(**{**go_on, "input": [result]}, previous_response_id=r.id)
    parts = caller.responses.create(**{**go_on, "input": [
        {**result, "output": [{"type": "input_text", "text": "18 C"}]}]}, previous_response_id=r.id)
    for other in (chained, parts):
        assert other.output_text == whole.output_text
        assert other.usage.input_tokens == whole.usage.input_tokens
    call = r.output[0]
    chat = caller.chat.completions.create(
        model="", max_tokens=20, temperature=0, parallel_tool_calls=False,
        tools=[{"type": "function", "function": {k: v for k, v in t.items()
                                                 if k != "type" and v is not None}} for t in TOOLS],
        messages=[{"role": "user", "content": CALL["input"]},
                  {"role": "assistant", "tool_calls": [{
                      "id": call.call_id, "type": "function",
                      "function": {"name": call.name, "arguments": call.arguments}}]},
                  {"role": "tool", "tool_call_id": call.call_id, "content": "18 C"}])
    assert chat.usage.prompt_tokens == whole.usage.input_tokens


def test_named(caller):
    r = caller.responses.create(**CALL | {"tool_choice": {"type": "function", "name": "add"}})
    assert [i.name for i in r.output] == ["add"]
    assert r.tool_choice.type == "function" and r.tool_choice.name == "add"


def test_calls_of_a_stream(caller):
    whole = caller.responses.create(**CALL)
    with caller.responses.stream(**CALL) as stream:
        events = list(stream)
        r = stream.get_final_response()
    assert [(i.name, i.arguments) for i in r.output] == \
        [(i.name, i.arguments) for i in whole.output]
    names = [e.type for e in events]
    at = names.index("response.function_call_arguments.delta")
    assert names[at - 1:at + 3] == [
        "response.output_item.added", "response.function_call_arguments.delta",
        "response.function_call_arguments.done", "response.output_item.done"]
    assert events_of(caller.server, CALL)[-1]["type"] == "response.completed"


def test_several_calls(caller):
    many = {**CALL, "parallel_tool_calls": True, "temperature": 1}
    for seed in range(3):
        r = caller.responses.create(**many, extra_body={"seed": seed})
        assert [i.type for i in r.output][0] == "function_call"
        for call in r.output:
            if call.type == "function_call":
                check(call)
        assert len({i.id for i in r.output}) == len(r.output)


def test_a_parsed_tool(caller):
    class Sum(pydantic.BaseModel):
        a: int
        b: int

    tool = openai.pydantic_function_tool(Sum, name="sum")["function"]
    r = caller.responses.parse(**CALL | {"tools": [{"type": "function", **tool}]})
    assert Sum.model_validate(r.output[0].parsed_arguments)


# ---- thoughts ------------------------------------------------------------------------------------

THINK = {"input": "Say it.", "regex": "<think>I see</think>Yes", "max_output_tokens": 100}


def test_thoughts(thinker):
    r = ask(thinker.server, **THINK, temperature=1, seed=1)
    assert [i.type for i in r.output] == ["reasoning", "message"] and r.output_text == "Yes"
    assert r.output[0].content[0].text == "I see" and r.output[0].summary == []
    assert 0 < r.usage.output_tokens_details.reasoning_tokens < r.usage.output_tokens
    cut = ask(thinker.server, **{**THINK, "max_output_tokens": r.usage.output_tokens // 2 - 1})
    assert [i.type for i in cut.output] == ["reasoning"] and cut.status == "incomplete"


def test_thoughts_in_a_stream(thinker):
    events = events_of(thinker.server, {**ASK, **THINK})
    names = [e["type"].removeprefix("response.") for e in events]
    seen = [n for i, n in enumerate(names) if n != names[i - 1]]
    assert seen == ["created", "in_progress", "output_item.added", "content_part.added",
                    "reasoning_text.delta", "reasoning_text.done", "content_part.done",
                    "output_item.done", "output_item.added", "content_part.added",
                    "output_text.delta", "output_text.done", "content_part.done",
                    "output_item.done", "completed"]
    with thinker.responses.stream(**{**ASK, "input": "Say it.", "max_output_tokens": 100},
                                  extra_body={"regex": THINK["regex"]}) as stream:
        r = stream.get_final_response()
    assert r.output_text == "Yes" and r.output[0].content[0].text == "I see"


def test_thoughts_come_back_with_the_turn_they_belong_to(thinker):
    """By the client's own hands, and by the response's id; a summary where there is no more."""
    first = ask(thinker.server, **THINK)
    said = [{"role": "user", "content": "Say it."}]
    for reasoning in (first.output[0].to_dict(),
                      {"type": "reasoning", "id": "rs_1", "encrypted_content": "x",
                       "summary": [{"type": "summary_text", "text": "I see"}]}):
        whole = ask(thinker.server, input=[*said, reasoning, first.output[1].to_dict(),
                                           {"role": "user", "content": "And?"}])
        assert whole.usage.input_tokens == ask(thinker.server, input="And?",
                                               previous_response_id=first.id).usage.input_tokens
    chat = {"messages": [*said, {"role": "assistant", "reasoning_content": "I see",
                                 "content": "Yes"}, {"role": "user", "content": "And?"}]}
    prompt = thinker.server.post("/apply-template", chat)[2]["prompt"]
    assert "((I see))Yes" in prompt
    assert thinker.server.post("/v1/chat/completions/input_tokens", chat)[2]["input_tokens"] == \
        whole.usage.input_tokens


def test_effort_reaches_the_template(thinker):
    short, long = (ask(thinker.server, reasoning={"effort": e, "summary": "auto"})
                   for e in ("low", "one that no other server has"))
    assert short.usage.input_tokens < long.usage.input_tokens
    assert short.reasoning.effort == "low" and long.reasoning.effort is None


# ---- the store -----------------------------------------------------------------------------------

def test_a_chain_is_the_whole_conversation(client):
    items, last, told = [], None, []
    for text in ("Name a colour.", "Another one.", "And a third."):
        items.append({"role": "user", "content": text})
        whole = client.responses.create(**{**ASK, "input": items}, store=False)
        last = client.responses.create(**{**ASK, "input": text}, previous_response_id=last)
        assert last.output_text == whole.output_text
        assert last.usage.input_tokens == whole.usage.input_tokens
        told.append(last.output_text)
        items += [i.to_dict() for i in whole.output]
        last = last.id
    kept = client.responses.retrieve(last)
    assert kept.previous_response_id and kept.output_text == told[-1]
    page = list(client.responses.input_items.list(last, limit=2, order="asc"))
    assert [i.content[0].text for i in page] == ["Name a colour.", told[0], "Another one.", told[1],
                                                 "And a third."]
    assert [i.id for i in client.responses.input_items.list(last)] == [i.id for i in page][::-1]


def test_retrieve_and_delete(client, server):
    for r in (client.responses.create(**ASK), events_of(server, ASK)[-1]["response"]):
        made = r if isinstance(r, dict) else r.to_dict()
        path = f"{PATH}/{made['id']}"
        assert server.request("GET", path)[2] == json.loads(json.dumps(made))
        items = server.request("GET", path + "/input_items")[2]
        ResponseItemList.model_validate(items, strict=True)
        client.responses.delete(made["id"])
        for gone in (client.responses.retrieve, client.responses.delete):
            with pytest.raises(openai.NotFoundError):
                gone(made["id"])
        assert server.request("GET", path + "/input_items")[0] == 404
        with pytest.raises(openai.BadRequestError) as e:
            client.responses.create(**ASK, previous_response_id=made["id"])
        assert e.value.param == "previous_response_id" and made["id"] in e.value.message


def test_what_is_not_to_be_stored_is_not(client, server):
    r = client.responses.create(**ASK, store=False)
    assert r.model_extra["store"] is False and server.request("GET", f"{PATH}/{r.id}")[0] == 404


def test_items_by_reference(client):
    first = client.responses.create(**ASK)
    more, item = {"role": "user", "content": "So?"}, first.output[0]
    whole = client.responses.create(**{**ASK, "input": [item.to_dict(), more]})
    for reference in ({"type": "item_reference", "id": item.id}, {"id": item.id}):
        r = client.responses.create(**{**ASK, "input": [reference, more]})
        assert r.usage.input_tokens == whole.usage.input_tokens


def test_other_keys_responses_are_not_there(start_server, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("first\nsecond\n")
    with start_server("--parallel", 1, "--ctx-size", 256, "--api-key-file", keys) as s:
        first, second = ({"Authorization": f"Bearer {k}"} for k in ("first", "second"))
        made = s.post(PATH, ASK, headers=first)[2]
        path, item = f"{PATH}/{made['id']}", made["output"][0]["id"]
        for p in (path, path + "/input_items"):
            assert s.request("GET", p, headers=first)[0] == 200
            assert s.request("GET", p, headers=second)[0] == 404
            assert s.request("GET", p)[0] == 401
        assert s.request("DELETE", path, headers=second)[0] == 404
        for more in ({"previous_response_id": made["id"]},
                     {"input": [{"type": "item_reference", "id": item}]}):
            assert s.post(PATH, {**ASK, **more}, headers=second)[0] == 400
            assert s.post(PATH, {**ASK, **more}, headers=first)[0] == 200


def test_only_so_many_are_kept(server):
    ids = [post(server, {**ASK, "max_output_tokens": 1, "input": "x"})[2]["id"] for _ in range(257)]
    assert server.request("GET", f"{PATH}/{ids[0]}")[0] == 404
    assert server.request("GET", f"{PATH}/{ids[1]}")[0] == 200


def test_pages_of_items(server):
    made = ask(server, input=[{"role": "user", "content": str(i)} for i in range(5)])
    path = f"{PATH}/{made.id}/input_items"

    def texts(query):
        page = server.request("GET", path + query)[2]
        return "".join(i["content"][0]["text"] for i in page["data"]), page["has_more"]
    assert texts("") == ("43210", False) and texts("?order=asc&limit=2") == ("01", True)
    after = server.request("GET", path + "?order=asc&limit=2")[2]["last_id"]
    assert texts(f"?order=asc&limit=3&after={after}") == ("234", False)
    assert texts("?after=nothing") == ("", False)
    for bad in ("?limit=0", "?limit=x", "?limit=", "?limit=101", "?order=up"):
        assert server.request("GET", path + bad)[0] == 400, bad


# ---- how long a prompt is ------------------------------------------------------------------------

def test_input_tokens(client, caller, server):
    r = client.responses.create(**ASK)
    n = client.responses.input_tokens.count(input=QUESTION)
    assert n.object == "response.input_tokens" and n.input_tokens == r.usage.input_tokens
    called = caller.responses.create(**CALL)
    assert caller.responses.input_tokens.count(input=CALL["input"], tools=TOOLS).input_tokens == \
        called.usage.input_tokens
    chat = server.post("/v1/chat/completions/input_tokens",
                       {"messages": [{"role": "user", "content": QUESTION}]})
    assert chat[2] == {"object": "response.input_tokens", "input_tokens": n.input_tokens}
    for path in ("/v1/chat/completions/input_tokens", "/v1/responses/input_tokens"):
        status, _, reply = server.post(path, {"model": 5})
        assert status == 400 and reply["error"]["param"] in ("model", "input")


# ---- what is refused -----------------------------------------------------------------------------

def message(content, role="user"):
    return {"role": role, "content": content}


def call(**more):
    return {"type": "function_call", "call_id": "c", "name": "n", "arguments": "{}", **more}


def tool(**more):
    return {"type": "function", "name": "f", **more}


BAD = [
    ({"input": v}, "input") for v in (
        None, 5, {}, True, [], [5], ["x"], [None], [{}], [[]], [{"type": 5}], [{"type": "x"}],
        [{"type": "computer_call"}], [{"role": "user"}], [{"role": 5, "content": "x"}],
        [{"role": "boss", "content": "x"}], [{"type": "message"}], [message(5)], [message({})],
        [message(None)], [message([5])], [message(["x"])], [message([{}])], [message([[]])],
        [message([{"type": "input_text"}])], [message([{"type": "input_text", "text": 5}])],
        [message([{"type": "input_image", "image_url": "x"}])], [message([{"type": "input_file"}])],
        [message([{"type": "refusal", "text": "x"}])], [{**message("x"), "id": 5}],
        [{"type": "function_call"}], [call(arguments={})], [call(name=None)], [call(call_id=5)],
        [{"type": "function_call_output"}], [{"type": "function_call_output", "call_id": "c"}],
        [{"type": "function_call_output", "call_id": "c", "output": 5}],
        [{"type": "function_call_output", "output": "x"}],
        [{"type": "function_call_output", "call_id": "c", "output": [{"type": "input_image"}]}],
        [{"type": "reasoning", "content": "x"}], [{"type": "reasoning", "summary": [5]}],
        [{"type": "reasoning", "content": [{"type": "reasoning_text", "text": 1}]}],
        [{"type": "reasoning", "summary": [], "encrypted_content": "gAAA"}],
        [{"type": "item_reference"}], [{"type": "item_reference", "id": 5}], [{"id": "msg_none"}],
        [{"type": "item_reference", "id": "a\0b"}])
] + [
    ({name: v}, name) for name, values in {
        "instructions": (5, [], {}), "max_output_tokens": (0, -1, "x", 1.5, [], 2 ** 70),
        "temperature": ("x", 101), "top_p": (2, []), "metadata": (5, [], {"a": 5}),
        "store": (5, "x"), "stream": ("x",), "background": (True, 5), "truncation": ("auto", 5),
        "previous_response_id": (5, [], "resp_none", "a\0b"), "include": (5, "x", {}),
        "top_logprobs": (21, -1, "x"), "parallel_tool_calls": (5, "x"), "text": (5, "x", []),
        "reasoning": (5, "x", {"effort": 5}, {"mode": "pro"}, {"summary": []}),
        "tools": (5, {}, "x", [5], [{}], [{"type": "web_search"}],
                  [{"type": "custom", "name": "x"}], [tool(name="a b")], [tool(name=5)],
                  [tool(parameters=5)], [{**tool(), "async": True}], [tool(defer_loading=True)]),
        "tool_choice": (5, [], "x", {}, {"type": "function"}, {"type": "web_search_preview"},
                        {"type": "function", "name": 5}, {"type": "function", "name": "f"},
                        "required"),
        "n": (2, "x"), "conversation": ("c", {}), "prompt": ({"id": "p"}, "x"),
        "moderation": ({"model": "x"},), "context_management": ([{"type": "compaction"}], {}),
        "mirostat": (3,), "verbosity": ("low",), "stop": (5,), "model": (5,),
    }.items() for v in values
] + [
    ({"text": {"format": v}}, "text.format") for v in (
        5, [], {}, {"type": "xml"}, {"type": "json_schema"}, {"type": "json_schema", "schema": 5},
        {"type": "json_schema", "name": "x", "schema": {"not": {}}})
] + [
    ({"text": {"verbosity": v}}, "text.verbosity") for v in ("low", "high", 5)
] + [
    ({"text": {"format": {"type": "json_object"}}, "response_format": {"type": "json_object"}},
     "text.format"),
]


@pytest.mark.parametrize("more,param", BAD, ids=lambda v: str(v)[:60])
def test_bad_requests(server, more, param):
    status, _, reply = post(server, {**ASK, **more})
    assert status == 400 and reply["error"]["param"] == param and reply["error"]["message"], reply
    assert set(reply["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("body", ["{", "[]", "", "5", b"\xff", "{}"])
def test_bad_bodies(server, body):
    for path in (PATH, PATH + "/input_tokens"):
        assert server.post(path, body)[0] == 400


def test_wrong_types_everywhere(server):
    """Every member as each kind of value, at two depths: an answer, whatever it is."""
    odd = [None, True, -1, 2 ** 70, "", "a\0b", [], {}, [[]], [{}], {"type": "x"}]
    whole = {**ASK, "max_output_tokens": 1, "instructions": "x", "tools": TOOLS, "tool_choice":
             {"type": "function", "name": "add"}, "text": {"format": {
                 "type": "json_schema", "name": "x", "schema": {}}}, "reasoning": {"effort": "low"},
             "metadata": {}, "include": [], "store": True, "input": [
                 message("x"), call(id="fc"), {"type": "function_call_output", "call_id": "c",
                                               "output": [{"type": "input_text", "text": "x"}]},
                 {"type": "reasoning", "summary": [{"type": "summary_text", "text": "x"}]}]}
    for name in whole:
        for v in odd:
            assert post(server, {**whole, name: v})[0] in (200, 400), (name, v)
    for i, item in enumerate(whole["input"]):
        for name in [*item, "id"]:
            for v in odd:
                items = list(whole["input"])
                items[i] = {**item, name: v}
                assert post(server, {**ASK, "max_output_tokens": 1, "input": items})[0] in \
                    (200, 400), (name, v)


def test_what_changes_nothing_is_taken(server):
    ask(server, truncation="disabled", background=False, include=["reasoning.encrypted_content"],
        user="me", service_tier="auto", prompt_cache_key="k", safety_identifier="s", n=1,
        max_tool_calls=3, text={"verbosity": "medium"}, conversation=None, prompt=None,
        context_management=[], stream_options={"include_obfuscation": False}, tools=[],
        reasoning={"effort": None, "summary": "auto"}, instructions=None)


def test_errors(client, server):
    with pytest.raises(openai.BadRequestError) as e:
        client.responses.create(model="", input="hello " * 2000)
    assert e.value.code == "context_length_exceeded" and e.value.param == "input"
    made = ask(server)
    assert server.request("GET", f"{PATH}/{made.id}?stream=true")[0] == 400
    assert server.request("GET", f"{PATH}/nothing")[0] == 404
    status, headers, _ = server.request("PUT", f"{PATH}/{made.id}")
    assert status == 405 and headers["Allow"] == "GET, HEAD, DELETE"
    status, headers, _ = server.request("GET", PATH)
    assert status == 405 and headers["Allow"] == "POST"


def test_zero_bytes_are_text(server):
    made = ask(server, input="a\0b", instructions="c\0d", metadata={"k": "e\0f"})
    kept = server.request("GET", f"{PATH}/{made.id}")[2]
    assert kept["instructions"] == "c\0d" and kept["metadata"] == {"k": "e\0f"}
    items = server.request("GET", f"{PATH}/{made.id}/input_items")[2]
    assert items["data"][0]["content"][0]["text"] == "a\0b"
