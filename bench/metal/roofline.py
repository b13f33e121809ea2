#!/usr/bin/env python3
"""What the Metal kernels can reach at most, from their instructions and bytes: modelled.

    bench/metal/roofline.py                     # the tables of docs/metal.md
    bench/metal/roofline.py --write             # puts them there
    bench/metal/roofline.py --check             # exit code 1: the page has others

Counts of instructions are those that paceline plan multiplies with (src/estimate/metal_costs.def),
of a simdgroup's work on one chunk: 32 rows times 32 k times some columns. Tok/s are the plan's own,
of a build (--binary): what is said here and what paceline plan says cannot differ. Of
sampling.metal the counts are here, where their table is.
"""
import argparse
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
COSTS = (ROOT / "src/estimate/metal_costs.def").read_text()


def entries(macro):
    """[[name, value, ...]] of one macro's lines."""
    found = re.findall(rf"^{macro}\(([^)]*)\)", COSTS, re.MULTILINE)
    return [[word.strip() for word in entry.split(",")] for entry in found]


COUNT = {name: int(value) for name, value in entries("METAL_COUNT")}
TILE = {name.lower(): int(tile) for name, tile, _, _ in entries("METAL_FORMAT")}
BITS = {name.lower(): float(bits) for name, _, _, bits in entries("METAL_FORMAT")}
LOAD = {name.lower(): int(load) for name, _, load, _ in entries("METAL_FORMAT")}
STAGE = {name.lower(): int(stage) for name, stage in entries("METAL_KV")}
KV_BYTES = {"f16": 2, "bf16": 2, "q8_0": 34 / 32, "f8_e4m3": 1 + 4 / 128}
FRAGMENT, FEW = COUNT["FRAGMENT"], COUNT["FEW"]

# name in the tables: of paceline plan
MACHINES = {"M4": "m4-32", "M4 Pro": "m4-pro-64", "M4 Max": "m4-max-128"}
MODELS = {"Qwen2.5-1.5B Q4_K_M": "qwen2.5-1.5b", "Llama-3.1-8B Q4_K_M": "llama-3.1-8b"}
STREAMS = (1, 8, 16, 20, 24, 32)
# The M4 Pro: multiply-adds a second, lane instructions a second, bytes a second, as
# src/estimate/machine.c has them; tests/test_plan.py holds these three to it.
PRO = (3.15e12, 20 * 128 * 1.58e9, 232e9)


def plan(binary, model, machine, streams):
    """What paceline plan says of a step that has next to nothing to attend to."""
    done = subprocess.run([binary, "plan", model, "--machine", machine, "--parallel", str(streams),
                           "--depth", "1", "--json"], capture_output=True, text=True)
    if done.returncode not in (0, 3):
        sys.exit(f"{binary} plan: {done.stderr}")
    return json.loads(done.stdout)["step"]


def dispatches(columns):
    """Columns of each dispatch as executed: whole blocks of 64, then the rest, in eights or up to
    4."""
    most = COUNT["MOST_FRAGMENTS"] * FRAGMENT
    whole, rest = divmod(columns, most)
    if rest > FEW:
        rest = (rest + FRAGMENT - 1) // FRAGMENT * FRAGMENT
    return [most] * whole + ([rest] if rest else [])


def chunk(fmt, columns):
    """A chunk's multiply-adds by the matrix unit, and its other lane instructions, of 32 lanes
    each."""
    unpack = COUNT["ROW_TILES"] * TILE[fmt] + LOAD[fmt] + COUNT["LOOP"]
    if columns <= FEW:          # a lane a row
        loads = (columns + 1) // 2 * COUNT["FEW_LOAD"]
        return 0, 32 * (unpack + COUNT["ROW_LOAD"] + columns * 32 + loads)
    return 32 * 32 * columns, 32 * (unpack + columns // FRAGMENT * COUNT["COLUMN_LOAD"])


def chunk_s(fmt, columns):
    """Seconds of a chunk on all cores at once, by arithmetic."""
    macs, lanes = chunk(fmt, columns)
    return macs / PRO[0] + lanes / PRO[1]


def attention(kv_type, d_head, rows):
    """Nanoseconds of arithmetic of a part of positions, on all cores at once, and of reading its K
    and V."""
    mac_rate, lane_rate, byte_rate = PRO
    split = COUNT["ATTEND_SPLIT"]
    values = 2 * split * d_head
    padded = (rows + FRAGMENT - 1) // FRAGMENT * FRAGMENT
    lanes = values * STAGE[kv_type] + padded * (split * COUNT["ATTEND_SOFTEN"] +
                                                d_head * COUNT["ATTEND_MERGE"])
    compute = padded * values / mac_rate + lanes / lane_rate
    return compute * 1e9, values * KV_BYTES[kv_type] / byte_rate * 1e9


def table(head, rows):
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head),
            *("| " + " | ".join(row) + " |" for row in rows)]


def shares():
    counts = [FRAGMENT * nb for nb in range(1, COUNT["MOST_FRAGMENTS"] + 1)]
    share = {fmt: [100 * chunk(fmt, n)[0] / PRO[0] / chunk_s(fmt, n) for n in counts]
             for fmt in TILE}
    share["in the mean"] = [sum(of) / len(TILE) for of in zip(*share.values())]
    return table(["format, columns", *map(str, counts)],
                 [[name, *(f"{x:.0f} %" for x in of)] for name, of in share.items()])


def reads():
    """What a core reads a clock, in bytes, while products run at the modelled speed: packed weights
    from memory, activations from a cache, as often as there are tiles of 32 rows."""
    rows = []
    for fmt in ("f16", "q8_0", "q4_k"):
        for n in (8, 24, 64):
            clocks = chunk_s(fmt, n) * PRO[1] / 128     # of a core, were it alone with the chunk
            rows.append([fmt, str(n), f"{32 * 32 * BITS[fmt] / 8 / clocks:.1f}",
                         f"{n / FRAGMENT * COUNT['COLUMN_BYTES'] / clocks:.1f}"])
    return table(["format", "columns", "weights", "activations"], rows)


def executed():
    counts = (1, 4, 5, 8, 17, 20, 24, 30, 33, 64, 100)
    return table(["columns", *map(str, counts)],
                 [["this kernel", *(f"{sum(dispatches(n)) / n:.2f}" for n in counts)],
                  ["tiles of 32", *(f"{-(-n // 32) * 32 / n:.2f}" for n in counts)]])


def decode(binary):
    rows = []
    for model, preset in MODELS.items():
        for name, machine in MACHINES.items():
            steps = [plan(binary, preset, machine, n) for n in STREAMS]
            rows.append([model, name, *(f"{s['tok_s']:.0f}" for s in steps),
                         steps[STREAMS.index(20)]["bound"]])
    return table(["model", "machine", *map(str, STREAMS), "binds at 20"], rows)


def attended():
    rows = []
    for kv_type in STAGE:
        for n in (4, 8, 16):
            compute, read = attention(kv_type, 128, n)
            rows.append([kv_type, str(n), f"{compute:.0f}", f"{read:.0f}",
                         "arithmetic" if compute > read else "reads"])
    return table(["KV type", "rows that share the pages", "arithmetic", "KV reads", "binds"], rows)


# A row's pick is one threadgroup's, so one core's. Lane instructions of a logit: its place, its
# weight, each threshold it is held against; what a core reads of a row just written, in bytes a
# clock, and what a pass over the row's blocks costs beside, in seconds: barriers, sums over lanes.
# Both assumed.
PLACE, WEIGHT, RUNG, CORE_BYTES, PASS, N_VOCAB = 8, 12, 6, 32, 3e-6, 152064
# name: thresholds that a block is held against when the whole row is measured (0: it is not),
# passes of the search, rows that they look at together, candidates sorted; whether all is weighed
# to draw in order of tokens. Of rows of normal logits with a tail of 200: between 0 and 6 passes.
PICKS = {
    "largest": (0, 0, 0, 0, False), "temperature alone": (0, 0, 0, 0, True),
    "top-k 40, top-p 0.9": (3, 2, 1.2, 40, False), "top-p, 512 left": (3, 4, 1.2, 512, False),
}


def pick(name, clock, width):
    """Seconds of a row's pick on one core: arithmetic or reads, whichever binds each pass, and
    passes."""
    rungs, passes, searched, n_sorted, is_weighed = PICKS[name]
    work = [(1 / 256, 4)]                           # the largest of the blocks
    if rungs:
        work += [(1, PLACE + WEIGHT + rungs * RUNG), (0.1, PLACE)]
        work += [(searched / passes, PLACE + WEIGHT + 8 * RUNG)] * passes
    if is_weighed:
        work += [(1, PLACE + WEIGHT), (1 / 256, 32)]
    bound = sum(share * N_VOCAB * max(lanes / width, 4 / CORE_BYTES) for share, lanes in work)
    return (bound + n_sorted * n_sorted * 5 / width) / clock + (len(work) + 1) * PASS


def picks():
    return table(["pick", "us"], [[name, f"{pick(name, 1.58e9, 128) * 1e6:.0f}"] for name in PICKS])


def page_with(page, tables):
    for name, lines in tables.items():
        page, n = re.subn(rf"(<!-- roofline: {name} -->\n).*?(<!-- end roofline -->)",
                          lambda m: m[1] + "\n".join(lines) + "\n" + m[2], page, flags=re.DOTALL)
        if n != 1:
            sys.exit(f"{name}: {n} places for it in the page")
    return page


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--binary", default=ROOT / "build/release/paceline")
    p.add_argument("--page", default=ROOT / "docs/metal.md", type=pathlib.Path)
    p.add_argument("--write", action="store_true")
    p.add_argument("--check", action="store_true")
    args = p.parse_args()
    tables = {"shares": shares(), "reads": reads(), "columns": executed(),
              "decode": decode(args.binary),
              "attention": attended(), "picks": picks()}
    old = args.page.read_text()
    if args.write:
        args.page.write_text(page_with(old, tables))
    elif args.check:
        sys.exit(0 if page_with(old, tables) == old
                 else f"{args.page}: other tables; --write puts these in")
    else:
        print("\n\n".join("\n".join([name, *lines]) for name, lines in tables.items()))


if __name__ == "__main__":
    main()
