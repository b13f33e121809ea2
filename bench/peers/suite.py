#!/usr/bin/env python3
"""Measures paceline and its peers on the same files and machine: cases in turn, engines alternating,
three rounds. Nothing else may run meanwhile.

    bench/peers/suite.py --models DIR --llama-bin DIR [--ik-bin DIR] [--case NAME]...

Every run of an engine adds its rows to --out (JSON lines) at once, with the machine's limits
measured in the same round by `paceline bench`; a run whose row of this commit is there already is
skipped, so an interrupted suite goes on where it was. bench/peers/report.py makes the tables and the
plot of docs/performance.md from the rows.
"""
import argparse
import concurrent.futures
import dataclasses
import datetime
import json
import os
import re
import subprocess
import sys
import time


@dataclasses.dataclass(frozen=True)
class Case:
    model: str
    streams: tuple
    prompt: int = 128
    gen: int = 64
    minutes: int = 1            # about, for three rounds of three engines on two cores
    n_processes: int = 0        # llama.cpp also as so many processes of one stream each


CASES = {
    "1.5b": Case("qwen2.5-coder-1.5b.gguf", (1, 5, 10, 20, 30), minutes=10),
    "1.5b-prompt-2048": Case("qwen2.5-coder-1.5b.gguf", (1,), prompt=2048, gen=16, minutes=3),
    "1.5b-context-1024": Case("qwen2.5-coder-1.5b.gguf", (20,), prompt=1024, gen=64, minutes=12),
    "0.5b": Case("qwen2.5-coder-0.5b.gguf", (1, 5, 10, 20, 30), minutes=4, n_processes=20),
    "135m": Case("smollm2-135m.gguf", (1, 5, 10, 20, 30), minutes=2),
}


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr[-2000:]}")
    return done


def paceline(args, case):
    """(machine with its limits, {streams: (decode, prefill)})"""
    out = json.loads(run([args.binary, "bench", "--model", f"{args.models}/{case.model}",
                          "--streams", ",".join(map(str, case.streams)),
                          "--prompt-tokens", str(case.prompt), "--gen-tokens", str(case.gen),
                          "--threads", str(args.threads), "--json"]).stdout)
    return out["machine"], {r["streams"]: (r["decode_tok_s"], r["prefill_tok_s"])
                            for r in out["rows"]}


def batched_command(args, case, folder, streams, threads, *more):
    n_ctx = max(streams) * (case.prompt + case.gen)
    return [f"{folder}/llama-batched-bench", "-m", f"{args.models}/{case.model}", "-c", str(n_ctx),
            "-b", "2048", "-ub", "512", "-npp", str(case.prompt), "-ntg", str(case.gen),
            "-npl", ",".join(map(str, streams)), "-t", str(threads), "-fa", "on", *more]


def batched_rows(done):
    """{streams: (decode, prefill)} of llama-batched-bench's table, on either output."""
    rows = {}
    for line in (done.stdout + done.stderr).splitlines():
        cells = [c.strip() for c in line.split("|")]
        if len(cells) > 9 and re.fullmatch(r"\d+", cells[1]):
            rows[int(cells[3])] = (float(cells[8]), float(cells[6]))    # S_TG, S_PP
    return rows


def processes(args, case):
    """As many processes of one stream and one thread, all at once: the sum of what each says of
    itself, which is too kind to them, since the last ones have the machine to themselves."""
    command = batched_command(args, case, args.llama_bin, [1], 1)
    with concurrent.futures.ThreadPoolExecutor(case.n_processes) as pool:
        rates = list(pool.map(lambda _: batched_rows(run(command)), range(case.n_processes)))
    return {case.n_processes: tuple(sum(r[1][i] for r in rates) for i in (0, 1))}


def engines_of(args, case):
    """{engine: (version, options, measure)}; paceline comes first: its rows bring the limits."""
    found = {"paceline": (args.commit, "", None)}
    if args.llama_bin:
        found["llama.cpp"] = (args.llama_version, "-fa on", lambda: batched_rows(run(
            batched_command(args, case, args.llama_bin, case.streams, args.threads))))
        if case.n_processes:
            found["llama.cpp processes"] = (args.llama_version, "-fa on -t 1",
                                            lambda: processes(args, case))
    if args.ik_bin:
        found["ik_llama.cpp"] = (args.ik_version, "-fa on -rtr", lambda: batched_rows(run(
            batched_command(args, case, args.ik_bin, case.streams, args.threads, "-rtr"))))
    return found


def measure_case(args, name, done):
    case = CASES[name]
    for number in range(1, args.rounds + 1):
        machine = None
        for engine, (version, options, measure) in engines_of(args, case).items():
            if (name, engine, number) in done and machine is None and engine != "paceline":
                continue
            if measure is None:
                machine, rows = paceline(args, case)
                if (name, engine, number) in done:
                    continue
            elif (name, engine, number) in done:
                continue
            else:
                rows = measure()
            if set(rows) - set(case.streams) or not rows:
                sys.exit(f"{name} {engine}: rows for {sorted(rows)} streams were found, "
                         f"{list(case.streams)} are wanted")
            with open(args.out, "a") as out:
                for streams, (decode, prefill) in sorted(rows.items()):
                    out.write(json.dumps({
                        "case": name, "engine": engine, "version": version, "options": options,
                        "commit": args.commit, "date": datetime.date.today().isoformat(),
                        "round": number, "model": case.model, "streams": streams,
                        "prompt_tokens": case.prompt, "gen_tokens": case.gen,
                        "decode_tok_s": round(decode, 2), "prefill_tok_s": round(prefill, 2),
                        "machine": machine}) + "\n")
            print(f"{name} round {number} {engine}: " + "  ".join(
                f"{n}: {d:.1f}/{p:.1f}" for n, (d, p) in sorted(rows.items())), file=sys.stderr)


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--models", default=os.path.expanduser("~/.cache/paceline"))
    p.add_argument("--binary", default="build/release/paceline")
    p.add_argument("--llama-bin")
    p.add_argument("--llama-version", default="b11434")
    p.add_argument("--ik-bin")
    p.add_argument("--ik-version", default="8337e4cd")
    p.add_argument("--case", action="append", choices=CASES, help="default: all")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--out", default="bench/results/peers.jsonl")
    args = p.parse_args()

    args.commit = run(["git", "rev-parse", "--short=7", "HEAD"]).stdout.strip()
    done = set()
    if os.path.exists(args.out):
        with open(args.out) as rows:
            done = {(r["case"], r["engine"], r["round"]) for r in map(json.loads, rows)
                    if r["commit"] == args.commit}
    names = args.case or list(CASES)
    print(f"about {sum(CASES[n].minutes for n in names)} minutes", file=sys.stderr)
    start = time.monotonic()
    for name in names:
        measure_case(args, name, done)
    print(f"{(time.monotonic() - start) / 60:.1f} minutes", file=sys.stderr)


if __name__ == "__main__":
    main()
