"""Aggregate tok/s against streams, as SVG that reads on light and on dark pages.

The file names the digest of the figures it was drawn from, so that a check needs no matplotlib."""
import hashlib
import json
import re

import rows as results
import tables
from cases import CASES, MODELS

# Middle tones: they read on white and on dark grey.
COLOURS = {"paceline": "#d9480f", "llama.cpp": "#2b7fd4", "ik_llama.cpp": "#2f9e5b"}
GREY = "#848d97"


def figures(rows, model):
    """{"engines": {engine: [[streams, tok/s]...]}, "limits": {...}}; None: fewer than two."""
    engines, ours = {}, []
    for case in CASES.values():
        if case.group != f"{model}-streams":
            continue
        found = tables.of_case(rows, case)
        ours += [r for r in found.get("paceline", []) if not r.get("missing")]
        for engine in COLOURS:
            value = tables.rate(found, engine, "decode")
            if value:
                engines.setdefault(engine, []).append([case.streams, round(value, 1)])
    if len(engines.get("paceline", [])) < 2:
        return None
    return {"engines": engines, "limits": limits(ours)}


def limits(ours):
    """tok/s that arithmetic allows; tok/s that reading allows, by streams."""
    gmac = results.median(ours, lambda r: r["limit"] and r["limit"]["gmac_s"])
    read = results.median(ours, lambda r: r["limit"] and r["limit"]["read_gb_s"])
    if not gmac or not read:
        return None
    by_streams = {r["load"]["streams"]: tables.token_costs(r) for r in ours}
    macs = next(iter(by_streams.values()))[0]
    return {"gmac_s": round(gmac), "read_gb_s": round(read, 1), "int8": round(gmac * 1e9 / macs, 1),
            "read": [[n, round(read * 1e9 / n_bytes, 1)]
                     for n, (_, n_bytes) in sorted(by_streams.items())]}


def digest(data):
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]


def path(page, model):
    return page.parent / "plots" / f"streams-{model}.svg"


def link(page, model, rows):
    """What a page shows of the plot."""
    if figures(rows, model) is None:
        return []
    file = path(page, model).relative_to(page.parent)
    return [f"![{MODELS[model][1]}: tok/s of all streams against their number]({file})"]


def is_current(page, model, rows):
    data, file = figures(rows, model), path(page, model)
    if data is None or not file.exists():
        return data is None and not file.exists()
    named = re.search(r"rows ([0-9a-f]{16})", file.read_text())
    return bool(named) and named[1] == digest(data)


def draw(file, model, data):
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams.update({
        "svg.hashsalt": "paceline", "svg.fonttype": "none", "font.family": "sans-serif",
        "font.size": 11, "text.color": GREY, "axes.labelcolor": GREY, "axes.edgecolor": GREY,
        "xtick.color": GREY, "ytick.color": GREY})
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7.2, 4.2))
    top = max(v for points in data["engines"].values() for _, v in points)
    if data["limits"]:
        top = max(top, data["limits"]["int8"])
        axes.axhline(data["limits"]["int8"], color=GREY, linestyle="--", linewidth=1.4,
                     label=f"int8 limit ({data['limits']['gmac_s']} GMAC/s)")
        axes.plot(*zip(*data["limits"]["read"]), color=GREY, linestyle=":", linewidth=1.6,
                  label=f"read limit ({data['limits']['read_gb_s']} GB/s)")
    for engine, points in data["engines"].items():
        axes.plot(*zip(*points), color=COLOURS[engine], marker="o", linewidth=2, label=engine)
    axes.set_title(f"{MODELS[model][1]}: all streams together")
    axes.set_xlabel("streams")
    axes.set_ylabel("tok/s")
    axes.set_xlim(0, None)
    axes.set_ylim(0, top * 1.12)
    axes.grid(color=GREY, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    file.parent.mkdir(exist_ok=True)
    figure.savefig(file, transparent=True, bbox_inches="tight",
                   metadata={"Date": None, "Description": f"rows {digest(data)}"})
    plt.close(figure)
