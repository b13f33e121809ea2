#!/usr/bin/env python3
"""paceline load beside aiperf and guidellm on one server: do they measure the same?

    bench/load/cross_check.py --model M.gguf --peers VENV/bin

The same prompts, clients, requests and reply lengths, in turn, several rounds. The server runs on
the first --threads cores and the client on the others, so that neither takes the other's time; the
model should be slow enough for one core to read its replies in Python. Nothing else may run
meanwhile. One row for each tool and round goes to --out. Exit code 1 where a figure's
median over the rounds differs by more than --within.

What is compared, each as its tool defines it: output tok/s; median time to first token; median over
requests of (last - first token) / (tokens - 1), which the others call inter-token latency and
paceline time per output token.
"""
import argparse
import contextlib
import json
import os
import pathlib
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench/peers"))
import rows as results  # noqa: E402

WORDS = ("river stone morning engine letter garden window silver story winter bridge paper music "
         "coffee forest island market number painter question").split()
FIGURES = {"output_tok_s": "output tok/s", "ttft_p50_ms": "time to first token p50, ms",
           "tpot_p50_ms": "time per output token p50, ms"}


def on_cores(first, last, command):
    return ["taskset", "--cpu-list", f"{first}-{last}", *map(str, command)]


def run(command, timeout=900):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          timeout=timeout)
    if done.returncode:
        sys.exit(f"{command[0]} ended with exit code {done.returncode}:\n{done.stdout[-2000:]}\n"
                 f"{done.stderr[-2000:]}")
    return done.stdout


def run_client(args, command):
    return run(on_cores(args.threads, os.cpu_count() - 1, command))


def write_lines(path, objects):
    path.write_text("".join(json.dumps(o) + "\n" for o in objects))
    return path


def by_paceline(args, url, prompts, folder):
    lines = write_lines(folder / "paceline.jsonl", [{"prompt": p} for p in prompts])
    out = folder / "paceline.json"
    run_client(args, [
        args.binary, "load", "--url", url, "--concurrency", args.clients, "--requests",
        args.requests, "--warmup", args.clients, "--prompt-file", lines, "--max-tokens",
        args.tokens, "--ignore-eos", "--temperature", 0, "--json", out])
    r = json.loads(out.read_text())
    return {"requests": r["requests"]["ok"], "output_tokens": r["output_tokens"],
            "output_tok_s": r["output_tok_s"], "ttft_p50_ms": r["ttft_s"]["p50"] * 1e3,
            "tpot_p50_ms": r["tpot_s"]["p50"] * 1e3}


# aiperf loads a tokenizer even where it takes the server's counts: any will do.
TOKENIZER = """
import sys, tokenizers, transformers
words = tokenizers.models.WordLevel({"[UNK]": 0}, unk_token="[UNK]")
fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizers.Tokenizer(words))
fast.save_pretrained(sys.argv[1])
"""


def by_aiperf(args, url, prompts, folder):
    run([args.peers / "python", "-c", TOKENIZER, folder / "tokenizer"])
    lines = write_lines(folder / "aiperf.jsonl", [{"text": p} for p in prompts])
    run_client(args, [
        args.peers / "aiperf", "profile", "--model", args.name, "--url", url, "--endpoint-type",
        "chat", "--streaming", "--concurrency", args.clients, "--request-count", args.requests,
        "--warmup-request-count", args.clients, "--input-file", lines, "--custom-dataset-type",
        "single_turn", "--dataset-sampling-strategy", "sequential", "--use-server-token-count",
        "--tokenizer", folder / "tokenizer", "--extra-inputs", f"max_tokens:{args.tokens}",
        "--extra-inputs", "ignore_eos:true", "--extra-inputs", "temperature:0", "--workers-max", 1,
        "--ui", "none", "--no-gpu-telemetry", "--no-server-metrics", "--artifact-dir",
        folder / "aiperf"])
    r = json.loads((folder / "aiperf/profile_export_aiperf.json").read_text())
    return {"requests": int(r["request_count"]["avg"]),
            "output_tokens": round(r["output_sequence_length"]["avg"] * r["request_count"]["avg"]),
            "output_tok_s": r["output_token_throughput"]["avg"],
            "ttft_p50_ms": r["time_to_first_token"]["p50"],
            "tpot_p50_ms": r["inter_token_latency"]["p50"]}


def by_guidellm(args, url, prompts, folder):
    lines = write_lines(folder / "guidellm.jsonl", [{"prompt": p} for p in prompts])
    out = folder / "guidellm.json"
    backend = {"kind": "openai_http", "target": url, "model": args.name, "stream": True,
               "max_tokens": args.tokens,
               "extras": {"body": {"ignore_eos": True, "temperature": 0}}}
    run_client(args, [
        args.peers / "guidellm", "run", "--backend", json.dumps(backend), "--profile",
        f"kind=concurrent,streams={args.clients}", "--constraint",
        f"kind=max_requests,count={args.requests}", "--data", f"kind=json_file,path={lines}",
        "--output", f"kind=json,path={out}"])
    m = json.loads(out.read_text())["benchmarks"][0]["metrics"]

    def median(name):
        return m[name]["successful"]["median"]
    tokens = m["output_token_count"]["successful"]
    return {"requests": m["request_totals"]["successful"],
            "output_tokens": int(tokens["total_sum"]),
            "output_tok_s": m["output_tokens_per_second"]["successful"]["mean"],
            "ttft_p50_ms": median("time_to_first_token_ms"),
            "tpot_p50_ms": median("inter_token_latency_ms")}


TOOLS = {"paceline": by_paceline, "aiperf": by_aiperf, "guidellm": by_guidellm}


@contextlib.contextmanager
def server(args):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(on_cores(0, args.threads - 1, [
        args.binary, "serve", "--model", args.model, "--alias", args.name, "--port", port,
        "--parallel", args.clients, "--ctx-size", 1024, "--threads", args.threads,
        "--no-prefix-cache"]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with contextlib.suppress(OSError):
                if urllib.request.urlopen(f"{url}/health", timeout=2).status == 200:
                    break
            if process.poll() is not None:
                sys.exit(f"the server ended with exit code {process.returncode}")
            time.sleep(0.1)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def version_of(tool, args):
    if tool == "paceline":
        return run([args.binary, "--version"]).strip()
    return run([args.peers / "python", "-c", "import importlib.metadata as m; "
                f"print(m.version('{tool}'))"]).strip()


def measure(args, url):
    draw = random.Random(1)
    prompts = [" ".join(draw.choice(WORDS) for _ in range(args.prompt_words))
               for _ in range(args.requests)]
    session, out = results.default_session(), []
    versions = {tool: version_of(tool, args) for tool in args.tools}
    for number in range(1, args.rounds + 1):
        for tool in args.tools:
            cpu, limit = results.limits(args.binary, args.threads)
            with tempfile.TemporaryDirectory() as folder:
                row = TOOLS[tool](args, url, prompts, pathlib.Path(folder))
            row = {"kind": "load", "session": session, "tool": tool, "tool_version": versions[tool],
                   "round": number, "load": {
                       "model": pathlib.Path(args.model).name, "clients": args.clients,
                       "requests": args.requests, "tokens": args.tokens,
                       "prompt_words": args.prompt_words, "server_threads": args.threads},
                   "measured": row, "limit": limit, **results.stamp(cpu)}
            if row["measured"]["output_tokens"] != args.requests * args.tokens:
                sys.exit(f"{tool} counted {row['measured']['output_tokens']} output tokens, not "
                         f"{args.requests * args.tokens}")
            print(number, tool, {k: round(row["measured"][k], 3) for k in FIGURES}, flush=True)
            out.append(row)
    return out


def compare(rows, args):
    """Prints medians over rounds and their ratios to paceline's; whether all are near enough."""
    is_near = True
    for figure, name in FIGURES.items():
        at = {tool: statistics.median(r["measured"][figure] for r in rows if r["tool"] == tool)
              for tool in args.tools}
        ratios = {tool: at[tool] / at["paceline"] for tool in args.tools}
        print(f"{name:32}", *(f"{tool} {at[tool]:.2f} ({ratios[tool]:.3f})" for tool in args.tools),
              sep="  ")
        is_near &= all(abs(r - 1) <= args.within for r in ratios.values())
    return is_near


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", required=True)
    p.add_argument("--peers", type=pathlib.Path, required=True,
                   help="bin folder of an environment with bench/load/requirements.txt")
    p.add_argument("--binary", default="build/release/paceline")
    p.add_argument("--tools", nargs="*", default=["aiperf", "guidellm"],
                   choices=["aiperf", "guidellm"])
    p.add_argument("--clients", type=int, default=8)
    p.add_argument("--requests", type=int, default=80)
    p.add_argument("--tokens", type=int, default=96)
    p.add_argument("--prompt-words", type=int, default=64)
    p.add_argument("--threads", type=int, default=1, help="of the server")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--within", type=float, default=0.03)
    p.add_argument("--out", default=str(results.RESULTS / "load.jsonl"))
    args = p.parse_args()
    args.name = "cross-check"
    args.tools = ["paceline", *args.tools]
    with server(args) as url:
        rows = measure(args, url)
    results.append(args.out, rows)
    sys.exit(0 if compare(rows, args) else 1)


if __name__ == "__main__":
    main()
