"""docs/openapi.json: it is sound, it names every route, and a server answers as it says."""

import contextlib
import re

import pytest
from openapi_spec_validator import validate

import tiny_models
from openapi import DOCUMENT, ROOT, check, check_answer, operations, table_of_routes
from serving import Server

# ---- the document


def test_the_document_is_valid():
    validate(DOCUMENT)


def test_its_paths_are_the_table_of_routes():
    """Of a path with a variable, what stands before it is the row of the table."""
    told = {(method, path.split("{")[0]) for (method, path), _ in operations()}
    rows = table_of_routes()
    assert told == set(rows) and len(rows) == len(set(rows)) > 40


def test_its_version_is_the_library_s():
    header = (ROOT / "include/paceline.h").read_text()
    assert DOCUMENT["info"]["version"] == re.search(r'PL_VERSION "(.+)"', header)[1]


def test_open_routes_need_no_key():
    rows = (ROOT / "src/server/routes.c").read_text()
    open_paths = set(re.findall(r'"(\S+)", \w+, .is_open', rows))
    assert open_paths == {path for (_, path), op in operations() if op.get("security") == []}
    for _, operation in operations():
        assert ("401" in operation["responses"]) == ("security" not in operation)


# ---- answers

@pytest.fixture(scope="module")
def tiny(build_dir, tmp_path_factory):
    """A random model that chats, with a key."""
    folder = tmp_path_factory.mktemp("openapi")
    path = tiny_models.write(str(folder / "model.gguf"), arch="llama")
    server = Server(build_dir / "paceline", path, "--parallel", 4, "--ctx-size", 2048,
                    "--chat-template", "chatml", "--api-key", "secret")
    try:
        yield server.wait()
    finally:
        server.stop()


KEY = {"Authorization": "Bearer secret"}
USER = [{"role": "user", "content": "Hi"}]
TOOL = {"name": "add", "parameters": {"type": "object", "properties": {"x": {"enum": [1, 2]}},
                                      "required": ["x"], "additionalProperties": False}}
CHAT = {"messages": USER, "max_tokens": 4}
CALL = {"messages": USER, "tools": [{"type": "function", "function": TOOL}],
        "tool_choice": "required", "max_tokens": 200, "temperature": 0}
TEXT = {"prompt": "Hi", "max_tokens": 4}
REPLY = {"input": "Hi", "max_output_tokens": 4}
REPLY_CALL = {"input": "Hi", "tools": [{"type": "function", **TOOL}], "tool_choice": "required",
              "max_output_tokens": 200, "temperature": 0}
CLAUDE_CALL = {"messages": USER, "max_tokens": 200, "temperature": 0,
               "tool_choice": {"type": "any"}, "tools": [
                   {"name": "add", "input_schema": TOOL["parameters"]}]}
OLLAMA = {"messages": USER, "options": {"num_predict": 4}}
POSTS = [
    ("/v1/chat/completions", [CHAT, CALL, {**CHAT, "n": 2, "logprobs": True, "top_logprobs": 2},
                              {**CHAT, "stream_options": {"include_usage": True}},
                              {**CHAT, "response_format": {"type": "json_object"}},
                              {"messages": [USER, USER], "max_tokens": 4, "n": 2},
                              {"messages": []}]),
    ("/chat/completions", [CHAT]),
    ("/v1/completions", [TEXT, {**TEXT, "logprobs": 2, "echo": True}, {"prompt": [1, 2, "a"]},
                         {**TEXT, "prompt": ["a", [1, 2]], "n": 2, "seed": -1}, {}]),
    ("/completions", [TEXT]),
    ("/v1/chat/completions/input_tokens", [CHAT, {}]),
    ("/v1/responses", [REPLY, REPLY_CALL, {**REPLY, "top_logprobs": 2}, {"input": []},
                       {**REPLY, "metadata": {"a": "b"}, "instructions": "Be brief."},
                       {**REPLY, "text": {"format": {"type": "json_object"}}}]),
    ("/v1/responses/input_tokens", [REPLY, {}]),
    ("/v1/messages", [CHAT, CLAUDE_CALL, {**CHAT, "system": "Be brief."}, {}]),
    ("/v1/messages/count_tokens", [CHAT, {}]),
    ("/api/chat", [OLLAMA, {**CALL, "options": {"num_predict": 200, "temperature": 0}},
                   {**OLLAMA, "logprobs": True, "top_logprobs": 2}, {}, {"messages": 5}]),
    ("/api/generate", [{"prompt": "Hi", "options": {"num_predict": 4}}, {"prompt": ""},
                       {"prompt": "Hi", "raw": True, "options": {"num_predict": 4}},
                       {"prompt": 5}]),
    ("/api/show", [{"model": "model"}, {"model": "another"}, {}]),
    ("/completion", [TEXT, {**TEXT, "n_probs": 2, "return_tokens": True, "n_cmpl": 2},
                     {**TEXT, "response_fields": ["content", "generation_settings/seed"]},
                     {**TEXT, "logit_bias": [[1, False], [" a", 2]], "stop": ["x"]}, {}]),
    ("/infill", [{"input_prefix": "a", "input_suffix": "b"}, {}]),
    ("/tokenize", [{"content": "é"}, {"content": "é", "with_pieces": True}, {}]),
    ("/detokenize", [{"tokens": [1, 2]}, {"tokens": [-1]}]),
    ("/apply-template", [CHAT, {}]),
    ("/v1/embeddings", [{"input": "a"}, {"input": ["a", "b"], "encoding_format": "base64"},
                        {"input": [1, 2], "dimensions": 8, "embd_normalize": -1}, {}]),
    ("/embedding", [{"content": "a"}, {"input": []}]),
    ("/api/embed", [{"input": "a"}, {"input": ["a", "b"], "dimensions": 8}, {}]),
    ("/api/embeddings", [{"prompt": "a"}, {"prompt": ["a"]}, {"input": "a"}]),
]
STREAMS = ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages", "/api/chat",
           "/api/generate", "/completion")
CASES = [(path, {**body, "stream": False}) for path, bodies in POSTS for body in bodies]
CASES += [(path, {**body, "stream": True}) for path, bodies in POSTS if path in STREAMS
          for body in bodies]


@pytest.mark.parametrize("path, body", CASES, ids=lambda v: str(v)[:50])
def test_answers_are_as_the_document_says(tiny, path, body):
    answer = tiny.post(path, body, headers=KEY)
    check_answer("POST", path, answer)


def test_what_a_verbose_server_tells(start_server):
    with start_server("--verbose", "--ctx-size", 512) as server:
        answer = server.post("/v1/chat/completions", CHAT)
    assert "__verbose" in answer[2]
    check_answer("POST", "/v1/chat/completions", answer)


def test_good_requests_are_answered(tiny):
    """That the cases above are not all refused."""
    for path, bodies in POSTS:
        if path != "/infill":       # the model has no tokens for it
            assert tiny.post(path, {**bodies[0], "stream": False}, headers=KEY)[0] == 200, path


def test_requests_of_the_cases_are_valid(tiny):
    """The document takes what the server takes."""
    for path, bodies in POSTS:
        content = DOCUMENT["components"]["requestBodies"]
        told = DOCUMENT["paths"][path]["post"]["requestBody"]
        if "$ref" in told:
            told = content[told["$ref"].split("/")[-1]]
        schema = told["content"]["application/json"]["schema"]
        for body in bodies:
            if tiny.post(path, {**body, "stream": False}, headers=KEY)[0] == 200:
                check(schema, body, DOCUMENT["components"])


GETS = [path for (method, path), _ in operations() if method == "GET" and "{" not in path]


@pytest.mark.parametrize("path", GETS)
def test_documents_are_as_the_document_says(tiny, path):
    answer = tiny.request("GET", path, headers=KEY)
    assert answer[0] == 200
    check_answer("GET", path, answer)
    answer = tiny.request("GET", path)      # without a key
    check_answer("GET", path, answer)


def test_models_by_name(tiny):
    for name, status in (("model.gguf", 200), ("another", 404)):
        answer = tiny.request("GET", f"/v1/models/{name}", headers=KEY)
        assert answer[0] == status
        check_answer("GET", "/v1/models/{model}", answer)


def test_stored_responses(tiny):
    of_items = "/v1/responses/{response_id}/input_items"
    items = [*USER, {"type": "function_call", "call_id": "abcdefgh1", "name": "add",
                     "arguments": "{}"},
             {"type": "function_call_output", "call_id": "abcdefgh1", "output": "3"},
             {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "so"}]}]
    stored = tiny.post("/v1/responses", {**REPLY, "input": items}, headers=KEY)[2]["id"]
    for key in (stored, "resp_none"):
        for method, path in (("GET", "/v1/responses/{response_id}"), ("GET", of_items),
                             ("DELETE", "/v1/responses/{response_id}")):
            answer = tiny.request(method, path.replace("{response_id}", key), headers=KEY)
            assert answer[0] == (200 if key == stored else 404)
            check_answer(method, path, answer)
    answer = tiny.request("GET", of_items.replace("{response_id}", stored) + "?limit=0",
                          headers=KEY)
    assert answer[0] == 400
    check_answer("GET", of_items, answer)


def test_errors_of_the_head_have_the_route_s_shape(tiny):
    """Also where no body and no key was looked at."""
    heads = (({"Content-Length": "0", "Transfer-Encoding": "chunked"}, 400),
             ({"X-Filler": "x" * 32800}, 431), ({"Transfer-Encoding": "gzip"}, 501),
             ({**KEY, "Content-Length": str(1 << 30)}, 413))
    for path in ("/v1/completions", "/v1/messages", "/api/chat"):
        for headers, status in heads:
            answer = tiny.request("POST", path, headers=headers)
            assert answer[0] == status, (path, headers, answer)
            check_answer("POST", path, answer)


def test_it_is_served_while_the_model_loads(build_dir, fetch_model):
    server = Server(build_dir / "paceline", fetch_model("smollm2-135m"), "--ctx-size", 512)
    try:
        assert server.wait_until(lambda: is_listening(server))
        while server.request("GET", "/health")[0] == 503:
            assert server.request("GET", "/openapi.json")[0] == 200
        assert server.request("GET", "/openapi.json")[0] == 200
    finally:
        server.stop()


def is_listening(server):
    with contextlib.suppress(OSError):
        return server.request("GET", "/openapi.json")[0] == 200
    return False


def test_it_is_served_without_a_key(tiny):
    status, headers, body = tiny.request("GET", "/openapi.json")
    assert status == 200 and headers["Content-Type"] == "application/json"
    assert body == DOCUMENT
