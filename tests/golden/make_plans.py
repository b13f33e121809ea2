#!/usr/bin/env python3
"""What `paceline plan` prints, whole, of machines of every kind: plans.txt, to which
tests/test_plan.py holds it.

    tests/golden/make_plans.py [build/release/paceline] > tests/golden/plans.txt

A change of a formula shows there in every figure that it moves: look through the difference before
it is committed."""

import subprocess
import sys

PLANS = [
    "llama-3.1-8b --machine m4-pro-64 --explain",
    "qwen3-30b-a3b --machine m4-pro-48 --explain --cache-type-k q8_0 --cache-type-v f8_e4m3 "
    "--parallel 7 --ctx-size 10000 --depth 777 --prompt-tokens 2049 --derate 0:1,10:0.9,30:0.85 "
    "--price m4-pro-48=1999.5 --price h100=25000 --price m4-16=600",
    "gemma-3-27b --machine rtx-4090 --explain",
    "qwen2.5-7b --machine epyc-9755 --quant Q4_0 --explain",
    "qwen2.5-32b --machine m5-max-128 --quant Q6_K --explain --parallel 33",
    "qwen3-235b-a22b --machine strix-halo-gpu --quant Q5_K_M --explain --memory 180 --bandwidth "
    "231.5 --tflops 40",
    "gemma-3-1b --machine strix-halo --quant F16 --ctx-size 100000 --parallel 3 --explain",
    "smollm2-135m --machine m4-16 --quant Q8_0 --parallel 1 --ctx-size 512 --explain",
    "llama-3.1-8b --machine m4-pro-64 --alerts",
    "--list",
]

# Of plans that do not fit, what is said of memory and of others that do.
MISFITS = [
    "qwen2.5-32b --machine m4-pro-24", "qwen2.5-32b --machine rtx-4090",
    "qwen2.5-72b --machine m4-16", "qwen3-235b-a22b --machine m4-max-128",
    "gemma-3-27b --machine m5-max-36", "llama-3.1-70b --machine m4-pro-48",
    "qwen2.5-0.5b --machine m4-16 --memory 0.3", "qwen2.5-7b --machine m4-16 --parallel 40",
    "llama-3.1-8b --machine m4-16 --ctx-size 131072", "qwen2.5-7b --machine m4-16 --quant F16",
]


def printed(program, words):
    done = subprocess.run([program, "plan", *words.split()], capture_output=True, text=True,
                          timeout=120)
    if words in MISFITS:
        memory = done.stdout[done.stdout.index("Memory\n"):done.stdout.index("\n\nA step")]
        return f"$ paceline plan {words}\n{memory}\n\n"
    return f"$ paceline plan {words}\n{done.stdout}{done.stderr}exit {done.returncode}\n\n"


if __name__ == "__main__":
    for plan in PLANS + MISFITS:
        print(printed((sys.argv[1:] + ["build/release/paceline"])[0], plan), end="")
