#!/usr/bin/env python3
"""The same HTTP load on paceline and llama-server, alternating rounds: throughput, time to first
token and inter-token latency as a streaming client sees them.

    bench/peers/serve_compare.py --model M.gguf --llama-bin DIR --clients 20 --requests 60

Nothing else may run meanwhile. The client is one process of asyncio streams with hardly any work a
token, so that it takes little of the machine that both servers share with it. One row for each
engine and round goes to --out; bench/peers/report.py makes the table of them.
"""
import argparse
import asyncio
import json
import pathlib
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import rows as results

WORDS = ("river stone morning engine letter garden window silver story winter bridge paper music "
         "coffee forest island market number painter question").split()


def prompt_of(i, n_words):
    """Different from its first word on for every i: nothing is found in a prefix cache."""
    words = random.Random(i)
    return " ".join(words.choice(WORDS) + str(words.randrange(1000)) for _ in range(n_words))


async def one_request(port, i, args):
    body = json.dumps({"prompt": prompt_of(i, args.prompt_words), "stream": True, "temperature": 0,
                       "max_tokens": args.tokens, "n_predict": args.tokens, "ignore_eos": True,
                       "cache_prompt": False}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    start = time.perf_counter()
    writer.write(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                 b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    arrivals = []
    while line := await reader.readline():
        if line.startswith(b"data: {") and b'"text":""' not in line:
            arrivals.append(time.perf_counter())
    writer.close()
    return start, arrivals


async def load(port, args, first=0):
    numbers = iter(range(first, first + args.requests))
    results = []

    async def client():
        for i in numbers:
            results.append(await one_request(port, i, args))

    start = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(args.clients)))
    wall = time.perf_counter() - start
    ttft = sorted(a[0] - s for s, a in results if a)
    gaps = sorted(b - a for _, arr in results for a, b in zip(arr, arr[1:]))
    at = lambda v, share: v[min(len(v) - 1, int(share * len(v)))] if v else float("nan")
    n_tokens = sum(len(a) for _, a in results)
    return {"tok_s": n_tokens / wall, "chunks": n_tokens, "ttft_p50_s": at(ttft, .5),
            "ttft_p95_s": at(ttft, .95), "itl_p50_ms": at(gaps, .5) * 1e3,
            "itl_p99_ms": at(gaps, .99) * 1e3}


def measure(command, port, args):
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            try:
                if urllib.request.urlopen(f"http://127.0.0.1:{port}/health",
                                          timeout=2).status == 200:
                    break
            except OSError:
                pass
            if server.poll() is not None:
                sys.exit(f"{command[0]} ended with exit code {server.returncode}")
            time.sleep(0.1)
        asyncio.run(load(port, argparse.Namespace(**{**vars(args), "requests": args.clients,
                                                     "tokens": 8}), first=10 ** 6))   # warm-up
        return asyncio.run(load(port, args))
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=30)


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", required=True)
    p.add_argument("--binary", default="build/release/paceline")
    p.add_argument("--llama-bin", required=True)
    p.add_argument("--clients", type=int, default=20)
    p.add_argument("--requests", type=int, default=60)
    p.add_argument("--tokens", type=int, default=128)
    p.add_argument("--prompt-words", type=int, default=28)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--out", default="bench/results/serve.jsonl")
    p.add_argument("--more", nargs="*", default=[], help="further options of paceline serve")
    args = p.parse_args()

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    common = ["--model", args.model, "--parallel", str(args.clients), "--threads",
              str(args.threads), "--host", "127.0.0.1", "--port", str(port)]
    llama_version = pathlib.Path(args.llama_bin) / "peer_version.txt"  # by build_llama_cpp.sh
    paceline_more = ["--ctx-size", "512", "--no-prefix-cache", *args.more]
    llama_more = ["--ctx-size", str(512 * args.clients), "--flash-attn", "on", "--cont-batching"]
    engines = {
        "paceline": ([args.binary, "serve"], paceline_more,
                     subprocess.check_output([args.binary, "--version"], text=True).strip()),
        "llama-server": ([f"{args.llama_bin}/llama-server"], llama_more,
                         llama_version.read_text().strip() if llama_version.exists() else
                         "unknown"),
    }
    session = results.default_session()
    for number in range(1, args.rounds + 1):
        for engine, (program, more, version) in engines.items():
            cpu, limit = results.limits(args.binary, args.threads)
            result = measure([*program, *common, *more], port, args)
            row = {"kind": "serve", "session": session, "engine": engine,
                   "options": " ".join(more), "round": number,
                   "load": {"model": args.model.rsplit("/", 1)[-1], "clients": args.clients,
                            "requests": args.requests, "tokens": args.tokens,
                            "prompt_words": args.prompt_words, "threads": args.threads},
                   **{k: round(v, 3) for k, v in result.items()}, "limit": limit,
                   **results.stamp(cpu), "engine_version": version}
            results.append(args.out, [row])
            print(f"round {number} {engine}: " +
                  "  ".join(f"{k} {v:.2f}" for k, v in result.items()), file=sys.stderr)


if __name__ == "__main__":
    main()
