"""Markdown tables out of rows, by name. Each is a list of lines."""
import rows as results
from cases import CASES, MODELS

PEERS = ("llama.cpp", "ik_llama.cpp", "llama.cpp processes")
NOTHING = ["Not measured yet."]


def table(head, lines):
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head),
            *("| " + " | ".join(line) + " |" for line in lines)]


def number(value, digits=1):
    return "–" if value is None else f"{value:.{digits}f}"


def percent(value):
    return "–" if value is None else f"{100 * value:.0f} %"


def ratio(a, b):
    return "–" if not a or not b else f"{a / b:.2f}"


# ---- rows of one case ----------------------------------------------------------------------------

def of_case(rows, case):
    """{engine: rows of its best setting} of the last session that measured paceline there."""
    rows = [r for r in rows if r["kind"] == "peer" and r["case"] == case.name]
    ours = [r for r in rows if r["engine"] == "paceline"]
    if not ours:
        return {}
    session = max(ours, key=lambda r: r["time"])["session"]
    rows = [r for r in rows if r["session"] == session]
    return {e: results.best_setting([r for r in rows if r["engine"] == e], case.metric)
            for e in dict.fromkeys(r["engine"] for r in rows)}


def rate(found, engine, metric):
    return results.median(found.get(engine, []), lambda r: r[f"{metric}_tok_s"])


def cell(found, engine, metric):
    if engine not in found:
        return "–"
    value = rate(found, engine, metric)
    return number(value) if value else "no result: " + found[engine][-1].get("missing", "?")


def better_peer(found, metric):
    return max((rate(found, e, metric) or 0 for e in PEERS[:2]), default=0)


def token_costs(row):
    """Multiply-adds of a token; bytes that a decode step reads for a token: its share of the
    weights, and its KV with half of the reply written."""
    load, token = row["load"], row["token"]
    context = load["prompt_tokens"] + load["gen_tokens"] / 2
    return token["macs"], token["step_weight_bytes"] / load["streams"] + context * token["kv_bytes"]


def int8_limit(found):
    """The most that was measured beside any run of the case: a disturbed measurement is too low."""
    return max((r["limit"]["gmac_s"] for rows in found.values() for r in rows if r["limit"]),
               default=0)


def share(row, which, found):
    """Of the int8 or the read limit, by paceline in this run; None: limits unknown. Reads are held
    against the rate of their own minute, which swings by itself."""
    if not row["limit"] or not row["decode_tok_s"]:
        return None
    macs, n_bytes = token_costs(row)
    cost, limit = ((macs, int8_limit(found)) if which == "int8" else
                   (n_bytes, row["limit"]["read_gb_s"]))
    return row["decode_tok_s"] * cost / (limit * 1e9)


# ---- tables --------------------------------------------------------------------------------------

def streams(rows, model):
    lines = []
    for case in CASES.values():
        if case.group != f"{model}-streams":
            continue
        found = of_case(rows, case)
        if not found:
            continue
        ours = rate(found, "paceline", "decode")
        lines.append([str(case.streams),
                      *(cell(found, e, "decode") for e in ("paceline", *PEERS[:2])),
                      ratio(ours, rate(found, "llama.cpp", "decode")),
                      ratio(ours, better_peer(found, "decode")),
                      *(percent(results.median(found["paceline"], lambda r: share(r, which, found)))
                        for which in ("int8", "read"))])
    head = ["streams", "paceline, tok/s", "llama.cpp", "ik_llama.cpp", "× llama.cpp",
            "× the better peer", "of the int8 limit", "of the read rate"]
    return table(head, lines) if lines else NOTHING


def loads(rows):
    lines = []
    for case in CASES.values():
        if case.group.endswith("-streams"):
            continue
        found = of_case(rows, case)
        if not found:
            continue
        what = (f"prefill of {case.streams} x {case.prompt}" if case.metric == "prefill" else
                f"{case.streams} streams, prompt {case.prompt}, generated {case.gen}")
        ours = rate(found, "paceline", case.metric)
        lines.append([f"{MODELS[case.model][1]}: {what}",
                      *(cell(found, e, case.metric) for e in ("paceline", *PEERS)),
                      ratio(ours, rate(found, "llama.cpp", case.metric)),
                      ratio(ours, better_peer(found, case.metric))])
    head = ["load", "paceline, tok/s", "llama.cpp", "ik_llama.cpp",
            "llama.cpp, a process a stream", "× llama.cpp", "× the better peer"]
    return table(head, lines) if lines else NOTHING


def limit_range(rows, key, unit):
    values = sorted(r["limit"][key] for r in rows if r["limit"])
    return f"{values[0]:.0f} to {values[-1]:.0f} {unit}" if values else f"no {unit} measured"


def label(engine, version):
    return version if engine in version else f"{engine} ({version})"


def conditions(rows):
    used = [r for case in CASES.values() for some in of_case(rows, case).values() for r in some]
    if not used:
        return NOTHING
    lines = []
    for session in dict.fromkeys(r["session"] for r in used):
        mine = [r for r in used if r["session"] == session]
        engines = {e: next(r for r in mine if r["engine"] == e)
                   for e in dict.fromkeys(r["engine"] for r in mine)}
        options = {e: dict.fromkeys(r["options"] or "defaults" for r in mine if r["engine"] == e)
                   for e in engines}
        machine = mine[0]["machine"]
        lines.append([session, f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}",
                      f"{limit_range(mine, 'gmac_s', 'GMAC/s')}, "
                      f"{limit_range(mine, 'read_gb_s', 'GB/s')}",
                      "; ".join(f"{label(e, r['engine_version'])}: " +
                                " or ".join(f"`{o}`" for o in options[e])
                                for e, r in engines.items())])
    return table(["session", "machine", "limits beside the runs", "engines and their options"],
                 lines)


SERVE = (("tok_s", "throughput, tok/s", 0), ("ttft_p50_s", "time to first token p50, s", 2),
         ("ttft_p95_s", "time to first token p95, s", 2),
         ("itl_p50_ms", "inter-token latency p50, ms", 0),
         ("itl_p99_ms", "inter-token latency p99, ms", 0))


def alike_rounds(rows, ours, theirs):
    """The rows of both engines from the rounds in which both found the same machine."""
    rounds = {}
    for row in rows:
        rounds.setdefault(row["round"], {})[row["engine"]] = row
    pairs = [r for r in rounds.values()
             if ours in r and theirs in r and results.alike(r[ours], r[theirs])]
    return [r[ours] for r in pairs], [r[theirs] for r in pairs]


def serve(rows):
    """Of the last session, its rounds in which both found the same machine; figures of other rounds
    are not put beside each other."""
    rows = [r for r in rows if r["kind"] == "serve"]
    if not rows:
        return NOTHING
    session = max(rows, key=lambda r: r["time"])["session"]
    rows = [r for r in rows if r["session"] == session]
    ours, theirs = alike_rounds(rows, "paceline", "llama-server")
    if not ours:
        alone = [r for r in rows if r["engine"] == "paceline"]
        return table(["", "paceline", "llama-server"],
                     [[name, number(results.median(alone, lambda r: r[key]), digits),
                       "no run on a machine known to be alike"] for key, name, digits in SERVE])
    lines = []
    for key, name, digits in SERVE:
        a, b = (results.median(some, lambda r: r[key]) for some in (ours, theirs))
        lines.append([name, number(a, digits), number(b, digits), ratio(a, b)])
    return table(["", "paceline", "llama-server", "paceline / llama-server"], lines)


def kv_cell(row, base):
    """Of one model and pair; base: the same model's row of f16."""
    if not row:
        return "–"
    if row.get("refused"):
        return f"refused: {row['refused']}"
    needles = f"{row['needles_found']}/{row['needles']}"
    if not base or base is row or base["text_sha256"] != row["text_sha256"]:
        return f"{row['mean_nll']:.4f}, {needles}"
    return f"{row['mean_nll'] - base['mean_nll']:+.4f}, {needles}"


def kv_quality(rows):
    """The last row of each model and pair of types: a line a pair, a column a model."""
    last = {(r["k"], r["v"], r["model"]): r for r in rows if r["kind"] == "kv_quality"}
    models = list(dict.fromkeys(model for _, _, model in last))
    lines = [[k, v, *(kv_cell(last.get((k, v, m)), last.get(("f16", "f16", m))) for m in models)]
             for k, v in dict.fromkeys((k, v) for k, v, _ in last)]
    return table(["K", "V", *models], lines) if lines else NOTHING


def tables(rows):
    """{name: lines} of all tables that a page may ask for."""
    return {**{f"peers-{m}": streams(rows, m) for m in MODELS}, "peers-loads": loads(rows),
            "conditions": conditions(rows), "serve": serve(rows), "kv-quality": kv_quality(rows)}
