"""The server over plain HTTP: errors, limits, disconnects, overload, shutdown, metrics."""

import concurrent.futures
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
    (ask(temperature=-1), 400, "temperature"), (ask(temperature="x"), 400, "temperature"),
    (ask(top_p=2), 400, "top_p"), (ask(n=0), 400, "n"), (ask(n=1000), 400, "n"),
    (ask(max_tokens=0), 400, "max_tokens"), (ask(max_tokens=1.5), 400, "max_tokens"),
    (ask(stop=5), 400, "stop"), (ask(stop=["x"] * 99), 400, "stop"),
    (ask(logit_bias={"a": 1}), 400, "logit_bias"), (ask(logit_bias={"5": 101}), 400, "logit_bias"),
    (ask(logit_bias={"9999999": 1}), 400, "logit_bias"), (ask(stop="x" * 257), 400, "stop"),
    (ask(logprobs=True, top_logprobs=99), 400, "top_logprobs"), (ask(stream="yes"), 400, "stream"),
    (ask(response_format={"type": "json_object"}), 400, "response_format"),
    (ask(tool_choice="required"), 400, "tool_choice"), (ask(seed="x"), 400, "seed"),
    (ask(model="nobody"), 404, "model"),
]


@pytest.mark.parametrize("body,status,param", BAD, ids=lambda v: str(v)[:40])
def test_bad_requests(server, body, status, param):
    got, _, reply = server.post(CHAT, body)
    assert got == status
    assert reply["error"]["param"] == param and reply["error"]["message"]
    assert set(reply["error"]) == {"message", "type", "param", "code"}


def test_bad_token_ids(server):
    for prompt in ([1, "x"], [10 ** 9], [-1], 5, [], {}):
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
    assert server.post("/detokenize", {"tokens": [1, "x"]})[0] == 400
    prompt = server.post("/apply-template", ask("hey"))[2]["prompt"]
    assert prompt.endswith("<|im_start|>user\nhey<|im_end|>\n<|im_start|>assistant\n")


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
    memory = server.request("GET", "/props")[2]["memory"]
    assert abs(server.resident_bytes() / memory["total_bytes"] - 1) < 0.03


def test_disconnect_frees_the_slot_while_running(server):
    s = open_stream(server, LONG)
    assert b"200" in s.recv(100)
    assert server.wait_until(lambda: server.busy_slots() == 1)
    s.close()
    assert server.wait_until(lambda: server.busy_slots() == 0, 3)


def test_disconnect_of_a_request_without_stream(server):
    s = open_stream(server, {**LONG, "stream": False})
    assert server.wait_until(lambda: server.busy_slots() == 1)
    s.close()
    assert server.wait_until(lambda: server.busy_slots() == 0, 3)


def test_queue_full_and_disconnect_while_queued(start_server):
    with start_server("--parallel", 1, "--ctx-size", 512, "--queue-requests", 2) as server:
        running = open_stream(server, LONG)
        assert server.wait_until(lambda: server.busy_slots() == 1)
        queued = [open_stream(server, LONG) for _ in range(2)]
        assert server.wait_until(lambda: server.metric("paceline_streams_queued") == 2)
        status, headers, reply = server.post(CHAT, ask())
        assert status == 429 and int(headers["Retry-After"]) >= 1
        assert reply["error"]["code"] == "queue_full"
        assert b"200 OK" in queued[0].recv(4096), "the head goes out while queued"
        for s in queued:
            s.close()
        assert server.wait_until(lambda: server.metric("paceline_streams_queued") == 0, 3)
        assert server.busy_slots() == 1, "the one that runs goes on"
        running.close()
        assert server.post(CHAT, ask())[0] == 200


def test_pings_while_queued(start_server):
    with start_server("--parallel", 1, "--ctx-size", 8192, "--sse-ping-interval", 1) as server:
        running = open_stream(server, {**LONG, "max_tokens": 8000})
        assert server.wait_until(lambda: server.busy_slots() == 1)
        waiting = open_stream(server, LONG)
        waiting.settimeout(10)
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
    assert server.busy_slots() == 0


def test_a_long_prompt_does_not_hold_up_the_others(server):
    """It is tokenized on a thread of its own, while short requests go on, and then refused."""
    result = []
    long = ask("word " * 3_000_000)
    thread = threading.Thread(target=lambda: result.append(server.post(CHAT, long)))
    thread.start()
    waits, begin = [], time.monotonic()
    while thread.is_alive():
        start = time.monotonic()
        assert server.request("GET", "/health")[0] == 200
        waits.append(time.monotonic() - start)
        time.sleep(0.01)
    assert result[0][0] == 400 and result[0][2]["error"]["code"] == "context_length_exceeded"
    assert max(waits) < (time.monotonic() - begin) / 2, f"of {len(waits)} checks"


def test_slow_reader_delays_nobody(server):
    slow = open_stream(server, {**LONG, "max_tokens": 450, "logprobs": True, "top_logprobs": 20})
    assert server.wait_until(lambda: server.busy_slots() >= 1)
    start = time.monotonic()
    for i in range(5):
        assert server.post(CHAT, ask(f"Say {i}"))[0] == 200
    assert time.monotonic() - start < 30
    slow.settimeout(60)
    seen = b""
    while b"[DONE]" not in seen[-100:]:
        part = slow.recv(65536)
        assert part, "the slow reader's stream was cut"
        seen += part
    slow.close()


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
    with start_server("--parallel", 2, "--ctx-size", 1024) as server:
        result = []
        body = ask("Go on.", max_tokens=300, ignore_eos=True)
        thread = threading.Thread(target=lambda: result.append(server.post(CHAT, body)))
        thread.start()
        assert server.wait_until(lambda: server.busy_slots() == 1)
        server.process.send_signal(signal.SIGTERM)
        thread.join(60)
        assert result[0][0] == 200 and result[0][2]["usage"]["completion_tokens"] == 300
        assert server.process.wait(timeout=20) == 0


def test_sigterm_refuses_new_work_and_cuts_after_the_grace_time(start_server):
    with start_server("--parallel", 2, "--ctx-size", 8192, "--grace", 1) as server:
        s = open_stream(server, {**LONG, "max_tokens": 8000})
        assert server.wait_until(lambda: server.busy_slots() == 1)
        server.process.send_signal(signal.SIGTERM)
        assert server.wait_until(lambda: server.request("GET", "/health")[0] == 503, 1)
        status, headers, reply = server.post(CHAT, ask())
        assert status == 503 and reply["error"]["code"] == "shutting_down"
        assert server.process.wait(timeout=20) == 0
        s.close()


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

    server.post(CHAT, ask())
    time.sleep(0.5)
    before = cpu_s()
    time.sleep(2)
    assert cpu_s() - before <= 0.02


def test_memory_stays_flat_over_two_thousand_requests(server):
    def one(i):
        return server.post(CHAT, ask(f"Number {i % 500}", max_tokens=2, seed=i))[0]

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        assert set(pool.map(one, range(400))) == {200}
        before = server.resident_bytes()
        assert set(pool.map(one, range(1600))) == {200}
    assert server.resident_bytes() < before + (4 << 20)
