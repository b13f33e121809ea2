"""bench/peers: the page is what the committed rows make of it; the suite takes turns, goes on where
it stood, and says why a peer has no figure. Programs that answer at once stand in for engines."""
import json
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PEERS = ROOT / "bench/peers"
sys.path.insert(0, str(PEERS))
import plot  # noqa: E402
import rows as results  # noqa: E402
import tables  # noqa: E402
from cases import CASES  # noqa: E402

BENCH_JSON = {"machine": {"macs_per_token": 10 ** 9, "step_weight_bytes": 10 ** 9,
                          "kv_bytes_per_token": 1000},
              "rows": [{"decode_tok_s": 400.0, "prefill_tok_s": 500.0}]}
# name: (what it prints, exit code)
PROGRAMS = {
    "paceline": (json.dumps(BENCH_JSON), 0),
    "bench/cpu_limit": ('{"cpu": "test", "int8_gmac_per_s": 1000, "read_gb_per_s": 50.0}', 0),
    "llama/llama-batched-bench":
        ("| PP | TG | B | N_KV | T_PP s | S_PP t/s | T_TG s | S_TG t/s | T s | S t/s |\n"
         "| 128 | 64 | 20 | 3840 | 1.0 | 180.50 | 2.0 | 90.25 | 3.0 | 1.0 |", 0),
    "ik/llama-batched-bench": ("", 7),
}


@pytest.fixture
def machine(tmp_path):
    for name, (text, code) in PROGRAMS.items():
        program = tmp_path / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\ncat << 'end'\n{text}\nend\n"
                           f"echo 'out of luck' >&2\nexit {code}\n")
        program.chmod(0o755)
    (tmp_path / "qwen2.5-coder-1.5b.gguf").write_bytes(b"")
    return tmp_path


def suite(machine, *more, peers=("llama", "ik")):
    given = [f"--{p}-bin={machine / p}" for p in peers]
    done = subprocess.run([sys.executable, PEERS / "suite.py", "--binary", machine / "paceline",
                           *given, "--models", machine, "--case", "1.5b-20", "--session", "s",
                           "--out", machine / "rows.jsonl", *more], capture_output=True, text=True)
    out = machine / "rows.jsonl"
    rows = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    return done, rows


def report(page, results, *more):
    return subprocess.run([sys.executable, PEERS / "report.py", "--page", page, "--results",
                           results, *more], capture_output=True, text=True)


def test_page_is_what_the_rows_make():
    done = report(ROOT / "docs/performance.md", ROOT / "bench/results", "--check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_suite_takes_turns_and_goes_on(machine):
    done, rows = suite(machine, "--rounds", "2")
    assert done.returncode == 0, done.stderr
    # every setting in the first round, one of each engine in the second
    assert [(r["round"], r["engine"], r["options"]) for r in rows] == [
        (1, "paceline", ""), (1, "llama.cpp", "-fa on"), (1, "llama.cpp", "-fa off"),
        (1, "ik_llama.cpp", "-rtr -fa on"), (1, "ik_llama.cpp", "-fa on"),
        (2, "paceline", ""), (2, "llama.cpp", "-fa on"), (2, "ik_llama.cpp", "-rtr -fa on")]
    assert rows[1]["decode_tok_s"] == 90.25 and rows[1]["prefill_tok_s"] == 180.5
    assert rows[3]["decode_tok_s"] is None and rows[3]["missing"] == "exit code 7: out of luck"
    assert all(r["limit"] == {"gmac_s": 1000, "read_gb_s": 50.0} for r in rows)

    text = (machine / "rows.jsonl").read_text().splitlines(keepends=True)
    (machine / "rows.jsonl").write_text("".join(text[:5]))      # cut off after the first round
    again, rows_again = suite(machine, "--rounds", "2")
    assert "round 1: is there" in again.stderr and len(rows_again) == 8
    assert suite(machine, "--rounds", "2")[1] == rows_again     # nothing left to do

    (machine / "rows.jsonl").write_text("".join(text[:1]))
    cut, _ = suite(machine, "--rounds", "1")
    assert cut.returncode and "name another --session" in cut.stderr


def test_suite_leaves_out_engines_that_are_not_given(machine):
    _, rows = suite(machine, "--rounds", "1", peers=())
    assert [r["engine"] for r in rows] == ["paceline"]


def test_other_loads_stay_out_of_the_results(machine):
    committed = ROOT / "bench/results/peers.jsonl"
    done = subprocess.run([sys.executable, PEERS / "suite.py", "--gen", "2", "--out", committed],
                          capture_output=True, text=True)
    assert done.returncode == 2 and "--out" in done.stderr


def test_tables_and_check(machine):
    suite(machine, "--rounds", "3")
    folder, page = machine / "results", machine / "page.md"
    folder.mkdir()
    shutil.move(machine / "rows.jsonl", folder / "peers.jsonl")
    page.write_text("before\n<!-- rows: peers-1.5b -->\nold\n<!-- end rows -->\nafter\n")
    assert report(page, folder, "--check").returncode == 1
    assert report(page, folder, "--no-plots").returncode == 0
    lines = page.read_text().splitlines()
    # 400 GMAC/s of 1000; (1e9 bytes / 20 + 160 * 1000) * 400 of 50 GB/s
    assert lines[4] == ("| 20 | 400.0 | 90.2 | no result: exit code 7: out of luck | 4.43 | 4.43 "
                        "| 40 % | 40 % |")
    assert lines[0] == "before" and lines[-1] == "after"
    assert report(page, folder, "--check").returncode == 0
    page.write_text(page.read_text().replace("400.0", "500.0"))
    done = report(page, folder, "--check")
    assert done.returncode == 1 and "peers-1.5b" in done.stdout


def row(engine, rate, case="1.5b-20", session="a", number=1, options="", time="1"):
    return {"kind": "peer", "session": session, "case": case, "engine": engine, "options": options,
            "round": number, "time": time, "decode_tok_s": rate, "prefill_tok_s": rate,
            "limit": {"gmac_s": 1000, "read_gb_s": 50},
            "load": {"streams": CASES[case].streams, "prompt_tokens": 128, "gen_tokens": 64},
            "token": {"macs": 10 ** 9, "step_weight_bytes": 10 ** 9, "kv_bytes": 1000}}


def test_medians_of_one_session_and_the_best_setting():
    rows = [row("paceline", 999, session="old", time="0"), row("llama.cpp", 1, session="old"),
            *(row("paceline", r, number=i) for i, r in enumerate((10, 30, 20), 1)),
            row("llama.cpp", 5, options="x"), row("llama.cpp", 7, options="y"),
            row("llama.cpp", 8, options="y", number=2)]
    found = tables.of_case(rows, CASES["1.5b-20"])
    assert tables.rate(found, "paceline", "decode") == 20
    assert tables.rate(found, "llama.cpp", "decode") == 7.5


def serve_row(engine, rate, number, gmac_s, read_gb_s=50, session="a", time="1"):
    return {"kind": "serve", "session": session, "engine": engine, "round": number, "time": time,
            "tok_s": rate, "ttft_p50_s": 1, "ttft_p95_s": 2, "itl_p50_ms": 3, "itl_p99_ms": 4,
            "limit": gmac_s and {"gmac_s": gmac_s, "read_gb_s": read_gb_s}}


def test_servers_are_compared_on_a_machine_that_was_the_same():
    rows = [serve_row("paceline", 900, 1, 1000, session="old", time="0"),
            # disturbed
            serve_row("paceline", 600, 1, 1000), serve_row("llama-server", 50, 1, 500),
            serve_row("paceline", 620, 2, 1000), serve_row("llama-server", 100, 2, 950),
            serve_row("paceline", 610, 3, 1000, 50), serve_row("llama-server", 70, 3, 990, 40),
            serve_row("paceline", 640, 4, 930), serve_row("llama-server", 120, 4, 1000),
            serve_row("paceline", 999, 5, 1000)]                            # cut off
    lines = tables.serve(rows)
    assert lines[0] == "|  | paceline | llama-server | paceline / llama-server |"
    assert lines[2] == "| throughput, tok/s | 630 | 110 | 5.73 |"
    unknown = [serve_row("paceline", 600, 0, None), serve_row("llama-server", 50, 0, None)]
    lines = tables.serve(unknown)
    assert lines[2] == "| throughput, tok/s | 600 | no run on a machine known to be alike |"
    assert "50" not in lines[2]


def test_the_page_claims_no_ratio_of_servers_without_rows():
    page = (ROOT / "docs/performance.md").read_text()
    part = page.split("## Over HTTP")[1].split("\n## ")[0]
    rows = [json.loads(line) for line
            in (ROOT / "bench/results/serve.jsonl").read_text().splitlines()]
    assert "\n".join(tables.serve(rows)) in part
    prose = part.split("<!-- end rows -->")[1]
    assert not any(word in prose for word in ("times the", "tok/s", " ms"))


def test_programs_that_somebody_has(machine):
    (machine / "ik/peer_version.txt").write_text("ik_llama.cpp 1234abcd\n")
    _, rows = suite(machine, "--rounds", "1", peers=("ik",))
    assert {r["engine_version"] for r in rows if r["engine"]
            == "ik_llama.cpp"} == {"ik_llama.cpp 1234abcd"}
    (machine / "ik/llama-batched-bench").unlink()
    done, _ = suite(machine, "--rounds", "1", "--out", machine / "other.jsonl", peers=("ik",))
    assert done.returncode and "llama-batched-bench is missing" in done.stderr
    assert [p.name for p in PEERS.glob("build_*")] == ["build_llama_cpp.sh"]


def test_new_rows_do_not_change_the_commit(tmp_path, monkeypatch):
    def git(*words):
        subprocess.run(["git", "-C", tmp_path, "-c", "user.name=t", "-c", "user.email=t@t", *words],
                       check=True, capture_output=True)

    files = [tmp_path / "bench/results/peers.jsonl", tmp_path / "code.c"]
    files[0].parent.mkdir(parents=True)
    git("init")
    for file in files:
        file.write_text("a\n")
    git("add", ".")
    git("commit", "-m", "x")
    monkeypatch.setattr(results, "ROOT", tmp_path)
    clean = results.commit()
    assert len(clean) == 7
    files[0].write_text("b\n")
    assert results.commit() == clean
    files[1].write_text("b\n")
    assert results.commit() == clean + "-dirty"


def test_plot_says_what_it_was_drawn_from(tmp_path):
    page = tmp_path / "page.md"
    rows = [row("paceline", 60, case="1.5b-1"), row("paceline", 400)]
    assert plot.is_current(page, "1.5b", []) and not plot.is_current(page, "1.5b", rows)
    file = plot.path(page, "1.5b")
    file.parent.mkdir()
    file.write_text(f"<svg>rows {plot.digest(plot.figures(rows, '1.5b'))}</svg>")
    assert plot.is_current(page, "1.5b", rows)
    assert not plot.is_current(page, "1.5b", [*rows, row("llama.cpp", 40)])
    assert plot.figures(rows, "1.5b")["limits"]["int8"] == 1000
