#!/usr/bin/env python3
"""Two builds of paceline on the same files at the same time, each on one core of its own, then with
the cores exchanged: what a change did to its speed, where a machine is not quiet enough to tell 2 %
by turns. Linux.

    bench/versions/compare.py BEFORE AFTER MODEL... [--streams 1,20] [--rounds 6] [--cores 0,1]
                              [--commits BEFORE,AFTER]

BEFORE and AFTER are programs, each in the build folder of a working tree whose commit is noted, or
that of --commits where they were built elsewhere. --cores: two that are no siblings of one core.
Every run is a row of bench/results/versions.jsonl: kind "version", pair (both rows of one have the
same), core, commit, machine with its limits as measured just before, load, figures. Printed: the
ratio of after to before, the median over pairs and their exchanges."""

import argparse
import datetime
import json
import os
import pathlib
import statistics
import subprocess

RESULTS = pathlib.Path(__file__).resolve().parents[1] / "results/versions.jsonl"
FIGURES = ("decode_tok_s", "prefill_tok_s")


def commit_of(program):
    def git(*words):
        folder = pathlib.Path(program).resolve().parent
        return subprocess.run(["git", "-C", folder, *words], check=True, capture_output=True,
                              text=True).stdout.strip()
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ":/src")
    return git("rev-parse", "--short=7", "HEAD") + ("-dirty" if changed else "")


def start(program, model, streams, core):
    return subprocess.Popen(["taskset", "-c", str(core), program, "bench", "--model", model,
                             "--streams", streams, "--threads", "1", "--json"],
                            stdout=subprocess.PIPE, text=True)


def run_pair(programs, commits, model, streams, cores, number):
    """Rows of both, the first on cores[number % 2]."""
    at = [cores[(number + i) % 2] for i in range(2)]
    running = [start(p, model, streams, core) for p, core in zip(programs, at)]
    rows = []
    for core, commit, process in zip(at, commits, running):
        result = json.loads(process.communicate()[0])
        rows.append({"kind": "version", "pair": number, "core": core, "commit": commit,
                     "file": pathlib.Path(model).name, "machine": result["machine"],
                     "load_average": os.getloadavg()[0],
                     "time": datetime.datetime.now(datetime.timezone.utc).isoformat(
                         timespec="seconds"), **result["rows"][0]})
    return rows


def ratio(pairs, figure):
    """Of two neighbours the geometric mean: what a core does for its program is in both."""
    each = [after[figure] / before[figure] for before, after in pairs]
    return statistics.median((a * b) ** 0.5 for a, b in zip(each[::2], each[1::2]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("before")
    parser.add_argument("after")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--streams", default="1,20")
    parser.add_argument("--rounds", type=int, default=6, help="an even number")
    parser.add_argument("--cores", default="0,1")
    parser.add_argument("--commits", help="of BEFORE,AFTER")
    a = parser.parse_args()
    programs = a.before, a.after
    commits = a.commits.split(",") if a.commits else [commit_of(p) for p in programs]
    cores = [int(core) for core in a.cores.split(",")]
    for model in a.models:
        for streams in a.streams.split(","):
            pairs = [run_pair(programs, commits, model, streams, cores, i) for i in range(a.rounds)]
            with open(RESULTS, "a") as out:
                out.writelines(json.dumps(row) + "\n" for pair in pairs for row in pair)
            print(f"{pathlib.Path(model).name:28} {streams:>3} streams  " + "  ".join(
                f"{f} {ratio(pairs, f):.3f}" for f in FIGURES), flush=True)


if __name__ == "__main__":
    main()
