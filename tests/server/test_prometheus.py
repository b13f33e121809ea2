"""Alert rules and the Grafana board against the real Prometheus: its checker, its rule tests, and a
server of it that scrapes a loaded paceline."""

import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import threading

import pytest

from prometheus import DEPLOY, Prometheus, find

ROOT = pathlib.Path(__file__).resolve().parents[2]
BOARD = ROOT / "deploy/grafana/paceline.json"
ALERTS = ["ServerDown", "ThroughputDegraded", "AllSlotsBusy", "QueueGrowing", "HighMemoryUsage",
          "LatencyHigh", "ThermalThrottling"]
# What only a machine that tells of heat has.
ONLY_SOME_MACHINES = ("paceline_thermal_", "paceline_low_power_mode")


def promtool(*words, cwd=DEPLOY):
    return subprocess.run([find("promtool"), *map(str, words)], capture_output=True, text=True,
                          timeout=120, cwd=cwd)


def test_rules_and_configuration_are_sound():
    done = promtool("check", "rules", "alerts.yml")
    assert done.returncode == 0 and f"{len(ALERTS)} rules found" in done.stdout, done
    done = promtool("check", "config", "prometheus.yml")
    assert done.returncode == 0, done


def test_the_guide_makes_a_sound_configuration(tmp_path):
    """docs/operations.md's own sed, for a server that asks for a key."""
    guide = (ROOT / "docs/operations.md").read_text()
    command = re.search(r"^   sed -e .*?> \$etc/prometheus.yml$", guide,
                        re.DOTALL | re.MULTILINE)[0]
    subprocess.run(["bash", "-euc", command], cwd=ROOT, env={**os.environ, "etc": str(tmp_path)},
                   check=True, timeout=60)
    shutil.copy(DEPLOY / "alerts.yml", tmp_path)
    key = tmp_path / "paceline.key"
    key.write_text("secret")
    assert "\n    authorization: " in (tmp_path / "prometheus.yml").read_text()
    done = promtool("check", "config", tmp_path / "prometheus.yml")
    assert done.returncode == 0, done
    key.unlink()            # it is looked at
    assert promtool("check", "config", tmp_path / "prometheus.yml").returncode != 0


def test_rules_of_a_plan_are_sound(build_dir, tmp_path):
    """With the plan's figures in them."""
    words = [build_dir / "paceline", "plan", "qwen2.5-14b", "--machine", "m4-pro-48"]
    plan = json.loads(subprocess.run([*words, "--json"], capture_output=True, timeout=60,
                                     check=True).stdout)
    rules = subprocess.run([*words, "--alerts"], capture_output=True, text=True, timeout=60,
                           check=True).stdout
    (tmp_path / "rules.yml").write_text(rules)
    done = promtool("check", "rules", tmp_path / "rules.yml")
    assert done.returncode == 0, done.stderr
    assert f"< {0.6 * plan['step']['tok_s']:.6g}" in rules
    assert f"> {1.1e-9 * plan['memory']['total_bytes']:.6g}" in rules


def test_each_alert_fires_when_it_should_and_only_then():
    done = promtool("test", "rules", "alerts_test.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    text = (DEPLOY / "alerts_test.yml").read_text()
    for name in ALERTS:
        for expected in (rf"alertname: {name}, eval_time: \d+m, exp_alerts: \[\]",
                         rf"alertname: {name}\n +eval_time: \d+m\n +exp_alerts:\n +- exp_labels"):
            assert re.search(expected, text), f"{name} is not tested with {expected}"


def test_a_changed_rule_fails_its_test(tmp_path):
    """The rule tests see each rule: with its comparison turned around, they fail."""
    rules = (DEPLOY / "alerts.yml").read_text()
    shutil.copy(DEPLOY / "alerts_test.yml", tmp_path)
    for part in re.split(r"\n(?=      - alert)", rules)[1:]:
        turned = re.sub(r"[<>]=?|==", lambda m: {"<": ">", ">": "<", ">=": "<", "==": "!="}[m[0]],
                        part)
        assert turned != part
        (tmp_path / "alerts.yml").write_text(rules.replace(part, turned))
        assert promtool("test", "rules", "alerts_test.yml", cwd=tmp_path).returncode != 0, part


@pytest.fixture(scope="module")
def watched(start_server, tmp_path_factory):
    """(Prometheus, Server): four slots that six askers keep busy until the tests are over."""
    stop = threading.Event()
    nobody = socket.socket()
    nobody.bind(("127.0.0.1", 0))           # bound and not listening: refuses

    def ask(server, i):
        for n in range(500):
            if stop.is_set():
                return
            server.post("/v1/chat/completions",
                        {"messages": [{"role": "user", "content": f"Story {i} number {n}, please"}],
                         "max_tokens": 60, "ignore_eos": True})
    with start_server("--parallel", 4, "--ctx-size", 256, "--metrics-compat", "vllm") as server:
        askers = [threading.Thread(target=ask, args=(server, i)) for i in range(6)]
        for a in askers:
            a.start()
        prometheus = None
        try:
            assert server.wait_until(lambda: server.busy_slots() == 4)
            prometheus = Prometheus(tmp_path_factory.mktemp("prometheus"), [
                f"127.0.0.1:{server.port}", f"127.0.0.1:{nobody.getsockname()[1]}"])
            yield prometheus, server
        finally:
            stop.set()
            if prometheus:
                prometheus.stop()
            for a in askers:
                a.join()
            nobody.close()


def board_queries():
    board = json.loads(BOARD.read_text())
    return [(panel["title"], target["expr"]) for panel in board["panels"]
            for target in panel.get("targets", [])]


def substituted(expression):
    return expression.replace("$__rate_interval", "15s").replace("$instance", ".*")


def test_the_board_is_whole():
    board = json.loads(BOARD.read_text())
    assert board["title"] and board["uid"] and len({p["id"] for p in board["panels"]}) == len(
        board["panels"])
    covered = " ".join(expression for _, expression in board_queries())
    for name in ("paceline_reply_tokens_total", "llm_slots_processing", "paceline_streams_queued",
                 "paceline_kv_pages_used", "paceline_memory_planned_bytes",
                 "paceline_time_to_first_token_seconds_bucket",
                 "paceline_inter_token_latency_seconds_bucket", "paceline_queue_seconds_bucket",
                 "paceline_end_to_end_seconds_bucket", "paceline_rejected_total",
                 "paceline_steps_total"):
        assert name in covered, name
    for panel in board["panels"]:           # 24 columns, nothing over another
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        for other in board["panels"]:
            o = other["gridPos"]
            assert other is panel or at["x"] >= o["x"] + o["w"] or o["x"] >= at["x"] + at["w"] or (
                at["y"] >= o["y"] + o["h"] or o["y"] >= at["y"] + at["h"]), (panel, other)


def test_rules_run_and_alerts_fire(watched):
    prometheus, server = watched
    groups = prometheus.wait(lambda: [g for g in prometheus.get("/api/v1/rules")["groups"]
                                      if all(r["health"] == "ok" for r in g["rules"])],
                             "no rules were evaluated")
    rules = [r for g in groups for r in g["rules"]]
    assert [r["name"] for r in rules] == ALERTS
    firing = lambda name: {a["labels"]["instance"] for a
                           in prometheus.get("/api/v1/alerts")["alerts"]
                           if a["labels"]["alertname"] == name and a["state"] == "firing"}
    prometheus.wait(lambda: firing("ServerDown"), "ServerDown did not fire")
    prometheus.wait(lambda: firing("AllSlotsBusy"), "AllSlotsBusy did not fire")
    assert f"127.0.0.1:{server.port}" not in firing("ServerDown")
    assert firing("AllSlotsBusy") == {f"127.0.0.1:{server.port}"}
    assert not firing("HighMemoryUsage") and not firing("LatencyHigh")


def test_every_query_of_the_board_has_an_answer(watched):
    prometheus, server = watched
    here = f"127.0.0.1:{server.port}"
    prometheus.wait(lambda: prometheus.query(
        f'rate(paceline_end_to_end_seconds_count{{instance="{here}"}}[15s]) > 0'), "no load is "
                                                                                   "seen")
    for title, expression in board_queries():
        query = substituted(expression)
        if any(name in expression for name in ONLY_SOME_MACHINES):
            prometheus.query(query)         # parses; whether there is an answer is the machine's
            continue
        found = prometheus.wait(lambda q=query: prometheus.query(q), f"{title}: {query}: no answer")
        assert all(value >= 0 for _, value in found), (title, found)


def test_what_prometheus_holds_is_what_the_server_says(watched):
    prometheus, server = watched
    here = f'{{instance="127.0.0.1:{server.port}"}}'
    held = lambda name: prometheus.wait(lambda: prometheus.query(name + here), name)[0][1]
    before = server.metric("paceline_reply_tokens_total")
    prometheus.wait(lambda: held("paceline_reply_tokens_total") >= before, "no newer scrape came")
    assert held("paceline_reply_tokens_total") <= server.metric("paceline_reply_tokens_total")
    assert held("paceline_slots") == 4 and held("vllm:num_requests_running") <= 4
    rate = prometheus.wait(lambda: prometheus.query(
        f"rate(paceline_reply_tokens_total{here}[10s])"), "no rate")[0][1]
    assert rate > 0
