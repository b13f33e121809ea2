#!/usr/bin/env python3
"""paceline and its peers on the same files and loads, taking turns: one row a run.

    bench/peers/suite.py --llama-bin DIR [--ik-bin DIR]             # every case, three rounds
    bench/peers/suite.py --llama-bin DIR --case 1.5b-20 --case prefill
    bench/peers/suite.py --llama-bin DIR --list                     # the cases and their time

Nothing else may run meanwhile. Engines that are not given are left out. In a round every engine
runs once, each just after the machine's limits were measured; where a case tries several settings
of an engine, all run in the first round and the fastest goes on. A round's rows are written when
all of it is done, so that an interrupted suite, run again with the same --session, goes on with the
first round that is not there. bench/peers/report.py makes tables and plots of the rows.
"""
import argparse
import dataclasses
import os
import pathlib
import sys

import rows as results
from cases import CASES, MODELS, seconds
from engines import Missing, all_engines


def arguments():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    p.add_argument("--binary", default="build/release/paceline")
    p.add_argument("--paceline-options", default="", metavar="TEXT",
                   help="further options of paceline bench, as \"--cache-type-k q8_0\"")
    p.add_argument("--llama-bin", metavar="DIR", help="from build_llama_cpp.sh")
    p.add_argument("--ik-bin", metavar="DIR", 
                   help="a folder with ik_llama.cpp's llama-batched-bench, and in peer_version.txt "
                        "what rows call it")
    p.add_argument("--models", default=pathlib.Path(cache) / "paceline", type=pathlib.Path)
    p.add_argument("--case", action="append", metavar="NAME", help="a case or a group of cases")
    p.add_argument("--list", action="store_true", help="print the cases, what they take, and end")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--timeout-s", type=int, default=600, help="of one run of one engine (600)")
    p.add_argument("--window-s", type=float, default=15,
                   help="how long separate processes are watched decoding (15)")
    p.add_argument("--session", default=results.default_session(),
                   help="what rows of this run are known by (date and commit)")
    p.add_argument("--prompt", type=int, help="instead of the case's; wants --out elsewhere")
    p.add_argument("--gen", type=int, help="likewise")
    p.add_argument("--file", type=pathlib.Path, help="a model instead of the case's; likewise")
    p.add_argument("--out", type=pathlib.Path, default=results.RESULTS / "peers.jsonl")
    args = p.parse_args()
    is_other = args.prompt or args.gen or args.file
    if is_other and args.out.resolve() == results.RESULTS / "peers.jsonl":
        p.error("--prompt, --gen and --file make another load of a case: write its rows elsewhere "
                "(--out)")
    return args


def chosen(names):
    if not names:
        return list(CASES.values())
    known = set(CASES) | {c.group for c in CASES.values()}
    for name in names:
        if name not in known:
            sys.exit(f"no case \"{name}\"; there are {', '.join(sorted(known))}")
    return [c for c in CASES.values() if c.name in names or c.group in names]


def takes_part(engine, case):
    return case.processes or not engine.name.endswith("processes")


def n_settings(engine, case):
    every = case.try_all or engine.name.endswith("processes")
    return len(engine.settings) if every else 1


def settings_of(engine, case, number, seen):
    """What the engine is run with in this round: the first has them all, later ones the best."""
    first = [r for r in seen if r["engine"] == engine.name and r["round"] == 1]
    if number == 1 or not first:
        return engine.settings[:n_settings(engine, case)]
    best = results.best_setting(first, case.metric)[0]["options"]
    return [s for s in engine.settings if " ".join(s) == best] or engine.settings[:1]


def measure(args, case, engine, setting, number, model):
    cpu, limit = results.limits(args.binary, args.threads)
    row = {"kind": "peer", "session": args.session, "case": case.name, "engine": engine.name,
           "options": " ".join(setting), "round": number,
           "load": {"model": model.name, "streams": case.streams, "prompt_tokens": case.prompt,
                    "gen_tokens": case.gen, "threads": args.threads},
           "decode_tok_s": None, "prefill_tok_s": None, "limit": limit}
    row |= results.stamp(cpu) | {"engine_version": engine.version()}
    try:
        row |= engine.measure(case, model, args.threads, setting, args.timeout_s)
    except Missing as e:
        row["missing"] = str(e)
    print(f"{case.name} round {number} {engine.name} {row['options']}: " +
          (row.get("missing") or f"decode {row['decode_tok_s']} prefill {row['prefill_tok_s']}") +
          f"  (limits {limit['gmac_s']:.0f} GMAC/s, {limit['read_gb_s']:.1f} GB/s)",
          file=sys.stderr, flush=True)
    return row


def run_case(args, case, engines):
    model = (args.file or args.models / MODELS[case.model][0]).resolve()
    if not model.exists():
        sys.exit(f"{model} is missing: scripts/fetch_models.sh {model.stem}")
    changed = {k: v for k, v in (("prompt", args.prompt), ("gen", args.gen)) if v}
    case = dataclasses.replace(case, **changed)
    engines = [e for e in engines if takes_part(e, case)]
    for number in range(1, args.rounds + 1):
        seen = [r for r in results.load(args.out)
                if r["session"] == args.session and r["case"] == case.name]
        there = {r["engine"] for r in seen if r["round"] == number}
        if there >= {e.name for e in engines}:
            print(f"{case.name} round {number}: is there", file=sys.stderr)
            continue
        if there:
            sys.exit(f"{case.name} round {number} of session {args.session} has rows of "
                     f"{', '.join(sorted(there))} only: name another --session, or the engines "
                     "it was begun with")
        results.append(args.out, [measure(args, case, engine, setting, number, model)
                                  for engine in engines
                                  for setting in settings_of(engine, case, number, seen)])


def main():
    args = arguments()
    engines = all_engines(args)
    total = 0
    for case in chosen(args.case):
        part = [e for e in engines if takes_part(e, case)]
        time_s = sum(seconds(case, e.name, n_settings(e, case), args.rounds) for e in part)
        total += time_s
        print(f"{case.name:24} {case.streams:3} x {case.prompt:4} + {case.gen:2}  about "
              f"{time_s / 60:4.1f} min  {', '.join(e.name for e in part)}", file=sys.stderr)
    print(f"about {total / 60:.0f} min in all, session {args.session}", file=sys.stderr, flush=True)
    if args.list:
        return
    for case in chosen(args.case):
        run_case(args, case, engines)


if __name__ == "__main__":
    main()
