#!/usr/bin/env python3
"""Whether paceline's GPU backend can run here: reads what `paceline doctor --json` prints. Exit
code 1: it cannot, and the reason is printed.

    paceline doctor --json | scripts/has_gpu.py
"""
import json
import sys


def main():
    findings = {f["name"]: f for f in json.load(sys.stdin)["findings"]}
    gpu = findings.get("GPU", {"state": "wrong", "text": "this build has no backend of a GPU"})
    print(gpu["text"] if gpu["state"] == "fine" else f"skipped: {gpu['text']}")
    return gpu["state"] != "fine"


if __name__ == "__main__":
    sys.exit(main())
