"""paceline load against paceline serve, and against a server that misbehaves in every way."""

import collections
import json
import math
import os
import pty
import re
import resource
import signal
import socket
import subprocess

import pytest

from odd_server import OddServer

FIGURES = ("ttft_s", "itl_s", "tpot_s", "e2e_s")


@pytest.fixture
def load(build_dir):
    def run(url, *words, code=0, env=None, timeout=120):
        done = subprocess.run([build_dir / "paceline", "load", "--url", url, *map(str, words)],
                              capture_output=True, timeout=timeout, text=True,
                              env={**os.environ, **(env or {})})
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done
    return run


@pytest.fixture
def report(load):
    def run(url, *words, **more):
        return json.loads(load(url, *words, "--json", "-", "--records", **more).stdout)
    return run


@pytest.fixture
def odd():
    with OddServer() as s:
        yield s


def nearest_rank(values, percent):
    return sorted(values)[max(math.ceil(percent * len(values) / 100), 1) - 1]


def most_at_once(records):
    """Requests between send and end; at one instant an end comes before a beginning."""
    events = sorted([(r["send_s"], 1) for r in records] + [(r["end_s"], -1) for r in records],
                    key=lambda e: (e[0], e[1]))
    running = most = 0
    for _, change in events:
        running += change
        most = max(most, running)
    return most


# ---- paceline serve ------------------------------------------------------------------------------

def test_closed_loop(server, report):
    counted = ("paceline_requests_total", "paceline_reply_tokens_total",
               "paceline_prompt_tokens_total")
    before = [server.metric(name) for name in counted]
    r = report(server.url, "--concurrency", 6, "--requests", 24, "--warmup", 3, "--max-tokens", 12,
               "--ignore-eos", "--temperature", 0, "--prompt-tokens", "40:10")
    requests, output, prompt = (server.metric(name) - b for name, b in zip(counted, before))
    records = r["records"]
    assert r["model"] == server.request("GET", "/v1/models")[2]["data"][0]["id"]
    assert r["requests"] == {"ok": 24, "failed": 0, "dropped": 0, "warmup": 3, "warmup_failed": 0,
                             "without_usage": 0, "not_streamed": 0}
    assert requests == 27 and output == 27 * 12
    assert r["output_tokens"] == 24 * 12 == sum(x["output_tokens"] for x in records)
    assert r["prompt_tokens"] == sum(x["prompt_tokens"] for x in records) < prompt
    assert len({x["prompt_tokens"] for x in records}) > 3       # lengths vary as asked
    assert most_at_once(records) == 6 and len(records) == 24
    assert r["errors"] == [] and not r["interrupted"]

    wall = max(x["end_s"] for x in records) - min(x["send_s"] for x in records)
    assert r["wall_s"] == pytest.approx(wall, abs=1e-5)
    assert r["output_tok_s"] * r["wall_s"] == pytest.approx(24 * 12, rel=1e-5)
    assert r["requests_per_s"] * r["wall_s"] == pytest.approx(24, rel=1e-5)
    assert r["total_tok_s"] * r["wall_s"] == pytest.approx(24 * 12 + r["prompt_tokens"], rel=1e-5)

    of = {"ttft_s": [x["first_s"] - x["send_s"] for x in records],
          "e2e_s": [x["end_s"] - x["send_s"] for x in records],
          "tpot_s": [(x["last_s"] - x["first_s"]) / (x["output_tokens"] - 1) for x in records
                     if x["chunks"] > 1]}
    for name, values in of.items():
        assert r[name]["n"] == len(values)
        assert r[name]["mean"] == pytest.approx(sum(values) / len(values), abs=1e-6)
        for p in (50, 90, 95, 99):
            assert r[name][f"p{p}"] == pytest.approx(nearest_rank(values, p), abs=1e-6), (name, p)
        assert r[name]["max"] == pytest.approx(max(values), abs=1e-6)
    assert all(x["send_s"] <= x["first_s"] <= x["last_s"] <= x["end_s"] for x in records)
    # weighted by tokens, the gaps of all requests add up to all their decoding
    tokens = sum(x["output_tokens"] - 1 for x in records if x["chunks"] > 1)
    decoding = sum(x["last_s"] - x["first_s"] for x in records)
    assert r["itl_s"]["mean"] == pytest.approx(decoding / tokens, rel=1e-4)


def test_open_loop(server, report):
    ask = ["--rate", 60, "--requests", 20, "--max-in-flight", 2, "--max-tokens", 10, "--ignore-eos",
           "--prompt-tokens", 20, "--warmup", 2]
    a, b = report(server.url, *ask, "--seed", 3), report(server.url, *ask, "--seed", 3)
    other = report(server.url, *ask, "--seed", 4)

    def schedule(r):
        return sorted(x["scheduled_s"] for x in r["records"])

    # arrivals follow from rate and seed, not from what the server did
    assert schedule(a) == pytest.approx(schedule(b), abs=1e-6)
    assert schedule(a) != pytest.approx(schedule(other), abs=1e-3)
    for r in (a, b):
        assert r["requests"]["ok"] == 20 and most_at_once(r["records"]) <= 2
        assert all(x["send_s"] >= x["scheduled_s"] - 1e-8 for x in r["records"])
        waits = [x["send_s"] - x["scheduled_s"] for x in r["records"]]
        assert r["send_delay_s"]["max"] == pytest.approx(max(waits), abs=1e-6)
        e2e = [x["end_s"] - x["scheduled_s"] for x in r["records"]]
        assert r["e2e_s"]["p90"] == pytest.approx(nearest_rank(e2e, 90), abs=1e-6)
        sent = [x["end_s"] - x["send_s"] for x in r["records"]]
        assert r["e2e_from_send_s"]["p90"] == pytest.approx(nearest_rank(sent, 90), abs=1e-6)
    assert "ttft_from_send_s" in a and a["settings"]["concurrency"] is None


def test_arrivals_do_not_depend_on_a_warm_up(odd, report):
    ask = ["--rate", 500, "--requests", 6, "--seed", 3, "--prompt", "good"]
    plain, warm = (sorted(x["scheduled_s"] for x in report(odd.url, *ask, *more)["records"])
                   for more in ([], ["--warmup", 3]))
    assert plain == pytest.approx(warm, abs=1e-6) and len(set(plain)) == 6


def limited(build_dir, url, soft, hard):
    """Two hundred requests at a time, with so many open files."""
    return subprocess.run([build_dir / "paceline", "load", url, "-n", "200", "-c", "200",
                          "--prompt", "good"], capture_output=True, text=True, timeout=120,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE,
                                                                (soft, hard)))


def test_open_files_are_asked_for(odd, build_dir):
    """One for each request and sixty-four to spare: a soft limit is raised, a hard one is told."""
    done = limited(build_dir, odd.url, 100, 263)
    assert done.returncode == 2 and done.stderr == (
        "paceline: 200 requests at a time need 264 open files, 100 are allowed: ask for fewer, or "
        "raise the limit (ulimit -n)\n")
    for soft, hard in ((100, 264), (264, 264)):
        done = limited(build_dir, odd.url, soft, hard)
        assert done.returncode == 0 and "200 ok, 0 failed" in done.stdout, done.stderr


def test_completions_of_a_file(server, report, tmp_path):
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('Once upon a time\n{"prompt": "The sea is", "max_tokens": 3}\n')
    r = report(server.url, "--endpoint", "completions", "--prompt-file", prompts, "--requests", 4,
               "--max-tokens", 6, "--ignore-eos")
    assert sorted(x["output_tokens"] for x in r["records"]) == [3, 3, 6, 6]
    assert {x["prompt_tokens"] for x in r["records"]} == {3, 4}


def test_whole_replies(server, report):
    r = report(server.url, "--no-stream", "--requests", 3, "--max-tokens", 5, "--ignore-eos")
    assert r["requests"]["ok"] == 3 and r["output_tokens"] == 15 and r["prompt_tokens"] > 0
    assert r["ttft_s"] is None and r["itl_s"] is None and r["tpot_s"] is None
    assert r["e2e_s"]["n"] == 3


def test_shared_prefix_is_cached(server, report):
    r = report(server.url, "--requests", 6, "--warmup", 1, "--prompt-tokens", 160,
               "--shared-prefix", 0.8, "--max-tokens", 2, "--seed", 11)
    assert all(64 <= x["cached_tokens"] < x["prompt_tokens"] for x in r["records"])
    assert r["cached_tokens"] == sum(x["cached_tokens"] for x in r["records"])


def test_overload_is_told(start_server, report):
    with start_server("--parallel", 1, "--ctx-size", 256, "--queue-requests", 1) as s:
        r = report(s.url, "--concurrency", 8, "--requests", 16, "--max-tokens", 20, "--ignore-eos",
                   code=1)
    assert r["requests"]["ok"] + r["requests"]["failed"] == 16 and r["requests"]["failed"] > 0
    [error] = r["errors"]
    assert (error["kind"], error["status"]) == ("http", 429)
    assert error["count"] == r["requests"]["failed"]
    assert error["message"] and error["retry_after_s"] >= 0
    assert r["output_tokens"] == 20 * r["requests"]["ok"]


def test_api_keys(start_server, load, report, tmp_path):
    key = tmp_path / "key"
    key.write_text("secret-key-1\nanother line\n")
    with start_server("--parallel", 2, "--ctx-size", 256, "--api-key", "secret-key-1") as s:
        ask = ["--requests", 2, "--max-tokens", 2]
        outputs = [load(s.url, *ask, "--api-key-file", key, "--html", tmp_path / "a.html").stdout,
                   load(s.url, *ask, "--api-key", "secret-key-1", "--json", "-").stdout,
                   (tmp_path / "a.html").read_text()]
        refused = load(s.url, *ask, code=1)
        wrong = report(s.url, *ask, "--model", "x", "--api-key", "wrong-key-2", code=1)
    assert "/v1/models answered 401" in refused.stderr and "--model" in refused.stderr
    assert wrong["errors"][0]["status"] == 401
    assert not any("secret-key-1" in text for text in outputs)
    assert "wrong-key-2" not in json.dumps(wrong)


# ---- a server that misbehaves --------------------------------------------------------------------

BAD = {
    "cut": ("cut", None, ""),
    "unfinished": ("cut", None, "before a finish_reason"),
    "reset": ("cut", None, ""),
    "silent": ("cut", None, ""),
    "garbage": ("bad_reply", None, "bad JSON in the stream"),
    "page": ("bad_reply", None, "no event"),
    "nothttp": ("bad_reply", None, ""),
    "sorry": ("error_event", None, "the engine is gone"),
    "busy": ("http", 429, "the queue is full"),
    "broken": ("http", 500, "<h1>Internal Error</h1>"),
    "slow": ("timeout", None, "timed out"),
}


@pytest.mark.parametrize("order", BAD)
def test_each_failure_has_its_kind(odd, report, order):
    kind, status, piece = BAD[order]
    more = ["--timeout", 0.3] if order == "slow" else []
    r = report(odd.url, "--prompt", order, "--requests", 2, *more, code=1)
    [error] = r["errors"]
    assert (error["kind"], error["status"], error["count"]) == (kind, status, 2), error
    assert piece in error["message"]
    assert error["retry_after_s"] == (7 if order == "busy" else None)
    assert r["requests"]["failed"] == 2 and r["output_tokens"] == 0 and r["e2e_s"] is None


def test_failures_among_good_ones(odd, load, report, tmp_path):
    prompts = tmp_path / "prompts"
    orders = ["good", "cut", "pieces", "busy", "three", "broken", "good", "garbage"]
    prompts.write_text("\n".join(orders))
    ask = ["--prompt-file", prompts, "--requests", 24, "--concurrency", 5]
    r = report(odd.url, *ask, code=1)
    assert r["requests"]["ok"] == 12 and r["requests"]["failed"] == 12
    assert collections.Counter(x["outcome"] for x in r["records"]) == {
        "ok": 12, "cut": 3, "http": 6, "bad_reply": 3}
    assert r["output_tokens"] == 3 * (3 + 3 + 9 + 3) and r["e2e_s"]["n"] == 12
    text = load(odd.url, *ask, code=1).stdout
    for piece in ("12 ok, 12 failed", "3  HTTP 429: the queue is full (Retry-After up to 7 s)",
                  "3  HTTP 500: <h1>", "3  cut stream: ", "3  bad reply: bad JSON"):
        assert piece in text, text


@pytest.mark.parametrize("order,tokens,chunks", [
    ("good", 3, 3), ("pieces", 3, 3), ("carriage", 3, 3), ("pings", 2, 2), ("three", 9, 3)])
def test_good_replies(odd, report, order, tokens, chunks):
    r = report(odd.url, "--prompt", order, "--requests", 2)
    for x in r["records"]:
        assert (x["output_tokens"], x["chunks"], x["prompt_tokens"]) == (tokens, chunks, 11)
    decoding = sum(x["last_s"] - x["first_s"] for x in r["records"])
    assert r["itl_s"]["mean"] == pytest.approx(decoding / (2 * (tokens - 1)), abs=1e-8)


def test_without_usage(odd, load, report):
    r = report(odd.url, "--prompt", "nousage", "--requests", 3)
    assert r["requests"]["without_usage"] == 3 and r["output_tokens"] == 6
    assert r["prompt_tokens"] == 0
    assert "3 replies without usage" in load(odd.url, "--prompt", "nousage", "-n", 3).stdout


def test_a_whole_reply_to_a_stream(odd, load, report):
    r = report(odd.url, "--prompt", "whole", "--requests", 2)
    assert r["requests"]["not_streamed"] == 2 and r["output_tokens"] == 4 and r["ttft_s"] is None
    assert "2 replies came whole" in load(odd.url, "--prompt", "whole", "-n", 2).stdout


def test_nobody_listens(load, report):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))        # bound, not listening: refused
        url = f"http://127.0.0.1:{s.getsockname()[1]}"
        r = report(url, "--model", "x", "--requests", 3, code=1)
        assert [(e["kind"], e["count"]) for e in r["errors"]] == [("connect", 3)]
        done = load(url, code=1)
        assert len(done.stderr.splitlines()) == 1 and url in done.stderr and not done.stdout


def test_models(load, report):
    with OddServer(model=None) as s:
        done = load(s.url, "-n", 1, code=1)
        assert "404: no such route" in done.stderr and "--model NAME" in done.stderr
        assert report(s.url, "-n", 1, "--model", "mine")["model"] == "mine"
        assert s.seen[-1][1]["model"] == "mine"


def test_settings_where_nothing_is_said(odd, report):
    common = {"url": odd.url, "endpoint": "chat", "warmup": 0, "duration_s": None, "seed": 0,
              "prompts": "one fixed",
              "max_tokens": 128, "ignore_eos": False, "temperature": None, "stream": True,
              "timeout_s": 600}
    r = report(odd.url, "--prompt", "good")
    assert r["settings"] == common | {"concurrency": 1, "rate_per_s": None, "max_in_flight": None,
                                      "requests": 100}
    assert r["requests"]["ok"] == 100
    r = report(odd.url, "--prompt", "good", "--rate", 1000, "--requests", 3)
    assert r["settings"] == common | {"concurrency": None, "rate_per_s": 1000, "max_in_flight": 512,
                                      "requests": 3}
    r = report(odd.url, "--duration", 0.05)
    assert r["settings"]["requests"] is None
    assert r["settings"]["prompts"] == "128 words drawn with seed 0"


def test_what_is_sent(odd, load):
    load(odd.url + "/v1/", "-n", 2, "--prompt-tokens", 20, "--shared-prefix", 0.5, "--max-tokens",
         9, "--ignore-eos", "--temperature", 0.25, "--extra-json",
         '{"top_p": 0.5, "max_tokens": 4}')
    (path, first, heads), (_, second, _) = odd.seen
    assert path == "/v1/chat/completions" and heads["Content-Type"] == "application/json"
    assert "Authorization" not in heads and "Expect" not in heads
    words = [b["messages"][0].pop("content").split() for b in (first, second)]
    assert first == second == {
        "model": "odd", "messages": [{"role": "user"}], "max_tokens": 4, "top_p": 0.5,
        "ignore_eos": True, "temperature": 0.25, "stream": True,
        "stream_options": {"include_usage": True}}
    assert [len(w) for w in words] == [20, 20]
    assert words[0][:10] == words[1][:10] and words[0][10:] != words[1][10:]

    load(odd.url, "-n", 1, "--no-stream", "--endpoint", "completions", "--prompt", "whole",
         "--max-tokens", 0, "--api-key", "k1")
    path, body, heads = odd.seen[-1]
    assert path == "/v1/completions" and heads["Authorization"] == "Bearer k1"
    assert body == {"model": "odd", "prompt": "whole", "stream": False}


def test_the_same_seed_asks_the_same(odd, load):
    ask = ["-n", 5, "-c", 2, "--prompt-tokens", "12:4", "--warmup", 1]
    for seed in (1, 1, 2):
        load(odd.url, *ask, "--seed", seed)
    prompts = [b["messages"][0]["content"] for _, b, _ in odd.seen]
    runs = [sorted(prompts[i:i + 6]) for i in (0, 6, 12)]
    assert runs[0] == runs[1] != runs[2] and len(set(runs[0])) == 6     # warm-up's is another one


def test_proxies_of_the_environment_are_not_used(odd, report):
    dead = "http://127.0.0.1:9"
    env = {"http_proxy": dead, "HTTP_PROXY": dead, "all_proxy": dead, "no_proxy": ""}
    assert report(odd.url, "-n", 1, env=env)["requests"]["ok"] == 1
    r = report(odd.url, "-n", 1, "--model", "x", "--proxy", dead, code=1)
    assert r["errors"][0]["kind"] == "connect"


def test_connections_are_used_again(odd, report):
    r = report(odd.url, "--model", "x", "-n", 40, "-c", 3, "--warmup", 5, "--prompt", "good")
    assert r["requests"]["ok"] == 40 and odd.n_connections == 3


def test_duration(odd, report):
    for how, when in ((["--concurrency", 2], "send_s"), (["--rate", 40], "scheduled_s")):
        for seconds in (0.5, 5, 50):        # longer where the machine is busy
            r = report(odd.url, "--duration", seconds, *how)
            assert all(x[when] < seconds for x in r["records"])
            if r["requests"]["ok"] > 2:
                break
        assert r["requests"]["ok"] > 2


# ---- ending early, the terminal ------------------------------------------------------------------

@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(odd, build_dir, tmp_path, number):
    prompts = tmp_path / "prompts"
    prompts.write_text("good\ngood\ngood\nendless\nendless\n")
    process = subprocess.Popen(
        [build_dir / "paceline", "load", "--url", odd.url, "--prompt-file", prompts, "-c", "2",
         "-n", "50", "--json", "-", "--records"], stdout=subprocess.PIPE, text=True)
    try:
        odd.wait_until_seen(5)          # both clients hang now
        process.send_signal(number)
        out, _ = process.communicate(timeout=30)
    finally:
        process.kill()
    r = json.loads(out)
    assert process.returncode == 0 and r["interrupted"]
    assert r["requests"]["ok"] == 3 and r["requests"]["dropped"] == 2 and r["output_tokens"] == 9
    assert collections.Counter(x["outcome"] for x in r["records"]) == {"ok": 3, "dropped": 2}


def test_a_line_on_a_terminal_only(odd, build_dir):
    command = [build_dir / "paceline", "load", "--url", odd.url, "-n", "6", "--prompt", "slow",
               "--timeout", "0.5"]
    assert subprocess.run(command, capture_output=True, timeout=60).stderr == b""
    main, terminal = pty.openpty()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=terminal)
    os.close(terminal)
    shown = b""
    try:
        while part := os.read(main, 4096):
            shown += part
    except OSError:                     # Linux tells the other side's end so
        pass
    out, _ = process.communicate(timeout=60)
    os.close(main)
    assert re.search(rb"\r\d/6 done, 1 running, 0 tok/s, \d errors, \d+ s", shown), shown
    assert shown.endswith(b" \r") and b"\x1b" not in shown          # wiped, no colours
    assert b"0 ok, 6 failed" in out and b"\r" not in out


# ---- reports -------------------------------------------------------------------------------------

def test_page(odd, load, tmp_path):
    page = tmp_path / "load.html"
    prompts = tmp_path / "prompts"
    prompts.write_text("good\nthree\n<script>alert(1)</script> broken\n")
    load(odd.url, "-n", 30, "-c", 4, "--prompt-file", prompts, "--html", page, code=1)
    text = page.read_text()
    inside = re.search(r'<script type="application/json" id="report">(.*?)</script>', text, re.S)[1]
    r = json.loads(inside)
    assert [s["heading"] for s in r["sections"]] == ["Throughput", "Latency", "Over time", "Errors"]
    plots = [p for s in r["sections"] for p in s.get("plots", [])]
    assert len(plots) == 5
    for p in plots:
        assert all(len(s["values"]) == len(p["x"]["values"]) for s in p["series"])
        assert p["x"]["values"] == sorted(p["x"]["values"])
    for p in plots[:3]:                 # cumulative: they rise to all
        values = p["series"][0]["values"]
        assert values == sorted(values) and values[-1] == pytest.approx(100)
    assert ["HTTP 500", 10, "<h1>Internal Error</h1>"] in r["sections"][3]["tables"][0]["rows"]
    assert ["requests ok", 20] in r["sections"][0]["tables"][0]["rows"]

    load(odd.url, "-n", 30, "--rate", 200, "--prompt", "good", "--html", page)
    r = json.loads(re.search(r'id="report">(.*?)</script>', page.read_text(), re.S)[1])
    assert [len(p["series"]) for p in r["sections"][1]["plots"]] == [2, 1, 2]   # arrival and send


def test_compare(odd, load, build_dir, tmp_path):
    a, b = tmp_path / "a.json", tmp_path / "b.json"
    load(odd.url, "-n", 10, "--prompt", "good", "--json", a)
    load(odd.url, "-n", 5, "-c", 2, "--prompt", "three", "--json", b)
    x, y = json.loads(a.read_text()), json.loads(b.read_text())
    assert "records" not in x

    def compare(*words):
        return subprocess.run([build_dir / "paceline", "load", "--compare", *words],
                              capture_output=True, text=True, timeout=60)
    done = compare(a, b)
    assert done.returncode == 0
    rows = {line[:34].strip(): line[34:].split() for line in done.stdout.splitlines()}
    assert rows["requests ok"] == ["10.00", "5.00", "0.500"]
    assert rows["output tokens"] == ["30.00", "45.00", "1.500"]
    assert float(rows["output tok/s"][2]) == pytest.approx(y["output_tok_s"] / x["output_tok_s"],
                                                           abs=6e-4)
    p50 = rows["end to end p50, ms"]
    assert float(p50[0]) == pytest.approx(x["e2e_s"]["p50"] * 1e3, abs=6e-3)
    assert float(p50[2]) == pytest.approx(y["e2e_s"]["p50"] / x["e2e_s"]["p50"], abs=6e-4)
    assert re.search(r"concurrency +A 1 +B 2", done.stdout)
    assert "ignore_eos" not in done.stdout          # equal settings are not listed

    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "other.json").write_text('{"kind": "plan"}')
    for words, code, piece in (((a, "/nowhere.json"), 1, "/nowhere.json"), ((a,), 2, "two reports"),
                               ((tmp_path / "bad.json", a), 2, "bad.json:1"),
                               ((a, tmp_path / "other.json"), 2, "not a report")):
        done = compare(*words)
        assert done.returncode == code and piece in done.stderr and not done.stdout


@pytest.mark.parametrize("words,piece", [
    (["--url", "localhost:80"], "http://"),
    (["--rate", 5, "--concurrency", 2], "--max-in-flight"),
    (["--max-in-flight", 5], "--rate"),
    (["--prompt", "a", "--prompt-file", "b"], "one of them"),
    (["--prompt", "a", "--shared-prefix", 0.5], "--shared-prefix"),
    (["--prompt-tokens", "x"], "N:STDDEV"),
    (["--endpoint", "chats"], "chat or completions"),
    (["--extra-json", "{"], "--extra-json"),
    (["--extra-json", "[1]"], "--extra-json"),
    (["--api-key", "a b"], "API key"),
    (["--api-key", "a", "--api-key-file", "b"], "one of them"),
    (["--requests", 0], "--requests"),
    (["--shared-prefix", 2], "--shared-prefix"),
    (["more"], "unexpected word"),
])
def test_wrong_command_lines(load, words, piece):
    done = load("http://127.0.0.1:9", *words, code=2)
    assert piece in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("form", ["http://127.0.0.1:{}", "127.0.0.1:{}", "http://127.0.0.1:{}/v1/"])
def test_the_address_may_be_a_word(odd, build_dir, form):
    port = odd.url.rsplit(":", 1)[1]
    done = subprocess.run([build_dir / "paceline", "load", form.format(port), "-n", "1"],
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_a_word_that_is_no_address(build_dir):
    done = subprocess.run([build_dir / "paceline", "load", "ftp://127.0.0.1"], capture_output=True,
                          text=True, timeout=300)
    assert done.returncode == 2 and "http:// or https://" in done.stderr


@pytest.mark.parametrize("option", ["--json", "--html"])
def test_a_full_disk_is_told(odd, load, option):
    done = load(odd.url, "-n", 1, option, "/dev/full", code=1)
    assert done.stderr == "paceline: /dev/full: No space left on device\n"


def test_unwritable_reports_are_told_first(odd, load, tmp_path):
    for option in ("--json", "--html"):
        done = load(odd.url, option, tmp_path / "no" / "folder", code=1)
        assert "no/folder: No such file" in done.stderr
    assert not odd.seen
