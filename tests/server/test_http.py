"""The server over plain HTTP: errors, limits, disconnects, overload, shutdown, metrics."""

import concurrent.futures
import http.client
import json
import signal
import socket
import threading
import time

import pytest

CHAT = "/v1/chat/completions"


def ask(content="Hi", **more):
    return {"messages": [{"role": "user", "content": content}], "max_tokens": 8, **more}


LONG = ask("Tell me a very long story.", max_tokens=400, ignore_eos=True, stream=True)
# as long as it goes: what a test waits for comes before its end
ENDLESS = {**LONG, "max_tokens": 8000}


def open_stream(server, body):
    """A socket on which a request was sent; nothing was read yet."""
    s = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    raw = json.dumps(body).encode()
    s.sendall(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" %
              (CHAT.encode(), len(raw)) + raw)
    return s


BAD = [
    ("{", 400, None), ("[]", 400, None), ("", 400, None), (b"\xff\xfe", 400, None),
    ({}, 400, "messages"), ({"messages": []}, 400, "messages"),
    ({"messages": "hi"}, 400, "messages"), ({"messages": [1]}, 400, "messages"),
    ({"messages": [{"content": "x"}]}, 400, "messages"),
    ({"messages": [{"role": "user", "content": 5}]}, 400, "messages"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "messages"),
    (ask(temperature=101), 400, "temperature"), (ask(temperature="x"), 400, "temperature"),
    (ask(top_p=2), 400, "top_p"), (ask(n=0), 400, "n"), (ask(n=1000), 400, "n"),
    (ask(max_tokens=0), 400, "max_tokens"), (ask(max_tokens=1.5), 400, "max_tokens"),
    (ask(stop=5), 400, "stop"), (ask(stop=["x"] * 99), 400, "stop"),
    (ask(logit_bias={"": 1}), 400, "logit_bias"), (ask(logit_bias={"5": 101}), 400, "logit_bias"),
    (ask(logit_bias={"9999999": 1}), 400, "logit_bias"), (ask(stop="x" * 257), 400, "stop"),
    (ask(logprobs=True, top_logprobs=99), 400, "top_logprobs"), (ask(stream="yes"), 400, "stream"),
    (ask(response_format={"type": "xml"}), 400, "response_format"),
    (ask(tool_choice="required"), 400, "tool_choice"), (ask(seed="x"), 400, "seed"),
    (ask(mirostat=3), 400, "mirostat"), (ask(add_generation_prompt="no"), 400,
                                         "add_generation_prompt"),
    (ask(tools=[5]), 400, "tools"),
]


@pytest.mark.parametrize("body,status,param", BAD, ids=lambda v: str(v)[:40])
def test_bad_requests(server, body, status, param):
    got, _, reply = server.post(CHAT, body)
    assert got == status
    assert reply["error"]["param"] == param and reply["error"]["message"]
    assert set(reply["error"]) == {"message", "type", "param", "code"}


def test_a_conversation_that_does_not_fit(server):
    status, _, reply = server.post(CHAT, ask("word " * 600))
    error = reply["error"]
    assert status == 400 and error["type"] == "exceed_context_size_error"
    assert error["n_ctx"] == 512 and error["n_prompt_tokens"] > 600
    assert "exceeds the available context size" in error["message"]
    assert error["code"] == "context_length_exceeded"


def test_any_model_name_is_served(server):
    for name in ("gpt-3.5-turbo", "default", "SMOLLM2", ""):
        status, _, reply = server.post(CHAT, ask(model=name, max_tokens=1))
        assert status == 200 and reply["model"].endswith(".gguf")


def test_bad_token_ids(server):
    for prompt in ([1, True], [10 ** 9], [-1], 5, [], {}):
        assert server.post("/v1/completions", {"prompt": prompt, "max_tokens": 1})[0] == 400, prompt


def test_routes_and_methods(server):
    assert server.request("GET", "/nowhere")[0] == 404
    status, headers, reply = server.request("GET", CHAT)
    assert status == 405 and headers["Allow"] == "POST" and "POST" in reply["error"]["message"]
    assert server.request("HEAD", "/health")[0] == 200
    assert server.request("OPTIONS", CHAT)[0] == 204
    assert server.request("GET", "/")[2]["name"] == "paceline"
    assert server.request("GET", "/health")[2] == {"status": "ok"}


def test_body_too_large(server):
    assert server.post(CHAT, b"x" * (17 << 20))[0] == 413


def test_text_routes(server):
    text = "Hello <|im_end|> wörld \U0001f600\n"
    ids = server.post("/tokenize", {"content": text})[2]["tokens"]
    assert server.post("/detokenize", {"tokens": ids})[2]["content"] == text
    assert 2 in ids and 2 not in server.post(
        "/tokenize", {"content": text, "parse_special": False})[2]["tokens"]
    pieces = server.post("/tokenize", {"content": text, "with_pieces": True})[2]["tokens"]
    assert [p["id"] for p in pieces] == ids
    assert server.post("/tokenize", {"content": 5})[0] == 400
    for bad in ([1, "x"], [10 ** 8], [-1], [49152], {}, None):
        assert server.post("/detokenize", {"tokens": bad})[0] == 400, bad
    prompt = server.post("/apply-template", ask("hey"))[2]["prompt"]
    assert prompt.endswith("<|im_start|>user\nhey<|im_end|>\n<|im_start|>assistant\n")


def prompt_of(server, *messages, **more):
    status, _, reply = server.post("/apply-template", {"messages": list(messages), **more})
    return reply["prompt"] if status == 200 else reply["error"]["param"]


def test_a_reply_that_has_begun_is_continued(server):
    user = {"role": "user", "content": "Name a colour."}
    begun = {"role": "assistant", "content": "Sure, "}
    head = "<|im_start|>user\nName a colour.<|im_end|>\n<|im_start|>assistant\n"
    turn = head + "Sure, <|im_end|>\n"
    assert prompt_of(server, user, begun).endswith(head + "Sure, ")
    parts = {"role": "assistant", "content": [{"type": "text", "text": "Su"},
                                              {"type": "text", "text": "re"}]}
    assert prompt_of(server, user, parts).endswith(head + "Su\nre")
    assert prompt_of(server, user, begun, continue_final_message=True,
                     add_generation_prompt=False).endswith(head + "Sure, ")
    assert prompt_of(server, user, begun, continue_final_message=False).endswith(
        turn + "<|im_start|>assistant\n")
    assert prompt_of(server, user, begun, add_generation_prompt=True).endswith(
        turn + "<|im_start|>assistant\n")
    assert prompt_of(server, user, begun, add_generation_prompt=False).endswith(turn)
    assert prompt_of(server, user, begun, continue_final_message=True,
                     add_generation_prompt=True) == "continue_final_message"
    assert prompt_of(server, user, continue_final_message=True) == "continue_final_message"
    whole = server.post(CHAT, ask() | {"messages": [user, begun], "temperature": 0})[2]
    raw = server.post("/v1/completions", {
        "prompt": prompt_of(server, user, begun), "temperature": 0,
        "max_tokens": whole["usage"]["completion_tokens"]})[2]
    assert whole["choices"][0]["message"]["content"] == raw["choices"][0]["text"]


def test_the_prompt_is_told_where_the_server_is_verbose(server, start_server):
    assert "__verbose" not in server.post(CHAT, ask())[2]
    with start_server("--verbose") as s:
        assert s.post(CHAT, ask())[2]["__verbose"]["prompt"] == prompt_of(s, *ask()["messages"])


def test_today_is_known_to_templates(start_server, tmp_path):
    template = tmp_path / "date.jinja"
    template.write_text("{{ date_string }}|{{ datetime }}|{{ messages[0].content }}")
    with start_server("--chat-template-file", template) as s:
        user = {"role": "user", "content": "x"}
        before = time.strftime("%d %b %Y|%b %d %Y|x")
        assert prompt_of(s, user) in (before, time.strftime("%d %b %Y|%b %d %Y|x"))
        kwargs = {"date_string": "1", "datetime": "2"}
        assert prompt_of(s, user, chat_template_kwargs=kwargs) == "1|2|x"


def test_props_and_slots(server):
    props = server.request("GET", "/props")[2]
    assert props["total_slots"] == 20 and props["ctx_tokens_per_stream"] == 512
    assert props["kv_pool_tokens"] == 20 * 512 and "im_start" in props["chat_template"]
    slots = server.request("GET", "/slots")[2]
    assert [s["id"] for s in slots] == list(range(20))


def test_metrics_are_prometheus_text(server):
    from prometheus_client.parser import text_string_to_metric_families
    server.post(CHAT, ask())
    _, headers, text = server.request("GET", "/metrics")
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    families = {f.name: f for f in text_string_to_metric_families(text.decode())}
    for name in ("paceline_requests", "paceline_time_to_first_token_seconds",
                 "paceline_inter_token_latency_seconds", "llm_tokens_per_second",
                 "llm_slots_available", "llm_slots_processing", "llm_memory_usage_gb"):
        assert name in families, name
    for f in families.values():
        assert f.documentation and f.type != "unknown"
        names = {s.name for s in f.samples}
        if f.type == "counter":
            assert names == {f.name + "_total"}
        if f.type == "histogram":
            assert names == {f.name + end for end in ("_bucket", "_sum", "_count")}
    h = {s.labels.get("le"): s.value
         for s in families["paceline_time_to_first_token_seconds"].samples if "le" in s.labels}
    values = list(h.values())
    assert values == sorted(values) and h["+Inf"] >= 1


def test_resident_memory_is_the_plan(server):
    """What it took; the program's own code and libraries, which are files that processes share, are
    not in the plan, and of a small model they are 3 %."""
    memory = server.request("GET", "/props")[2]["memory"]
    assert abs(server.anonymous_bytes() / memory["total_bytes"] - 1) < 0.02


@pytest.fixture(scope="module")
def roomy(start_server):
    """Two slots in which a reply may go on for long."""
    with start_server("--parallel", 2, "--ctx-size", 8192) as s:
        yield s


def n_cancelled(server):
    return server.metric('paceline_finished_total{reason="cancelled"}')


@pytest.mark.parametrize("stream", [True, False])
def test_disconnect_frees_the_slot_while_running(roomy, stream):
    before = n_cancelled(roomy)
    s = open_stream(roomy, {**ENDLESS, "stream": stream})
    if stream:
        assert b"200" in s.recv(100)
    assert roomy.wait_until(lambda: roomy.busy_slots() == 1)
    s.close()
    assert roomy.wait_until(lambda: roomy.busy_slots() == 0)
    assert n_cancelled(roomy) == before + 1


def test_queue_full_and_disconnect_while_queued(start_server):
    with start_server("--parallel", 1, "--ctx-size", 8192, "--queue-requests", 2) as server:
        running = open_stream(server, ENDLESS)
        assert server.wait_until(lambda: server.busy_slots() == 1)
        queued = [open_stream(server, LONG) for _ in range(2)]
        assert server.wait_until(lambda: server.metric("paceline_streams_queued") == 2)
        status, headers, reply = server.post(CHAT, ask())
        assert status == 429 and int(headers["Retry-After"]) >= 1
        assert reply["error"]["code"] == "queue_full"
        assert b"200 OK" in queued[0].recv(4096), "the head goes out while queued"
        for s in queued:
            s.close()
        assert server.wait_until(lambda: server.metric("paceline_streams_queued") == 0)
        assert server.wait_until(lambda: n_cancelled(server) == 2), "with the step that runs"
        assert server.busy_slots() == 1, "the one that runs goes on"
        running.close()
        assert server.post(CHAT, ask())[0] == 200


def test_pings_while_queued(start_server):
    with start_server("--parallel", 1, "--ctx-size", 8192, "--sse-ping-interval", 1) as server:
        running = open_stream(server, ENDLESS)
        assert server.wait_until(lambda: server.busy_slots() == 1)
        waiting = open_stream(server, LONG)
        seen = b""
        while b": ping" not in seen:
            seen += waiting.recv(4096)
        running.close()
        waiting.close()


def test_two_hundred_clients_on_twenty_slots(server):
    before = server.resident_bytes()

    def one(i):
        return server.post(CHAT, ask(f"Say {i}.", temperature=0), timeout=300)

    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        replies = list(pool.map(one, range(200)))
    assert all(r[0] == 200 for r in replies)
    assert len({r[2]["id"] for r in replies}) == 200
    assert server.resident_bytes() < before * 1.03 + (8 << 20)
    assert server.wait_until(lambda: server.busy_slots() == 0)


def test_a_long_prompt_does_not_hold_up_the_others(server):
    """It is tokenized on a thread of its own, while short requests go on, and then refused."""
    result = []
    long = ask("word " * 3_000_000)
    thread = threading.Thread(target=lambda: result.append(server.post(CHAT, long)))
    thread.start()
    n_answers = 0
    while thread.is_alive():
        assert server.request("GET", "/health")[0] == 200
        n_answers += 1
    assert result[0][0] == 400 and result[0][2]["error"]["code"] == "context_length_exceeded"
    assert n_answers > 10, "one that was held up would have been answered at the end"


def test_slow_reader_delays_nobody(server):
    slow = open_stream(server, {**LONG, "max_tokens": 450, "logprobs": True, "top_logprobs": 20})
    assert server.wait_until(lambda: server.busy_slots() >= 1)
    for i in range(5):
        assert server.post(CHAT, ask(f"Say {i}"))[0] == 200
    seen = b""
    while b"[DONE]" not in seen[-100:]:
        part = slow.recv(65536)
        assert part, "the slow reader's stream was cut"
        seen += part
    slow.close()


def stalled_stream(server):
    """A client with hardly any room that never reads its answer, which is long and wordy."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.connect(("127.0.0.1", server.port))
    raw = json.dumps({**ENDLESS, "logprobs": True, "top_logprobs": 20}).encode()
    s.sendall(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" %
              (CHAT.encode(), len(raw)) + raw)
    return s


def test_a_reader_that_takes_nothing_is_dropped(start_server):
    """Its slot goes to the one behind it, which waited longer than anybody may stall."""
    with start_server("--parallel", 1, "--ctx-size", 8192, "--write-timeout", 2,
                      "--sse-ping-interval", 0, "--threads", 1) as server:
        stalled = stalled_stream(server)
        assert server.wait_until(lambda: server.busy_slots() == 1)
        waiting = open_stream(server, {**LONG, "max_tokens": 4})
        assert server.wait_until(lambda: n_cancelled(server) == 1)
        seen = b""
        while b"[DONE]" not in seen:
            part = waiting.recv(65536)
            assert part, "the one behind it was cut"
            seen += part
        waiting.close()
        assert server.metric('paceline_finished_total{reason="length"}') == 1
        assert server.metric("paceline_kv_pages_used") == 0
        stalled.close()


def test_keep_alive_outlives_the_write_timeout(start_server):
    """The time counts while an answer is written, not between requests, nor before the first
    token."""
    with start_server("--parallel", 1, "--ctx-size", 512, "--write-timeout", 1,
                      "--threads", 1) as server:
        c = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        for _ in range(2):
            c.request("POST", CHAT, json.dumps(ask()))
            assert c.getresponse().read()
            sock = c.sock
            assert sock is not None
            time.sleep(3)       # libmicrohttpd counts whole seconds
        c.request("GET", "/health")
        assert c.sock is sock and c.getresponse().status == 200
        c.close()


def test_api_keys(start_server):
    with start_server("--api-key", "secret,other", "--parallel", 1, "--ctx-size", 256) as server:
        assert server.request("GET", "/health")[0] == 200
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer "},
                        {"x-api-key": "secre"}):
            status, _, reply = server.request("POST", CHAT, ask(), headers)
            assert status == 401 and reply["error"]["code"] == "invalid_api_key"
        for headers in ({"Authorization": "Bearer secret"}, {"x-api-key": "other"}):
            assert server.request("POST", CHAT, ask(), headers)[0] == 200


def test_sigterm_finishes_what_runs(start_server):
    with start_server("--parallel", 2, "--ctx-size", 2048, "--grace", 600) as server:
        s = open_stream(server, {**LONG, "max_tokens": 600,
                                 "stream_options": {"include_usage": True}})
        seen = s.recv(4096)
        server.process.send_signal(signal.SIGTERM)
        seen += rest_of(s)
        assert b'"completion_tokens":600' in seen and b"[DONE]" in seen
        assert server.process.wait(timeout=120) == 0


def rest_of(s):
    """All that comes until the server closes the connection."""
    seen = b""
    with s:
        while part := s.recv(65536):
            seen += part
    return seen


def test_sigterm_refuses_new_work_until_a_second_one(start_server):
    with start_server("--parallel", 2, "--ctx-size", 8192, "--grace", 600) as server:
        s = open_stream(server, ENDLESS)
        assert server.wait_until(lambda: server.busy_slots() == 1)
        server.process.send_signal(signal.SIGTERM)
        assert server.wait_until(lambda: server.request("GET", "/health")[0] == 503)
        status, headers, reply = server.post(CHAT, ask())
        assert status == 503 and reply["error"]["code"] == "shutting_down"
        server.process.send_signal(signal.SIGTERM)
        assert b'"code":"shutting_down"' in rest_of(s)
        assert server.process.wait(timeout=120) == 0


def test_sigterm_cuts_after_the_grace_time(start_server):
    with start_server("--parallel", 2, "--ctx-size", 8192, "--grace", 1) as server:
        s = open_stream(server, ENDLESS)
        assert server.wait_until(lambda: server.busy_slots() == 1)
        server.process.send_signal(signal.SIGTERM)
        assert b'"code":"shutting_down"' in rest_of(s)
        assert server.process.wait(timeout=120) == 0


def test_llama_server_command_line(build_dir, fetch_model, start_server):
    """The line of llama-server with only the program's name changed."""
    with start_server("--ctx-size", 256, "--parallel", 20, "--cont-batching", "--batch-size", 512,
                      "--ubatch-size", 256, "--n-gpu-layers", 999, "--threads", 4,
                      "--threads-batch", 4, "--flash-attn", "--mlock", "--metrics",
                      "--log-disable") as server:
        assert server.post(CHAT, ask())[0] == 200
        assert server.request("GET", "/props")[2]["ctx_tokens_per_stream"] == 256


def test_idle_server_uses_no_processor_time(server):
    def cpu_s():
        with open(f"/proc/{server.process.pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def idles():
        before = cpu_s()
        time.sleep(2)
        return cpu_s() - before <= 0.02

    server.post(CHAT, ask())
    assert server.wait_until(idles)


def test_memory_stays_flat_over_two_thousand_requests(server):
    def one(i):
        return server.post(CHAT, ask(f"Number {i % 500}", max_tokens=2, seed=i))[0]

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        assert set(pool.map(one, range(400))) == {200}
        before = server.resident_bytes()
        assert set(pool.map(one, range(1600))) == {200}
    assert server.resident_bytes() < before + (4 << 20)
