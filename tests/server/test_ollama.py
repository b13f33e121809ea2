"""The real `ollama` client against the server, and bodies that no client sends."""

import datetime
import json

import ollama
import pydantic
import pytest

NAME = "smollm2-135m"
HELLO = [{"role": "user", "content": "Tell me one fact about the number 7."}]
GREEDY = {"temperature": 0, "num_predict": 24}


@pytest.fixture(scope="module")
def client(server):
    return ollama.Client(server.url)


def openai_text(server, **more):
    body = {"messages": HELLO, "max_tokens": 24, "temperature": 0, **more}
    return server.post("/v1/chat/completions", body)[2]["choices"][0]["message"]["content"]


# ---- chat -----------------------------------------------------------------------------------


def test_chat(client, server):
    r = client.chat(NAME, HELLO, options=GREEDY)
    assert r.message.role == "assistant" and r.message.content == openai_text(server)
    assert r.done and r.done_reason == "length" and r.eval_count == 24
    assert r.prompt_eval_count > 10 and r.total_duration >= r.eval_duration > 0
    assert r.message.tool_calls is None and r.message.thinking is None
    made = datetime.datetime.fromisoformat(r.created_at)
    assert abs(made - datetime.datetime.now(datetime.timezone.utc)).total_seconds() < 600


def test_a_stream_says_the_same(client):
    whole = client.chat(NAME, HELLO, options=GREEDY)
    parts = list(client.chat(NAME, HELLO, options=GREEDY, stream=True))
    assert "".join(p.message.content for p in parts) == whole.message.content
    assert [p.done for p in parts] == [False] * (len(parts) - 1) + [True] and len(parts) > 10
    last = parts[-1]
    assert last.done_reason == "length" and last.eval_count == 24 and last.model == whole.model
    assert last.prompt_eval_count == whole.prompt_eval_count
    assert all(p.done_reason is None and p.eval_count is None for p in parts[:-1])


def test_a_body_without_stream_streams(server):
    status, headers, raw = server.post("/api/chat", {"messages": HELLO, "options": GREEDY})
    assert status == 200 and headers["Content-Type"] == "application/x-ndjson"
    assert [json.loads(line)["done"] for line in raw.splitlines()][-2:] == [False, True]


def test_embeddings(client, server):
    wanted = server.post("/v1/embeddings", {"input": ["one", "two"]})[2]
    got = client.embed(NAME, ["one", "two"])
    assert got.embeddings == [d["embedding"] for d in wanted["data"]]
    assert got.model == f"{NAME}.gguf:latest" and got.total_duration > 0
    assert got.prompt_eval_count == wanted["usage"]["prompt_tokens"]
    assert client.embed(NAME, "one").embeddings == [wanted["data"][0]["embedding"]]
    assert len(client.embed(NAME, "one", dimensions=7).embeddings[0]) == 7
    raw = server.post("/v1/embeddings", {"input": "one", "embd_normalize": -1})[2]["data"][0]
    assert client.embeddings(NAME, "one").embedding == raw["embedding"]
    for path, body in (("/api/embed", {}), ("/api/embed", {"input": [5.5]}),
                       ("/api/embeddings", {"prompt": ["a"]}), ("/api/embeddings", {"input": "a"}),
                       ("/api/embed", {"input": ["a"] * 2049})):
        status, _, answer = server.post(path, body)
        assert status == 400 and isinstance(answer["error"], str), (path, answer)


def test_options(client, server):
    full = client.chat(NAME, HELLO, options=GREEDY).message.content
    cut = full[len(full) // 2:len(full) // 2 + 4]
    r = client.chat(NAME, HELLO, options={**GREEDY, "stop": [cut]})
    assert r.message.content == full[:full.index(cut)] and r.done_reason == "stop"
    warm = {"temperature": 1.2, "top_k": 30, "top_p": 0.9, "min_p": 0.01, "num_predict": 24,
            "repeat_penalty": 1.1, "repeat_last_n": 32, "presence_penalty": 0.1,
            "frequency_penalty": 0.1, "typical_p": 1.0}
    texts = [client.chat(NAME, HELLO, options={**warm, "seed": s}).message.content for s in (1, 2)]
    assert texts[0] != texts[1]
    assert texts[0] == openai_text(server, seed=1, max_tokens=24,
                                   **{k: v for k, v in warm.items() if k != "num_predict"})
    hints = ollama.Options(num_ctx=256, num_keep=5, num_batch=8, num_gpu=1, main_gpu=0,
                           num_thread=2, numa=False, low_vram=True, use_mmap=True, mirostat=0,
                           penalize_newline=True, **GREEDY)
    assert client.chat(NAME, HELLO, options=hints, keep_alive="10m").message.content == full
    for endless in (-1, -2):
        r = client.chat(NAME, HELLO, options={"temperature": 0, "num_predict": endless,
                                              "stop": ["."]})
        assert r.done_reason in ("stop", "length") and r.message.content


def test_logprobs(client):
    r = client.chat(NAME, HELLO, options=GREEDY, logprobs=True, top_logprobs=2)
    assert "".join(t.token for t in r.logprobs) == r.message.content
    assert all(len(t.top_logprobs) == 2 and t.top_logprobs[0].token == t.token for t in r.logprobs)
    raw = client.generate(NAME, "The sky is", raw=True, options=GREEDY, logprobs=True)
    assert "".join(t.token for t in raw.logprobs) == raw.response
    parts = list(client.chat(NAME, HELLO, options=GREEDY, logprobs=True, stream=True))
    assert [t for p in parts for t in p.logprobs or []] == \
        client.chat(NAME, HELLO, options=GREEDY, logprobs=True).logprobs


class Fact(pydantic.BaseModel, extra="forbid"):
    number: int = pydantic.Field(le=99)
    is_prime: bool


def test_format(client):
    r = client.chat(NAME, HELLO, format=Fact.model_json_schema(),
                    options={"temperature": 0, "num_predict": 200})
    assert isinstance(Fact.model_validate_json(r.message.content), Fact)
    assert r.done_reason == "stop"
    parts = client.generate(NAME, "A fact", format=Fact.model_json_schema(), stream=True,
                            options={"temperature": 0, "num_predict": 200})
    assert Fact.model_validate_json("".join(p.response for p in parts))
    r = client.chat(NAME, HELLO, format="json", options={"temperature": 0, "num_predict": 12})
    assert r.message.content.startswith("{")
    assert client.chat(NAME, HELLO, format="", options=GREEDY).message.content[0] != "{"
    with pytest.raises(ollama.ResponseError, match="no document is valid"):
        client.chat(NAME, HELLO, format={"type": "object", "not": {}})


# ---- tools and thoughts ---------------------------------------------------------------------


def get_weather(city: str) -> str:
    """The weather of a city

    Args:
        city: the city's name
    """
    return f"rain in {city}"


def test_tools_there_and_back(start_server):
    with start_server("--parallel", 2, "--ctx-size", 2048, model="qwen2.5-coder-0.5b") as s:
        client = ollama.Client(s.url)
        messages = [{"role": "user",
                     "content": "What is the weather in Paris? Call a function."}]
        ask = {"tools": [get_weather], "options": {"temperature": 0, "num_predict": 100}}
        r = client.chat("qwen", messages, **ask)
        assert r.done_reason == "stop"
        call, = r.message.tool_calls
        assert call.function.name == "get_weather" and call.function.arguments == {"city": "Paris"}
        parts = list(client.chat("qwen", messages, stream=True, **ask))
        assert [c for p in parts for c in p.message.tool_calls or []] == [call]
        assert "".join(p.message.content for p in parts) == r.message.content
        messages += [r.message, {"role": "tool", "tool_name": call.function.name,
                                 "content": get_weather(**call.function.arguments)}]
        r = client.chat("qwen", messages, options=ask["options"])
        assert "rain" in r.message.content.lower() and not r.message.tool_calls
        assert client.show("qwen2.5-coder-0.5b").capabilities == ["completion", "tools"]


TEMPLATE = """{% for m in messages %}{{ m.role }}: {% if m.reasoning_content %}({{
m.reasoning_content }}) {% endif %}{{ m.content }}
{% endfor %}{{ reasoning_effort }}{{ '<think>\n' if enable_thinking else 'assistant:' }}"""


def test_thoughts(start_server, tmp_path):
    """A template that lets the model think where it is asked to: what comes is thought."""
    file = tmp_path / "template.jinja"
    file.write_text(TEMPLATE)
    with start_server("--parallel", 2, "--ctx-size", 512, "--chat-template-file", file) as s:
        client = ollama.Client(s.url)
        for think in (True, "low", None):
            r = client.chat(NAME, HELLO, think=think, options=GREEDY)
            assert r.message.thinking and not r.message.content, think
            parts = list(client.chat(NAME, HELLO, think=think, options=GREEDY, stream=True))
            assert "".join(p.message.thinking or "" for p in parts) == r.message.thinking
        r = client.chat(NAME, HELLO, think=False, options=GREEDY)
        assert r.message.content and r.message.thinking is None
        r = client.generate(NAME, HELLO[0]["content"], think=True, options=GREEDY)
        assert r.thinking and not r.response
        counts = [client.chat(NAME, HELLO, think=t, options=GREEDY).prompt_eval_count
                  for t in (True, "high")]
        assert counts[0] < counts[1], "the template is told how much to think"
        past = [HELLO[0], {"role": "assistant", "content": "a", "thinking": "so many words"},
                {"role": "user", "content": "Go on."}]
        bare = [past[0], {"role": "assistant", "content": "a"}, past[2]]
        assert client.chat(NAME, past, options=GREEDY).prompt_eval_count > \
            client.chat(NAME, bare, options=GREEDY).prompt_eval_count
        assert client.show(NAME).capabilities == ["completion", "tools", "thinking"]


# ---- generate -------------------------------------------------------------------------------


def test_generate(client, server):
    question = HELLO[0]["content"]
    r = client.generate(NAME, question, options=GREEDY)
    assert r.response == openai_text(server) and r.done and r.thinking is None
    assert "".join(p.response for p in client.generate(NAME, question, options=GREEDY,
                                                       stream=True)) == r.response
    system = {"role": "system", "content": "You are a pirate."}
    assert client.generate(NAME, question, system=system["content"], options=GREEDY).response == \
        openai_text(server, messages=[system, *HELLO])


def test_raw(client, server):
    ask = {"prompt": "Once upon a time", "max_tokens": 24, "temperature": 0}
    want = server.post("/v1/completions", ask)[2]["choices"][0]["text"]
    assert client.generate(NAME, ask["prompt"], raw=True, options=GREEDY).response == want
    parts = client.generate(NAME, ask["prompt"], raw=True, options=GREEDY, stream=True)
    assert "".join(p.response for p in parts) == want
    with pytest.raises(ollama.ResponseError, match="system"):
        client.generate(NAME, "a", raw=True, system="b")


def test_nothing_to_say_loads_the_model(client):
    for r in (client.generate(NAME), client.generate(NAME, "", keep_alive=-1)):
        assert r.response == "" and r.done and r.done_reason == "load"
    r = client.chat(NAME, [])
    assert r.message.content == "" and r.done_reason == "load"
    assert [p.done_reason for p in client.generate(NAME, stream=True)] == ["load"]


# ---- the model ------------------------------------------------------------------------------


def test_list_ps_show(client, server):
    model, = client.list().models
    assert model.model == NAME + ".gguf:latest" and model.size > 10 ** 7
    assert model.details.format == "gguf" and model.details.family == "llama"
    assert model.details.parameter_size == "134.52M" and len(model.digest) == 64
    running, = client.ps().models
    assert running.name == model.model and running.digest == model.digest
    assert running.context_length == 512 and running.size_vram == 0 < running.size
    assert running.expires_at > datetime.datetime.now(datetime.timezone.utc)
    for name in (model.model, NAME, NAME + ":latest", NAME + ".gguf"):
        r = client.show(name)
        assert r.modelinfo["general.architecture"] == "llama"
        assert r.modelinfo["llama.context_length"] == 512 and "num_ctx 512" in r.parameters
        assert "<|im_start|>" in r.template and r.capabilities == ["completion", "tools"]
    with pytest.raises(ollama.ResponseError) as e:
        client.show("gpt-4")
    assert e.value.status_code == 404 and NAME in e.value.error
    assert server.request("GET", "/api/version")[2] == {"version": "0.12.11"}
    assert server.request("HEAD", "/")[0] == server.request("HEAD", "/api/version")[0] == 200


def test_strict_names(start_server):
    with start_server("--parallel", 1, "--ctx-size", 512, "--alias", "tiny",
                      "--strict-model-names") as s:
        client = ollama.Client(s.url)
        assert [m.model for m in client.list().models] == ["tiny:latest"]
        for name in ("tiny", "tiny:latest"):
            assert client.generate(name, "Hi", options=GREEDY).model == "tiny:latest"
        with pytest.raises(ollama.ResponseError) as e:
            client.generate("tiny:1b", "Hi")
        assert e.value.status_code == 404


# ---- errors ---------------------------------------------------------------------------------


@pytest.mark.parametrize("call, status, words", [
    (lambda c: c.embed(NAME, ["a", ""]), 400, "text 1 is empty"),
    (lambda c: c.embeddings(NAME, ""), 400, "text 0 is empty"),
    (lambda c: c.pull(NAME), 404, "/api/pull"),
    (lambda c: c.push(NAME), 404, "/api/push"),
    (lambda c: c.create(NAME, from_="a"), 404, "/api/create"),
    (lambda c: c.copy(NAME, "a"), 404, "/api/copy"),
    (lambda c: c.delete(NAME), 404, "/api/delete"),
    (lambda c: c.chat(NAME, HELLO, options={"mirostat": "x"}), 400, "mirostat"),
    (lambda c: c.chat(NAME, HELLO, options={"temperature": 101}), 400, "temperature"),
    (lambda c: c.chat(NAME, HELLO, options={"num_predict": "x"}), 400, "num_predict"),
    (lambda c: c.chat(NAME, HELLO, think="much"), 400, "think"),
    (lambda c: c.chat(NAME, [{"role": "user", "content": "a", "images": [b"abc"]}]), 400,
     "takes text"),
    (lambda c: c.generate(NAME, "a", images=[b"abc"]), 400, "images"),
    (lambda c: c.generate(NAME, "a", suffix="b"), 400, "suffix"),
    (lambda c: c.generate(NAME, "a", template="b"), 400, "template"),
    (lambda c: c.generate(NAME, "a", context=[1, 2]), 400, "context"),
    (lambda c: list(c.chat(NAME, [{"role": "user", "content": "word " * 900}], stream=True)), 400,
     "exceeds the available context size"),
])
def test_errors_are_texts(client, call, status, words):
    with pytest.raises(ollama.ResponseError) as e:
        call(client)
    assert e.value.status_code == status and isinstance(e.value.error, str)
    assert words in e.value.error


VALUES = [None, True, 0, -1, 1.5, 10 ** 30, "", "x", "json", [], [1], [None], {}, {"a": 1},
          [{"role": "user"}], [{"role": 5, "content": "a"}], [{"role": "user", "content": {}}]]
MEMBERS = ["model", "messages", "tools", "format", "options", "stream", "keep_alive", "think",
           "prompt", "system", "template", "raw", "suffix", "context", "images", "logprobs",
           "top_logprobs", "truncate"]
OPTIONS = ["num_predict", "temperature", "top_k", "top_p", "seed", "stop", "mirostat",
           "repeat_penalty", "repeat_last_n", "penalize_newline", "num_ctx", "tfs_z"]
OF_MESSAGE = ["role", "content", "thinking", "images", "tool_calls", "tool_name", "tool_call_id"]


def odd_bodies():
    few = {"num_predict": 1}
    for value in VALUES:
        for name in MEMBERS:
            yield {"messages": HELLO, "prompt": "a", "options": few, name: value}
        for name in OPTIONS:
            yield {"messages": HELLO, "prompt": "a", "options": {**few, name: value}}
        for name in OF_MESSAGE:
            yield {"prompt": "a", "options": few,
                   "messages": [{"role": "tool", "content": "a", name: value}]}
        for call in (value, {"function": value}, {"function": {"name": value}},
                     {"function": {"name": "f", "arguments": value}}):
            yield {"prompt": "a", "options": few, "messages": [
                {"role": "assistant", "content": "a", "tool_calls": [call]}]}


def test_wrong_types_everywhere(server):
    """A reply or a sentence, never anything else."""
    seen = {200: 0, 400: 0}
    for body in odd_bodies():
        for path in ("/api/chat", "/api/generate"):
            status, headers, reply = server.post(path, body)
            seen[status] += 1
            if "ndjson" in headers["Content-Type"]:
                reply = json.loads(reply.splitlines()[-1])
            assert reply.get("done") is True if status == 200 else \
                isinstance(reply["error"], str) and len(reply["error"]) > 10, (path, body, reply)
    assert min(seen.values()) > 100


def test_bodies_that_are_none(server):
    for path in ("/api/chat", "/api/generate", "/api/show"):
        for body in ("{", "[]", "", b"\xff"):
            status, _, reply = server.post(path, body)
            assert status == 400 and isinstance(reply["error"], str)
        status, headers, reply = server.request("GET", path)
        assert status == 405 and headers["Allow"] == "POST" and path in reply["error"]
    for model in (None, 5, [], {}):
        assert server.post("/api/show", {"model": model})[0] == 400


def test_a_client_that_goes_ends_its_stream(client, server):
    stream = client.chat(NAME, HELLO, stream=True, options={
        "temperature": 0, "num_predict": 400, "repeat_penalty": 1.0})
    assert next(stream).message.content
    stream.close()
    assert server.wait_until(lambda: server.busy_slots() == 0)


def test_keys(start_server):
    with start_server("--parallel", 1, "--ctx-size", 512, "--api-key", "secret") as s:
        with pytest.raises(ollama.ResponseError) as e:
            ollama.Client(s.url).list()
        assert e.value.status_code == 401 and "API key" in e.value.error
        allowed = ollama.Client(s.url, headers={"Authorization": "Bearer secret"})
        assert allowed.list().models
