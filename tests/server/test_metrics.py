"""/metrics as a scraper reads it: well-formed, counting upwards, true, and under vLLM's names."""

import concurrent.futures
import math
import re
import subprocess

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

CHAT = "/v1/chat/completions"
HISTOGRAMS = ["time_to_first_token", "inter_token_latency", "queue", "prefill", "decode",
              "end_to_end"]
VLLM = {"vllm:time_to_first_token_seconds": "paceline_time_to_first_token_seconds",
        "vllm:inter_token_latency_seconds": "paceline_inter_token_latency_seconds",
        "vllm:e2e_request_latency_seconds": "paceline_end_to_end_seconds",
        "vllm:request_queue_time_seconds": "paceline_queue_seconds",
        "vllm:request_prefill_time_seconds": "paceline_prefill_seconds",
        "vllm:request_decode_time_seconds": "paceline_decode_seconds",
        "vllm:num_requests_running": "paceline_streams_running",
        "vllm:num_requests_waiting": "paceline_streams_queued",
        "vllm:prompt_tokens": "paceline_prompt_tokens",
        "vllm:prompt_tokens_cached": "paceline_cached_tokens",
        "vllm:prefix_cache_queries": "paceline_prompt_tokens",
        "vllm:prefix_cache_hits": "paceline_cached_tokens",
        "vllm:generation_tokens": "paceline_reply_tokens"}


def ask(server, i, **more):
    return server.post(CHAT, {"messages": [{"role": "user", "content": f"Count to {i}"}],
                              "max_tokens": 12, "ignore_eos": True, **more})


def load(server, n):
    with concurrent.futures.ThreadPoolExecutor(n) as pool:
        answers = list(pool.map(lambda i: ask(server, i), range(n)))
    assert all(status == 200 for status, _, _ in answers)
    return [reply["usage"] for _, _, reply in answers]


def scrape(server):
    text = server.request("GET", "/metrics")[2].decode()
    families = list(text_string_to_metric_families(text))
    assert len({f.name for f in families}) == len(families), "a name is declared twice"
    return {f.name: f for f in families}


def values(family, strip=()):
    return {(s.name[len(family.name):], frozenset((k, v) for k, v in s.labels.items()
                                                  if k not in strip)): s.value
            for s in family.samples}


def test_names_of_llama_server(start_server):
    ask = {"prompt": "I believe that", "n_predict": 8, "temperature": 0, "ignore_eos": True}
    with start_server("--ctx-size", 512, "--metrics") as s:
        done = [s.post("/completion", ask)[2] for _ in range(3)]
        text = requests.get(s.url + "/metrics", timeout=60)
        assert int(text.headers["Process-Start-Time-Unix"]) > 1.7e9
    got = dict(re.findall(r"^llamacpp:(\w+) (\S+)$", text.text, re.M))
    for name in got:
        assert f"# HELP llamacpp:{name} " in text.text and f"# TYPE llamacpp:{name} " in text.text
    assert int(got["prompt_tokens_total"]) == sum(d["timings"]["prompt_n"] for d in done)
    assert int(got["prompt_tokens_cached_total"]) == sum(d["timings"]["cache_n"] for d in done)
    assert int(got["tokens_predicted_total"]) == 24
    assert int(got["n_tokens_max"]) == done[0]["tokens_evaluated"] + 8
    assert int(got["n_decode_total"]) >= 24 and float(got["n_busy_slots_per_decode"]) <= 1
    assert float(got["prompt_seconds_total"]) > 0 < float(got["tokens_predicted_seconds_total"])
    assert got["requests_processing"] == got["requests_deferred"] == "0"
    assert {k for k in got if k.startswith("spec_")} and "llamacpp" in text.text
    with start_server("--no-metrics") as s:
        assert s.request("GET", "/metrics")[0] == 501


@pytest.fixture(scope="module")
def vllm_server(start_server):
    with start_server("--parallel", 4, "--ctx-size", 512, "--metrics-compat", "vllm") as s:
        yield s


def check_form(families):
    for f in families.values():
        assert f.documentation and f.type in ("counter", "gauge", "histogram"), f.name
        assert f.samples, f"{f.name} has no value"
        for s in f.samples:
            assert math.isfinite(s.value), s
        if f.type == "counter":
            assert {s.name for s in f.samples} == {f.name + "_total"}
        if f.type == "histogram":
            assert {s.name[len(f.name):] for s in f.samples} == {"_bucket", "_sum", "_count"}
            buckets = [s for s in f.samples if s.name.endswith("_bucket")]
            bounds = [float(s.labels["le"]) for s in buckets]
            counts = [s.value for s in buckets]
            assert bounds == sorted(bounds) and math.isinf(bounds[-1])
            assert counts == sorted(counts)
            assert counts[-1] == next(s.value for s in f.samples if s.name.endswith("_count"))


def test_form_and_counters_that_only_grow(vllm_server):
    load(vllm_server, 3)
    before = scrape(vllm_server)
    check_form(before)
    load(vllm_server, 6)
    after = scrape(vllm_server)
    check_form(after)
    assert set(before) == set(after)
    n_grown = 0
    for name, family in before.items():
        if family.type == "gauge":
            continue
        now = values(after[name])
        for key, value in values(family).items():
            assert now[key] >= value, (name, key)
            n_grown += now[key] > value
    assert n_grown > 30


def test_figures_are_what_was_done(start_server):
    with start_server("--parallel", 4, "--ctx-size", 512) as server:
        usage = load(server, 9)
        m = scrape(server)
    assert values(m["paceline_requests"])[("_total", frozenset())] == 9
    replies = sum(u["completion_tokens"] for u in usage)
    assert values(m["paceline_reply_tokens"])[("_total", frozenset())] == replies == 9 * 12
    prompts = sum(u["prompt_tokens"] for u in usage)
    assert values(m["paceline_prompt_tokens"])[("_total", frozenset())] == prompts
    cached = sum(u["prompt_tokens_details"]["cached_tokens"] for u in usage)
    assert values(m["paceline_cached_tokens"])[("_total", frozenset())] == cached
    computed = values(m["paceline_prefill_step_tokens"])[("_total", frozenset())]
    assert computed == prompts - cached
    ended = {s.labels["reason"]: s.value for s in m["paceline_finished"].samples}
    assert ended == {"length": 9, "stop": 0, "cancelled": 0, "error": 0}
    n = {h: values(m[f"paceline_{h}_seconds"])[("_count", frozenset())] for h in HISTOGRAMS}
    assert n == {"time_to_first_token": 9, "queue": 9, "prefill": 9, "decode": 9, "end_to_end": 9,
                 "inter_token_latency": 9 * 11}
    total = {h: values(m[f"paceline_{h}_seconds"])[("_sum", frozenset())] for h in HISTOGRAMS}
    assert total["queue"] + total["prefill"] == pytest.approx(total["time_to_first_token"])
    assert total["inter_token_latency"] == pytest.approx(total["decode"])
    assert values(m["paceline_slots"])[("", frozenset())] == 4
    assert values(m["paceline_healthy"])[("", frozenset())] == 1
    assert not any(name.startswith("vllm:") for name in m)


def test_rejects_by_reason(start_server):
    with start_server("--parallel", 1, "--ctx-size", 128) as server:
        assert ask(server, "x " * 400)[0] == 400
        assert server.post(CHAT, b"{}")[0] == 400
        m = scrape(server)
    rejected = {s.labels["reason"]: s.value for s in m["paceline_rejected"].samples}
    assert rejected == {"queue_full": 0, "bodies_full": 0, "context": 1, "shutting_down": 0}


def test_vllm_names(vllm_server):
    load(vllm_server, 3)
    m = scrape(vllm_server)
    labels = {("model_name", "smollm2-135m.gguf"), ("engine", "0")}
    for theirs, ours in VLLM.items():
        assert m[theirs].type == m[ours].type, theirs
        assert all(labels <= set(s.labels.items()) for s in m[theirs].samples)
        assert values(m[theirs], ("model_name", "engine")) == values(m[ours]), theirs
    ended = {s.labels["finished_reason"]: s.value for s in m["vllm:request_success"].samples}
    assert ended["length"] >= 3 and set(ended) == {"stop", "length", "abort", "error"}
    config = m["vllm:cache_config_info"].samples[0]
    assert config.value == 1 and config.labels["block_size"] == "16"
    assert config.labels["num_gpu_blocks"] == str(4 * 512 // 16)
    usage = m["vllm:kv_cache_usage_perc"].samples[0].value
    used = m["paceline_kv_pages_used"].samples[0].value
    assert usage == pytest.approx(used / (4 * 512 / 16)) and 0 <= usage <= 1
    first = [float(s.labels["le"]) for s in m["vllm:time_to_first_token_seconds"].samples
             if "le" in s.labels]
    assert first[:4] == [.001, .005, .01, .02] and first[-2:] == [2560, math.inf]


def test_another_server_is_not_known(build_dir):
    done = subprocess.run([build_dir / "paceline", "serve", "--model", "x", "--metrics-compat",
                           "other"], capture_output=True, timeout=60)
    assert done.returncode == 2
    assert b"vllm or llama.cpp is wanted" in done.stderr
