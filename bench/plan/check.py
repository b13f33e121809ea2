#!/usr/bin/env python3
"""What paceline plan says of this machine against what paceline bench measures on it.

    bench/plan/check.py                                  # three models, 1 to 30 streams: 5 minutes
    bench/plan/check.py --model smollm2-135m --rounds 1

The machine's limits come from the bench's own run, so that both speak of the same minute, and are
measured again after it: a round during which they changed says nothing of the model and is
repeated, up to --tries times in all. Nothing else may run meanwhile. One row for each model and
number of streams goes to --out, and a table to standard output.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "peers"))
import rows as results  # noqa: E402

MODELS = ("qwen2.5-coder-1.5b", "qwen2.5-coder-0.5b", "smollm2-135m")
PROMPT, GEN = 128, 64


def arguments():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    p.add_argument("--binary", default="build/release/paceline")
    p.add_argument("--models", default=pathlib.Path(cache) / "paceline", type=pathlib.Path)
    p.add_argument("--model", action="append", choices=MODELS)
    p.add_argument("--streams", default="1,5,10,20,30")
    p.add_argument("--rounds", type=int, default=3, help="of each; the median counts (3)")
    p.add_argument("--tries", type=int, default=9,
                   help="rounds at most, repeated ones included (9)")
    p.add_argument("--out", type=pathlib.Path, default=results.RESULTS / "plan.jsonl")
    return p.parse_args()


def run(*words):
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True)
    if done.returncode not in (0, 3):
        sys.exit(f"{' '.join(map(str, words))}: {done.stderr}")
    return json.loads(done.stdout)


def is_steady(before, after):
    """Whether the machine was the same after a round: arithmetic to 5 %, reads to 15 %."""
    return all(abs(a / b - 1) <= most for b, a, most in zip(before, after, (0.05, 0.15)))


def measured(args, path, n):
    """The processor, [(decode tok/s, limits)] of each round, each with the limits of its minute,
    and how many of them were on a machine that stayed the same. Rounds on a machine that changed
    meanwhile are left out where --tries allows."""
    rounds, spare = [], []
    for _ in range(max(args.tries, args.rounds)):
        got = run(args.binary, "bench", "--model", path, "--streams", n, "--prompt-tokens", PROMPT,
                  "--gen-tokens", GEN, "--json")
        machine = got["machine"]
        limits = machine["limit_gmac_s"], machine["limit_read_gb_s"]
        _, after = results.limits(args.binary, machine["threads"])
        steady = is_steady(limits, (after["gmac_s"], after["read_gb_s"]))
        (rounds if steady else spare).append((got["rows"][0]["decode_tok_s"], limits))
        if len(rounds) == args.rounds:
            break
    n_steady = len(rounds)
    return machine["cpu"], (rounds + spare)[:args.rounds], n_steady


def modelled(args, path, n, limits):
    plan = run(args.binary, "plan", path, "--limits", f"{limits[0]},{limits[1]}", "--parallel", n,
               "--ctx-size", PROMPT + GEN, "--depth", PROMPT + GEN // 2, "--json")
    return plan["step"]["tok_s"], plan["step"]["bound"]


def main():
    args = arguments()
    session = results.default_session()
    print("| model | streams | measured tok/s | modelled | error | binds "
          "|\n|---|---|---|---|---|---|")
    for model in args.model or MODELS:
        path = args.models / f"{model}.gguf"
        for n in map(int, args.streams.split(",")):
            cpu, rounds, n_steady = measured(args, path, n)
            said = [modelled(args, path, n, limits) for _, limits in rounds]
            tok_s = statistics.median(r[0] for r in rounds)
            plan_tok_s = statistics.median(s[0] for s in said)
            error = plan_tok_s / tok_s - 1
            results.append(args.out, [{
                "kind": "plan", "session": session, "model": path.name, "streams": n,
                "prompt_tokens": PROMPT, "gen_tokens": GEN, "decode_tok_s": [r[0] for r in rounds],
                "limits": [r[1] for r in rounds], "modelled_tok_s": [round(s[0], 2) for s in said],
                "error": round(error, 4), "steady_rounds": n_steady, **results.stamp(cpu)}])
            print(f"| {model} | {n} | {tok_s:.1f} | {plan_tok_s:.1f} | {100 * error:+.0f} % | "
                  f"{said[0][1]} |", flush=True)


if __name__ == "__main__":
    main()
