#!/usr/bin/env python3
"""What a KV type costs in quality: for pairs of K and V types, on each reference model,

  - mean nll over the first 4,096 tokens of text.txt (pages of this project as they once were, kept
    here so that figures of different commits compare), by paceline score;
  - needles: "The magic number of CITY is DIGITS." stands, twice in a row, at 16 depths in about
    4,000 tokens of the same text (half of what SmolLM2 is trained for, the least of the three);
    after all of it "The magic number of CITY is" has to be continued, greedily, by these digits.
    One server, one stream a needle: the first one reads the text, the others share it. Models this
    small miss some with exact KV as well: the row of f16 is what the others are held against.

    bench/quality/kv_types.py                                   # 16 pairs, 3 models: 15 minutes
    bench/quality/kv_types.py --model smollm2-135m --pair f16:f16 --pair q8_0:f8_e4m3

One row for each model and pair goes to --out; what the engine refuses leaves a row with its reason.
bench/peers/report.py makes the table of them.
"""
import argparse
import concurrent.futures
import contextlib
import hashlib
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "peers"))
import rows as results  # noqa: E402

MODELS = ("smollm2-135m", "qwen2.5-coder-0.5b", "gemma3-270m")
TYPES = ("f16", "bf16", "q8_0", "f8_e4m3")
CITIES = ("Lisbon Oslo Vienna Prague Dublin Athens Warsaw Helsinki Madrid Cairo Lima Toronto Seoul "
          "Sydney Nairobi Havana").split()
QUESTION = "The magic number of {} is"
MAX_REPLY = 8                   # tokens: five digits are five at most, and a space


class Refused(Exception):
    """The engine does not run this pair; says why."""


# ---- text ----------------------------------------------------------------------------------------

def tokenize(args, model, text):
    done = subprocess.run([args.binary, "tokenize", "--model", model, "--bos", "--json"],
                          input=text.encode(), capture_output=True, check=True)
    return json.loads(done.stdout)


def needles():
    """[(city, digits)], the same in every run."""
    rng = random.Random(7)
    return [(city, str(rng.randrange(10000, 100000))) for city in CITIES]


def haystack(lines):
    """The lines with the needles between them, at equal distances."""
    out, found = [], needles()
    for i, (city, digits) in enumerate(found):
        begin, end = (len(lines) * j // len(found) for j in (i, i + 1))
        out += lines[begin:end]
        statement = f"{QUESTION.format(city)} {digits}."
        out.insert(len(out) - (end - begin) // 2, f"{statement} {statement}")
    return "\n".join(out) + "\n\n"


def haystack_of(args, model, n_tokens):
    """(text, its tokens): as many lines of the text as fit."""
    lines = args.text.read_text().splitlines()
    low, high = 0, len(lines)
    while low < high:
        middle = (low + high + 1) // 2
        if len(tokenize(args, model, haystack(lines[:middle]))) <= n_tokens:
            low = middle
        else:
            high = middle - 1
    text = haystack(lines[:low])
    return text, len(tokenize(args, model, text))


# ---- measures ------------------------------------------------------------------------------------

def cache_options(k, v):
    """Nothing for f16, which is what the engine does unasked."""
    return [word for name, kind in (("--cache-type-k", k), ("--cache-type-v", v)) if kind != "f16"
            for word in (name, kind)]


def mean_nll(args, model, ids, options):
    done = subprocess.run([args.binary, "score", "--model", model, "--tokens",
                           ",".join(map(str, ids)), "--top", "0", "--json", *options],
                          capture_output=True, text=True)
    if done.returncode:
        raise Refused(done.stderr.strip()[-300:])
    return json.loads(done.stdout)["mean_nll"]


@contextlib.contextmanager
def server(args, model, n_ctx, options):
    """The port of one that answers."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    process = subprocess.Popen([args.binary, "serve", "--model", model, "--port", str(port),
                                "--parallel", str(len(CITIES)), "--ctx-size", str(n_ctx), "--quiet",
                                *options], stderr=subprocess.PIPE, text=True)
    try:
        for _ in range(600):
            if process.poll() is not None:
                raise Refused(process.stderr.read().strip()[-300:])
            with contextlib.suppress(OSError):
                if urllib.request.urlopen(f"http://127.0.0.1:{port}/health").status == 200:
                    break
            time.sleep(0.1)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def reply(port, prompt):
    body = {"prompt": prompt, "temperature": 0, "max_tokens": MAX_REPLY}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/completions",
                                     json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=600) as answer:
            return json.loads(answer.read())["choices"][0]["text"]
    except urllib.error.HTTPError as e:
        sys.exit(f"the server answered {e.code}: {e.read().decode()[:300]}")


def replies(args, model, text, n_ctx, options):
    """{city: what was said its number is}"""
    with server(args, model, n_ctx, options) as port:
        def ask(city):
            return reply(port, text + QUESTION.format(city)).strip()

        first = ask(CITIES[0])                  # reads the text; the others find its pages
        with concurrent.futures.ThreadPoolExecutor(len(CITIES)) as pool:
            return dict(zip(CITIES, [first, *pool.map(ask, CITIES[1:])]))


def measure(args, name, pair, ids, hay):
    model = args.models / f"{name}.gguf"
    k, v = pair
    text, n_hay = hay
    row = {"kind": "kv_quality", "model": name, "k": k, "v": v, "nll_tokens": len(ids),
           "haystack_tokens": n_hay, "needles": len(CITIES),
           "text_sha256": hashlib.sha256(args.text.read_bytes()).hexdigest()[:16]}
    row |= {key: value for key, value in results.stamp(args.cpu).items() if key != "load_average"}
    options = cache_options(k, v)
    try:
        row["mean_nll"] = mean_nll(args, model, ids, options)
        row["replies"] = replies(args, model, text, n_hay + 64, options)
        row["needles_found"] = sum(row["replies"][city].startswith(digits)
                                   for city, digits in needles())
    except Refused as e:
        row["refused"] = str(e)
    return row


# ---- command line --------------------------------------------------------------------------------

def parse_pair(text):
    k, _, v = text.partition(":")
    if k not in TYPES or v not in TYPES:
        raise argparse.ArgumentTypeError(f"found \"{text}\", K:V of {' '.join(TYPES)} is wanted")
    return k, v


def main():
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--binary", default="build/release/paceline")
    p.add_argument("--models", default=pathlib.Path(cache) / "paceline", type=pathlib.Path)
    p.add_argument("--model", action="append", metavar="NAME", help="of " + ", ".join(MODELS))
    p.add_argument("--pair", action="append", type=parse_pair, metavar="K:V", help="default: all")
    p.add_argument("--tokens", type=int, default=4096, help="of the text, for the nll (4096)")
    p.add_argument("--haystack-tokens", type=int, default=4000)
    p.add_argument("--text", type=pathlib.Path, default=HERE / "text.txt")
    p.add_argument("--out", type=pathlib.Path, default=results.RESULTS / "kv_quality.jsonl")
    args = p.parse_args()

    args.cpu, _ = results.limits(args.binary, 0)
    for name in args.model or MODELS:
        model = args.models / f"{name}.gguf"
        if not model.exists():
            sys.exit(f"{model} is missing: scripts/fetch_models.sh {name}")
        ids = tokenize(args, model, args.text.read_text())[:args.tokens]
        hay = haystack_of(args, model, args.haystack_tokens)
        for pair in args.pair or [(k, v) for k in TYPES for v in TYPES]:
            start = time.monotonic()
            row = measure(args, name, pair, ids, hay)
            results.append(args.out, [row])
            print(f"{name} K {row['k']} V {row['v']}: " + (row.get("refused") or
                  f"mean nll {row['mean_nll']:.4f} over {row['nll_tokens']} tokens, "
                  f"{row['needles_found']} of {row['needles']} needles in "
                  f"{row['haystack_tokens']} tokens") +
                  f"  ({time.monotonic() - start:.0f} s)", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
