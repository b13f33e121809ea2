"""How long a reply may think: thinking_budget_tokens and its other names."""

import pytest

TEMPLATE = """{% for m in messages %}{{ m.role }}: {{ m.content }}
{% endfor %}{{ '<think>\n' if enable_thinking else 'assistant:' }}"""
ASK = {"messages": [{"role": "user", "content": "Why is the sky blue?"}], "max_tokens": 40,
       "temperature": 0, "ignore_eos": True, "logprobs": True}


@pytest.fixture(scope="module")
def thinker(start_server, tmp_path_factory):
    """Its replies begin in thoughts, and end none by themselves."""
    template = tmp_path_factory.mktemp("t") / "template.jinja"
    template.write_text(TEMPLATE)
    with start_server("--parallel", 4, "--ctx-size", 512, "--chat-template-file", template) as s:
        yield s


def ask(server, **more):
    status, _, reply = server.post("/v1/chat/completions", {**ASK, **more})
    assert status == 200, reply
    choice = reply["choices"][0]
    message = choice["message"]
    return (message.get("reasoning_content", ""), message["content"],
            [t["token"] for t in choice["logprobs"]["content"]])


@pytest.mark.parametrize("name", ["thinking_budget_tokens", "reasoning_budget",
                                  "thinking_token_budget"])
def test_thoughts_end_in_time(thinker, name):
    thoughts, content, tokens = ask(thinker)
    assert thoughts and not content
    for n in (0, 1, 9):
        short, rest, cut = ask(thinker, **{name: n})
        assert cut[:n] == tokens[:n], "thoughts are what they would have been"
        assert "".join(cut[n:]).startswith("</think>") and rest
        assert short.strip() == "".join(tokens[:n]).strip()
    assert ask(thinker, **{name: -1})[2] == tokens
    assert ask(thinker, **{name: 1000})[2] == tokens


def test_with_a_seed_and_in_company(thinker):
    """Forced whatever the samplers are; the same alone and as one of three."""
    more = {"temperature": 1.5, "seed": 5, "top_k": 3, "xtc_probability": 1, "mirostat": 2,
            "thinking_budget_tokens": 6}
    _, content, tokens = ask(thinker, **more)
    assert "".join(tokens[6:]).startswith("</think>") and content
    status, _, reply = thinker.post("/v1/chat/completions", {**ASK, **more, "n": 3})
    first = [t["token"] for t in reply["choices"][0]["logprobs"]["content"]]
    assert status == 200 and first == tokens


def test_what_does_not_think_is_left_alone(thinker):
    off = {"enable_thinking": False}
    assert ask(thinker, **off, thinking_budget_tokens=2) == ask(thinker, **off)


def test_a_form_comes_behind_them(thinker):
    thoughts, content, _ = ask(thinker, thinking_budget_tokens=4, ignore_eos=False,
                               response_format={"type": "json_schema", "json_schema": {
                                   "schema": {"enum": ["yes", "no"]}}})
    assert thoughts and content.strip() in ('"yes"', '"no"')


def test_anthropics_budget(thinker):
    status, _, reply = thinker.post("/v1/messages", {
        "messages": ASK["messages"], "max_tokens": 40, "temperature": 0,
        "thinking": {"type": "enabled", "budget_tokens": 5}})
    assert status == 200 and [b["type"] for b in reply["content"]] == ["thinking", "text"]


def test_what_is_refused(thinker):
    status, _, reply = thinker.post("/v1/chat/completions", {**ASK, "thinking_budget_tokens": "a"})
    assert status == 400 and reply["error"]["param"] == "thinking_budget_tokens"
