#!/usr/bin/env python3
"""Decode and prefill rates of paceline and llama.cpp on one file: the same load, alternating rounds.

    bench/peers/compare.py --model M.gguf --llama-bin DIR [--ik-bin DIR] --streams 1,5,10,20,30

Nothing else may run meanwhile. One row per engine and stream count goes to --out (JSON lines), with
the medians of the rounds, the ratio to the peer and the machine's limits measured in between.
"""
import argparse
import datetime
import json
import re
import statistics
import subprocess
import sys


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout


def paceline(args, streams):
    out = json.loads(run([args.binary, "bench", "--model", args.model, "--streams", streams,
                          "--prompt-tokens", str(args.prompt), "--gen-tokens", str(args.gen),
                          "--threads", str(args.threads), "--json"]))
    return out["machine"], {r["streams"]: (r["decode_tok_s"], r["prefill_tok_s"])
                            for r in out["rows"]}


def batched_bench(args, folder, streams, *more):
    n_ctx = max(int(s) for s in streams.split(",")) * (args.prompt + args.gen)
    text = run([f"{folder}/llama-batched-bench", "-m", args.model, "-c", str(n_ctx), "-b", "2048",
                "-ub", "512", "-npp", str(args.prompt), "-ntg", str(args.gen), "-npl", streams,
                "-t", str(args.threads), "-fa", "on", *more])
    rows = {}
    for line in text.splitlines():
        cells = [c.strip() for c in line.split("|")]
        if len(cells) > 9 and re.fullmatch(r"\d+", cells[1]):
            rows[int(cells[3])] = (float(cells[8]), float(cells[6]))  # S_TG, S_PP
    return rows


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", required=True)
    p.add_argument("--binary", default="build/release/paceline")
    p.add_argument("--llama-bin", required=True)
    p.add_argument("--ik-bin")
    p.add_argument("--streams", default="1,5,10,20,30")
    p.add_argument("--prompt", type=int, default=128)
    p.add_argument("--gen", type=int, default=64)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--out", default="bench/results/peers.jsonl")
    args = p.parse_args()

    engines = {"paceline": None, "llama.cpp": lambda: batched_bench(args, args.llama_bin,
                                                                    args.streams)}
    if args.ik_bin:
        engines["ik_llama.cpp"] = lambda: batched_bench(args, args.ik_bin, args.streams, "-rtr")
    seen, machines = {e: [] for e in engines}, []
    for number in range(args.rounds):
        for engine, measure in engines.items():
            if measure:
                rows = measure()
            else:
                machine, rows = paceline(args, args.streams)
                machines.append(machine)
            seen[engine].append(rows)
            print(f"round {number + 1} {engine}: " +
                  "  ".join(f"{n}: {d:.1f}/{f:.1f}" for n, (d, f) in sorted(rows.items())),
                  file=sys.stderr)

    machine = dict(machines[0])
    for key in ("limit_gmac_s", "limit_read_gb_s"):
        machine[key] = round(statistics.median(m[key] for m in machines), 1)
    commit = run(["git", "rev-parse", "--short", "HEAD"]).strip()
    with open(args.out, "a") as out:
        for n in (int(s) for s in args.streams.split(",")):
            median = {e: [round(statistics.median(r[n][i] for r in seen[e]), 1) for i in (0, 1)]
                      for e in engines}
            row = {"kind": "batched", "date": datetime.date.today().isoformat(), "commit": commit,
                   "machine": machine, "model": args.model.rsplit("/", 1)[-1], "streams": n,
                   "prompt_tokens": args.prompt, "gen_tokens": args.gen, "rounds": args.rounds,
                   "decode_tok_s": {e: median[e][0] for e in engines},
                   "prefill_tok_s": {e: median[e][1] for e in engines},
                   "decode_ratio": {e: round(median["paceline"][0] / median[e][0], 3)
                                    for e in engines if e != "paceline"},
                   "prefill_ratio": {e: round(median["paceline"][1] / median[e][1], 3)
                                     for e in engines if e != "paceline"}}
            out.write(json.dumps(row) + "\n")
            print(json.dumps({k: row[k] for k in ("streams", "decode_tok_s", "prefill_tok_s",
                                                  "decode_ratio", "prefill_ratio")}))


if __name__ == "__main__":
    main()
