"""Rows of bench/results: one JSON object for each run of one engine, and the medians taken of them.

A row of kind "peer" (bench/peers/suite.py) holds
    session         names the run of the suite; a table compares rows of one session only
    case, engine, options, round
    load            model file, streams, prompt and generated tokens, threads
    decode_tok_s    of all streams together; prefill_tok_s likewise; null: not measured
    missing         why there is no result, where there is none
    limit           gmac_s and read_gb_s of the machine, measured just before; null: unknown
    token           (paceline) multiply-adds of a token, bytes of weights a step reads, KV bytes
    machine, time, commit, engine_version, load_average
A round of 0 says that the figures are medians already, of `rounds` rounds.
"""
import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
RESULTS = ROOT / "bench/results"


def load(path):
    path = pathlib.Path(path)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def append(path, rows):
    with open(path, "a") as out:
        out.writelines(json.dumps(row) + "\n" for row in rows)


def commit():
    """"-dirty" where tracked files differ; new rows and the page made of them do not count."""
    def git(*words):
        return subprocess.run(["git", "-C", ROOT, *words], capture_output=True,
                              text=True).stdout.strip()

    name = git("rev-parse", "--short=7", "HEAD") or "unknown"
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!bench/results",
                  ":!docs")
    return name + ("-dirty" if changed else "")


def default_session():
    return f"{datetime.date.today().isoformat()}-{commit()}"


def limits(binary, threads):
    """Name of the processor and what it can do at most, measured now by bench/cpu_limit."""
    program = pathlib.Path(binary).resolve().parent / "bench/cpu_limit"
    if not program.exists():
        raise SystemExit(f"{program} is missing: build the target cpu_limit beside paceline")
    out = json.loads(subprocess.run([program, str(threads)], capture_output=True, text=True,
                                    check=True).stdout)
    return out["cpu"], {"gmac_s": out["int8_gmac_per_s"], "read_gb_s": out["read_gb_per_s"]}


def stamp(cpu):
    """What every row says of when and where."""
    return {"time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "commit": commit(), "load_average": round(os.getloadavg()[0], 2),
            "machine": {"cpu": cpu, "cores": os.cpu_count(),
                        "system": f"{platform.system()} {platform.release()}"}}


def alike(a, b):
    """Whether two runs found the same machine, by the limits just before each: arithmetic to 10 %,
    reads to 15 %. Of a run whose limits nobody measured that is not known: false."""
    if not a["limit"] or not b["limit"]:
        return False
    return all(min(a["limit"][k], b["limit"][k]) >= least * max(a["limit"][k], b["limit"][k])
               for k, least in (("gmac_s", 0.9), ("read_gb_s", 0.85)))


def median(rows, value):
    """Of value(row) where it is a number; None: of nothing."""
    found = [v for v in map(value, rows) if v is not None]
    return statistics.median(found) if found else None


def settings(rows):
    """Rows by the options they were run with."""
    out = {}
    for row in rows:
        out.setdefault(row["options"], []).append(row)
    return out


def best_setting(rows, metric):
    """Rows of the setting that went through the most rounds, of equals the fastest; they may all
    be without a result. metric: "decode" or "prefill"."""
    def rank(some):
        return (sum(not r.get("missing") for r in some),
                median(some, lambda r: r[f"{metric}_tok_s"]) or 0)
    return max(settings(rows).values(), key=rank)
