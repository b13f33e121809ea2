#!/usr/bin/env python3
"""What it costs to hold replies to a schema: so many streams at once, with a schema and without, in
turns on one server, and the tokens per second of both.

    bench/load/constrained.py --model FILE [--streams 20] [--tokens 200] [--rounds 3]
"""

import argparse
import concurrent.futures
import json
import pathlib
import statistics
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from serving import Server  # noqa: E402

# Long enough that no reply comes to its end: 40 records at least, with what schemas usually ask.
RECORD = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 60},
        "kind": {"enum": ["person", "place", "thing", "idea"]},
        "score": {"type": "number", "minimum": 0, "maximum": 100},
        "tags": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 4},
        "seen": {"type": "boolean"},
        "more": {"type": "object", "additionalProperties": {"type": "integer"}},
    },
    "required": ["name", "kind", "score", "tags", "seen"],
    "additionalProperties": False,
}
FREE = {"type": "array", "items": RECORD, "minItems": 40}


def reply_tokens(server, number, n_tokens, more):
    body = {"prompt": f"List {number + 40} things of a library as JSON.\n", "seed": number,
            "temperature": 0.8, "max_tokens": n_tokens, "ignore_eos": True} | more
    status, _, reply = server.post("/v1/completions", body, timeout=3600)
    if status != 200:
        sys.exit(f"constrained.py: status {status}: {reply}")
    return reply["usage"]["completion_tokens"]


def measure(server, options, more):
    """Tokens per second of all streams together, prompts included: they are short."""
    start = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(options.streams) as pool:
        tokens = list(pool.map(lambda i: reply_tokens(server, i, options.tokens, more),
                               range(options.streams)))
    return sum(tokens) / (time.monotonic() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, type=pathlib.Path)
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "build/release/paceline")
    parser.add_argument("--streams", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    options, more = parser.parse_known_args()
    server = Server(options.binary, options.model, "--parallel", options.streams, *more)
    rows = {"free": [], "schema": []}
    try:
        server.wait()
        measure(server, options, {"json_schema": FREE})     # compiles it, warms all up
        for _ in range(options.rounds):
            rows["free"].append(measure(server, options, {}))
            rows["schema"].append(measure(server, options, {"json_schema": FREE}))
    finally:
        server.stop()
    free, schema = (statistics.median(rows[name]) for name in ("free", "schema"))
    print(json.dumps({"streams": options.streams, "tokens": options.tokens,
                      "free_tps": round(free, 1), "schema_tps": round(schema, 1),
                      "share": round(schema / free, 3),
                      "rounds": {name: [round(x, 1) for x in row] for name, row in rows.items()}}))


if __name__ == "__main__":
    main()
