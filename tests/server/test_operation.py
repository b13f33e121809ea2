"""What an operator does to a server: signals, keys read again, addresses, few open files, the
log."""

import contextlib
import json
import re
import resource
import signal
import socket
import subprocess
import time

import pytest

from serving import Server

CHAT = "/v1/chat/completions"
ASK = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3}


def until(condition):
    while not (found := condition()):
        time.sleep(0.01)
    return found


@pytest.fixture
def loading(build_dir, fetch_model):
    """A server that was just started and says that it loads."""
    s = Server(build_dir / "paceline", fetch_model("qwen2.5-coder-0.5b"))

    def answer():
        assert s.process.poll() is None, s.process.stderr.read()
        with contextlib.suppress(OSError):
            return s.request("GET", "/health")
    try:
        yield s, until(answer)
    finally:
        s.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_server_that_loads(loading, number):
    s, (status, _, reply) = loading
    assert status == 503 and reply["error"]["code"] == "loading"
    assert 0 <= reply["error"]["percent"] <= 100
    s.process.send_signal(number)
    assert s.process.wait() == 0
    assert "listening" not in s.process.stderr.read()


def test_how_far_the_loading_is(loading):
    s, _ = loading
    s.wait()
    s.stop()
    shares = [int(n) for n in re.findall(r"^loading: (\d+) %", s.errors, re.M)]
    assert shares and shares == sorted(set(shares)) and len(shares) <= 9


def test_sighup_reads_the_keys_again(build_dir, fetch_model, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("one\n")
    s = Server(build_dir / "paceline", fetch_model("smollm2-135m"), "--parallel", 2, "--ctx-size",
               512, "--api-key-file", keys, "--api-key", "always")
    try:
        s.wait()

        def status_of(key):
            return s.request("GET", "/v1/models", headers={"Authorization": f"Bearer {key}"})[0]
        assert [status_of(k) for k in ("one", "always", "two")] == [200, 200, 401]
        long = {**ASK, "max_tokens": 200, "ignore_eos": True, "stream": True}
        raw = json.dumps(long).encode()
        with socket.create_connection(("127.0.0.1", s.port)) as running:
            running.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\napi-key: one\r\n"
                            b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(raw) + raw)
            assert running.recv(1)
            keys.write_text("two\r\n")
            s.process.send_signal(signal.SIGHUP)
            until(lambda: status_of("two") == 200)
            assert [status_of(k) for k in ("one", "always")] == [401, 200]
            text = b"".join(iter(lambda: running.recv(65536), b""))
            assert b"[DONE]" in text, "a stream that ran before the signal is not whole"
        keys.unlink()                           # a slip locks nobody out
        s.process.send_signal(signal.SIGHUP)
        time.sleep(0.2)
        assert status_of("two") == 200
    finally:
        assert s.stop() == 0
    assert "API keys" in s.errors and "two" not in s.errors and "one\n" not in s.errors


def test_sighup_without_a_key_file_changes_nothing(build_dir, fetch_model):
    s = Server(build_dir / "paceline", fetch_model("smollm2-135m"), "--ctx-size", 512)
    try:
        s.wait()
        s.process.send_signal(signal.SIGHUP)
        assert s.post(CHAT, ASK)[0] == 200
    finally:
        assert s.stop() == 0


def has_ipv6():
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as s:
        s.bind(("::1", 0))
        return True
    return False


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1")
@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_ipv6(build_dir, fetch_model, host):
    process = subprocess.Popen(
        [build_dir / "paceline", "serve", "--model", fetch_model("smollm2-135m"), "--ctx-size",
         "512", "--host", host, "--port", "0"], stderr=subprocess.PIPE, text=True)
    try:
        line = next(line for line in process.stderr if line.startswith("listening"))
        port = int(re.fullmatch(r"listening  http://\[::1\]:(\d+)\n", line)[1])
        with socket.create_connection(("::1", port)) as s:
            s.sendall(b"GET /health HTTP/1.1\r\nHost: [::1]\r\nConnection: close\r\n\r\n")
            assert s.recv(12) == b"HTTP/1.1 200"
    finally:
        process.terminate()
        assert process.wait() == 0
        process.stderr.close()


def test_few_open_files(build_dir, fetch_model):
    """The soft limit is raised; where the hard one is low, fewer connections are served, and
    said."""
    def few(soft, hard):
        return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for hard, n_max in ((4096, 1024), (256, 160)):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        s = Server.__new__(Server)
        s.port, s.url, s.errors = port, f"http://127.0.0.1:{port}", ""
        s.process = subprocess.Popen(
            [build_dir / "paceline", "serve", "--model", fetch_model("smollm2-135m"), "--ctx-size",
             "512", "--port", str(port)], stderr=subprocess.PIPE, text=True,
            preexec_fn=few(128, hard))
        try:
            s.wait()
            assert s.metric("paceline_http_connections_max") == n_max
            idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(300)]
            assert s.request("GET", "/health")[0] == 200
            for one in idle:
                one.close()
        finally:
            assert s.stop() == 0
        assert ("--max-connections" in s.errors) == (n_max < 1024)


def test_a_line_for_every_request(build_dir, fetch_model):
    s = Server(build_dir / "paceline", fetch_model("smollm2-135m"), "--ctx-size", 512, "--verbose",
               "--api-key", "sesame")
    key = {"Authorization": "Bearer sesame"}
    try:
        s.wait()
        assert s.post(CHAT, ASK, headers={**key, "X-Request-Id": "mine-1"})[0] == 200
        assert s.post(CHAT, ASK, headers={"X-Request-Id": "mine-2"})[0] == 401
        assert s.post(CHAT, {**ASK, "n": "x"}, headers={**key, "X-Request-Id": "mine-3"})[0] == 400
        assert s.request("GET", "/a%0Ab", headers={**key, "X-Request-Id": "mine-4"})[0] == 404
        raw = json.dumps({**ASK, "max_tokens": 400, "ignore_eos": True, "stream": True}).encode()
        with socket.create_connection(("127.0.0.1", s.port)) as gone:
            gone.sendall(b"POST %s HTTP/1.1\r\nHost: x\r\nX-Request-Id: mine-5\r\napi-key: "
                         b"sesame\r\n"
                         b"Content-Length: %d\r\n\r\n" % (CHAT.encode(), len(raw)) + raw)
            assert gone.recv(1)
        until(lambda: s.request("GET", "/metrics", headers=key)[2].decode().split(
            'paceline_finished_total{reason="cancelled"} ')[1].startswith("1"))
    finally:
        assert s.stop() == 0
    lines = {m[1]: m[0] for m in re.finditer(r"info http: id=(mine-\d) .*", s.errors)}
    assert re.search(r" POST /v1/chat/completions status=200 end=answered ms=\d+ key=1 "
                     r"prompt_tokens=\d+ cached_tokens=\d+ reply_tokens=3 ", lines["mine-1"])
    assert "status=401" in lines["mine-2"] and "key=none" in lines["mine-2"]
    assert "status=400" in lines["mine-3"] and "key=1" in lines["mine-3"]
    assert "status=404" in lines["mine-4"] and "/a?b" in lines["mine-4"]
    assert "end=client_left" in lines["mine-5"]
    assert "sesame" not in s.errors


def test_who_has_the_answer_has_not_left(build_dir, fetch_model):
    """A client that closes with the last byte, which the watcher may see before the server's own
    thread does. (Of answers in one piece some in a hundred were told as left.)"""
    s = Server(build_dir / "paceline", fetch_model("smollm2-135m"), "--ctx-size", 512, "--verbose")
    try:
        s.wait()
        for n in range(100):
            assert s.post(CHAT, {**ASK, "max_tokens": 1, "stream": n % 2 == 1},
                          headers={"X-Request-Id": f"mine-{n}"})[0] == 200
    finally:
        assert s.stop() == 0
    ends = re.findall(r"info http: id=mine-\d+ .* end=(\w+)", s.errors)
    assert ends == ["answered"] * 100
