"""Seeded replies, to be held from one version to the next: makes smollm2-135m.replies.json.

    tests/golden/replies.py MODEL [--binary build/release/paceline] \\
        > tests/golden/smollm2-135m.replies.json

Whoever changes how a seed becomes a reply makes them anew, and says so in CHANGELOG.md.
"""

import argparse
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from serving import Server

PROMPTS = [
    "The old lighthouse keeper opened the door and",
    "def median(values):\n",
    "One, two, three, four, one, two, three, four, one, two,",
]
SEEDS = [1, 20260728]
SETTINGS = [
    {"temperature": 1},
    {"temperature": 0.3},
    {"temperature": 1.6},
    {"temperature": 1, "top_k": 5},
    {"temperature": 1, "top_p": 0.8},
    {"temperature": 1.4, "min_p": 0.05},
    {"temperature": 1, "typical_p": 0.7},
    {"temperature": 1.2, "top_k": 200, "typical_p": 0.95, "top_p": 0.95, "min_p": 0.01},
    {"temperature": 0.9, "repeat_penalty": 1.3, "repeat_last_n": 20},
    {"temperature": 0.9, "frequency_penalty": 0.7, "presence_penalty": 0.4, "top_k": 40},
    {"temperature": 0.9, "logit_bias": {"28": -100, "260": 3, "284": 2.5}, "top_p": 0.9},
    {"temperature": 0, "repeat_penalty": 1.2, "presence_penalty": 0.3},
]


def requests():
    for prompt in PROMPTS:
        for settings in SETTINGS:
            for seed in SEEDS if settings["temperature"] else SEEDS[:1]:
                yield {"prompt": prompt, "max_tokens": 24, "ignore_eos": True, "seed": seed,
                       "top_k": 0, "top_p": 1, "min_p": 0, "repeat_penalty": 1, **settings}


def ask(server, request):
    status, _, answer = server.post("/v1/completions", request)
    assert status == 200, answer
    return answer["choices"][0]["text"]


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("model")
    options.add_argument("--binary", default="build/release/paceline")
    given = options.parse_args()
    server = Server(given.binary, given.model, "--parallel", 4, "--ctx-size", 256).wait()
    try:
        replies = [{"request": r, "text": ask(server, r)} for r in requests()]
    finally:
        server.stop()
    print("[\n" + ",\n".join(json.dumps(r) for r in replies) + "\n]")
