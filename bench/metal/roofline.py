#!/usr/bin/env python3
"""What the Metal kernels can reach at most, from their instructions and bytes: modelled.

    bench/metal/roofline.py            # the tables of docs/metal.md

Counts are of src/backend/metal/{common,products}.metal, a simdgroup's work on one chunk: 32 rows times
32 k times some columns; of attention.metal and sampling.metal where their tables are. Rates of the chips are
those of paceline plan (src/plan/machine.c), with the clock and width of their ALUs beside them.
"""

# Lane instructions of unpacking two weights (get) and of reading a chunk's words and scales (load).
GET = {"f16": 0, "q8_0": 11, "q4_0": 9, "q4_1": 9, "q5_0": 12, "q5_1": 12, "q4_k": 9, "q5_k": 12,
       "q6_k": 13, "iq4_nl": 10, "iq4_xs": 10}
LOAD = {"f16": 14, "q8_0": 16, "q4_0": 14, "q4_1": 14, "q5_0": 17, "q5_1": 17, "q4_k": 38, "q5_k": 41,
        "q6_k": 42, "iq4_nl": 14, "iq4_xs": 22}
BITS = {"f16": 16, "q8_0": 8.5, "q4_0": 4.5, "q4_1": 5, "q5_0": 5.5, "q5_1": 6, "q4_k": 4.625,
        "q5_k": 5.625, "q6_k": 6.5625, "iq4_nl": 4.5, "iq4_xs": 4.3125}
FEW = 4             # columns that do without the matrix unit
ROW_LOAD = 8        # what reading a row's words from four lanes' places costs more
COLUMN_LOAD = 3     # of a fragment of 8 x 8 activations, by simdgroup_load
LOOP = 8            # of a chunk: counting, addresses

# name: multiply-adds a second of the matrix unit, lane instructions a second, bytes a second, all
# usable; seconds a layer that are neither.
MACHINES = {
    "M4": (1.55e12, 10 * 128 * 1.58e9, 101e9, 40e-6),
    "M4 Pro": (3.15e12, 20 * 128 * 1.58e9, 232e9, 40e-6),
    "M4 Max": (6.2e12, 40 * 128 * 1.58e9, 464e9, 40e-6),
}
# name: layers, {format: weights a token multiplies}
MODELS = {
    "Qwen2.5-1.5B Q4_K_M": (28, {"q4_k": 1.112e9, "q6_k": 0.432e9}),
    "Llama-3.1-8B Q4_K_M": (32, {"q4_k": 5.64e9, "q6_k": 1.86e9}),
}


def dispatches(columns):
    """Columns of each dispatch as executed: whole blocks of 64, then the rest, in eights or up to 4."""
    whole, rest = divmod(columns, 64)
    if rest > FEW:
        rest = (rest + 7) // 8 * 8
    return [64] * whole + ([rest] if rest else [])


def chunk(fmt, columns):
    """A chunk's multiply-adds by the matrix unit, and its other lane instructions, of 32 lanes each."""
    if columns <= FEW:      # a lane a row: sixteen pairs, a load of eight values a fragment and column
        return 0, 32 * (16 * GET[fmt] + ROW_LOAD + LOAD[fmt] + columns * (32 + 8) + LOOP)
    nb = columns // 8
    return 32 * 32 * columns, 32 * (16 * GET[fmt] + LOAD[fmt] + 4 * nb * COLUMN_LOAD + LOOP)


def seconds(weights, machine, columns):
    """Arithmetic and reads of products of {format: weights} times columns."""
    mac_rate, lane_rate, byte_rate, _ = machine
    compute = read = 0
    for fmt, n in weights.items():
        for executed in dispatches(columns):
            macs, lanes = chunk(fmt, executed)
            compute += n / 1024 * (macs / mac_rate + lanes / lane_rate)
            read += n * BITS[fmt] / 8 / byte_rate
    return compute, read


# Attention of one split of 128 positions, an item of one KV head: lane instructions of staging a value of
# K or V, of softening a score, of merging a value of O; bytes of a value as it is stored.
SPLIT, STAGE, SOFTEN, MERGE = 128, {"f16": 8, "q8_0": 12, "f8_e4m3": 16}, 10, 4
KV_BYTES = {"f16": 2, "q8_0": 34 / 32, "f8_e4m3": 1 + 4 / 128}


def attention(kv_type, d_head, rows, machine):
    """Nanoseconds of arithmetic of a split, on all cores at once, and of reading its K and V."""
    mac_rate, lane_rate, byte_rate, _ = machine
    values = 2 * SPLIT * d_head
    padded = (rows + 7) // 8 * 8
    lanes = values * STAGE[kv_type] + padded * (SPLIT * SOFTEN + d_head * MERGE)
    compute = padded * values / mac_rate + lanes / lane_rate
    return compute * 1e9, values * KV_BYTES[kv_type] / byte_rate * 1e9


def print_attention():
    print("\nAttention of 128 positions of one KV head of 128 dimensions on an M4 Pro, ns\n")
    print("| KV type | rows that share the pages | arithmetic | KV reads | binds |\n|---|---|---|---|---|")
    for kv_type in STAGE:
        for rows in (4, 8, 16):
            compute, read = attention(kv_type, 128, rows, MACHINES["M4 Pro"])
            print(f"| {kv_type} | {rows} | {compute:.0f} | {read:.0f} |",
                  "arithmetic |" if compute > read else "reads |")


# A row's pick is one threadgroup's, so one core's. Lane instructions of a logit: its place, its weight, each
# threshold it is held against; what a core reads of a row just written, in bytes a clock, and what a pass
# over the row's blocks costs beside, in seconds: barriers, sums over lanes. Both assumed.
PLACE, WEIGHT, RUNG, CORE_BYTES, PASS, N_VOCAB = 8, 12, 6, 32, 3e-6, 152064
# name: thresholds that a block is held against when the whole row is measured (0: it is not), passes of the
# search, rows that they look at together, candidates sorted; whether all is weighed to draw in order of
# tokens. Of rows of normal logits with a tail of 200: between 0 and 6 passes.
PICKS = {
    "largest": (0, 0, 0, 0, False), "temperature alone": (0, 0, 0, 0, True),
    "top-k 40, top-p 0.9": (3, 2, 1.2, 40, False), "top-p, 512 left": (3, 4, 1.2, 512, False),
}


def pick(name, clock, width):
    """Seconds of a row's pick on one core: arithmetic or reads, whichever binds each pass, and passes."""
    rungs, passes, searched, n_sorted, is_weighed = PICKS[name]
    work = [(1 / 256, 4)]                           # the largest of the blocks
    if rungs:
        work += [(1, PLACE + WEIGHT + rungs * RUNG), (0.1, PLACE)]
        work += [(searched / passes, PLACE + WEIGHT + 8 * RUNG)] * passes
    if is_weighed:
        work += [(1, PLACE + WEIGHT), (1 / 256, 32)]
    bound = sum(share * N_VOCAB * max(lanes / width, 4 / CORE_BYTES) for share, lanes in work)
    return (bound + n_sorted * n_sorted * 5 / width) / clock + (len(work) + 1) * PASS


def print_picks():
    print(f"\nPicking a token of {N_VOCAB} on one core of an M4 Pro, us; up to 20 rows take no longer\n")
    print("| pick | time |\n|---|---|")
    for name in PICKS:
        print(f"| {name} | {pick(name, 1.58e9, 128) * 1e6:.0f} |")


def main():
    print("Share of the matrix unit's rate that the kernel can reach at most (M4 Pro), full fragments\n")
    print("| format, columns |", " | ".join(f"{8 * nb}" for nb in range(1, 9)), "|")
    print("|---|" + "---|" * 8)
    machine = MACHINES["M4 Pro"]
    for fmt in GET:
        shares = []
        for nb in range(1, 9):
            macs, lanes = chunk(fmt, 8 * nb)
            alone = macs / machine[0]
            shares.append(f"{alone / (alone + lanes / machine[1]):.0%}".replace("%", " %"))
        print(f"| {fmt} |", " | ".join(shares), "|")
    print("\nExecuted multiply-adds over useful ones\n")
    counts = (1, 4, 5, 8, 17, 20, 24, 30, 33, 64, 100)
    print("| columns |", " | ".join(map(str, counts)), "|\n|---|" + "---|" * len(counts))
    print("| this kernel |", " | ".join(f"{sum(dispatches(n)) / n:.2f}" for n in counts), "|")
    print("| tiles of 32 |", " | ".join(f"{-(-n // 32) * 32 / n:.2f}" for n in counts), "|")
    print("\nDecode, tok/s in all, products and the plan's time a layer alone (no attention)\n")
    print("| model | machine | 1 | 8 | 16 | 20 | 24 | 32 | binds at 20 |\n|---|---|" + "---|" * 7)
    for model, (layers, weights) in MODELS.items():
        for name, machine in MACHINES.items():
            cells = []
            for n in (1, 8, 16, 20, 24, 32):
                compute, read = seconds(weights, machine, n)
                cells.append(f"{n / (max(compute, read) + layers * machine[3]):.0f}")
            compute, read = seconds(weights, machine, 20)
            print(f"| {model} | {name} |", " | ".join(cells),
                  "| arithmetic |" if compute > read else "| reads |")
    print_attention()
    print_picks()


if __name__ == "__main__":
    main()
