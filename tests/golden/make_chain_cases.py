"""Samplers written down once more, plainly and in double: makes tests/unit/engine/chain_cases.h,
against which the engine's are held.

    tests/golden/make_chain_cases.py > tests/unit/engine/chain_cases.h

Logits are eighths, and a case whose token hangs on rounding is left out.
"""

import math
import random

N_VOCAB, N_SEEDS = 60, 12
DEFAULTS = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "typical_p": 1.0,
            "repetition_penalty": 1.0, "frequency_penalty": 0.0, "presence_penalty": 0.0,
            "penalty_last_n": 64, "dry_multiplier": 0.0, "dry_base": 1.75, "dry_allowed_length": 2,
            "dry_last_n": -1, "top_n_sigma": 0.0, "xtc_probability": 0.0, "xtc_threshold": 0.125,
            "dynatemp_range": 0.0, "dynatemp_exponent": 1.0, "mirostat": 0, "mirostat_tau": 5.0,
            "mirostat_eta": 0.125, "min_keep": 0}
ORDER = "penalties dry top_n_sigma top_k typ_p top_p min_p xtc temperature".split()
BREAKERS = ["\n", ":", '"', "*"]


class OnTheBorder(Exception):
    """Rounding would decide."""


def sure(a, b):
    """Whether a >= b."""
    if abs(a - b) < 1e-6 * max(1, abs(a), abs(b)):
        raise OnTheBorder
    return a >= b


# ---- numbers by their place: Philox 4x32-10 -----------------------------------------------------

def units(seed, place):
    k0, k1 = seed & 0xffffffff, seed >> 32
    x = [place & 0xffffffff, place >> 32, 0, 0]
    for _ in range(10):
        a, b = 0xd2511f53 * x[0], 0xcd9e8d57 * x[2]
        x = [(b >> 32) ^ x[1] ^ k0, b & 0xffffffff, (a >> 32) ^ x[3] ^ k1, a & 0xffffffff]
        k0, k1 = (k0 + 0x9e3779b9) & 0xffffffff, (k1 + 0xbb67ae85) & 0xffffffff
    return ((x[1] << 32 | x[0]) >> 11) / 2 ** 53, ((x[3] << 32 | x[2]) >> 11) / 2 ** 53


# ---- the vocabulary -----------------------------------------------------------------------------

def text_of(token):
    """A few that are or hold breakers, and pieces of one of two tokens."""
    return {0: "\n", 1: " so:", 2: "*", 3: '"', 4: "en", 5: "d."}.get(token, chr(60 + token))


# ---- samplers: lists of (logit, token), best first ----------------------------------------------

def by_logit(left):
    return sorted(left, key=lambda c: (-c[0], c[1]))


def probabilities(left):
    most = max(x for x, _ in left)
    weights = [math.exp(x - most) for x, _ in left]
    return [w / sum(weights) for w in weights]


def penalties(s, left, history):
    window = history[-s["penalty_last_n"]:]
    out = []
    for x, token in left:
        count = window.count(token)
        if count:
            r = s["repetition_penalty"]
            x = x / r if x > 0 else x * r
            x -= count * s["frequency_penalty"] + s["presence_penalty"]
        out.append((x, token))
    return by_logit(out)


def tokens_behind_a_breaker(history, breakers):
    """All of them if there is none."""
    for n in range(len(history)):
        behind = "".join(map(text_of, history[len(history) - n - 1:]))
        before = "".join(map(text_of, history[:len(history) - n - 1]))
        whole, end = before + behind, len(before) + len(text_of(history[-n - 1]))
        for breaker in breakers:
            if any(whole[at - len(breaker):at] == breaker for at in range(len(before) + 1, end + 1)
                   if at >= len(breaker)):
                return n
    return len(history)


def dry(s, left, history):
    if s["dry_last_n"] >= 0:
        history = history[max(0, len(history) - s["dry_last_n"]):]
    if len(history) <= s["dry_allowed_length"]:
        return left
    most = tokens_behind_a_breaker(history, s["breakers"])
    longest = {}
    for at in range(1, len(history)):       # the repetition would go on with history[at]
        n = 0
        while n < at and history[at - 1 - n] == history[-1 - n]:
            n += 1
        n = min(n, most)
        if n >= s["dry_allowed_length"]:
            longest[history[at]] = max(n, longest.get(history[at], 0))
    out = []
    for x, token in left:
        if token in longest and not any(b in text_of(token) for b in s["breakers"]):
            x -= s["dry_multiplier"] * s["dry_base"] ** (longest[token] - s["dry_allowed_length"])
        out.append((x, token))
    return by_logit(out)


def top_n_sigma(s, left, _):
    if s["top_n_sigma"] <= 0:
        return left
    mean = sum(x for x, _ in left) / len(left)
    deviation = math.sqrt(sum((x - mean) ** 2 for x, _ in left) / len(left))
    return [c for c in left if c[0] == left[0][0]
            or sure(c[0], left[0][0] - s["top_n_sigma"] * deviation)]


def top_k(s, left, _):
    return left[:s["top_k"]] if s["top_k"] else left


def keep_mass(left, p, mass, min_keep):
    total, n = 0, 0
    while n < len(left) and (n < max(min_keep, 1) or not sure(total, mass)):
        total += p[n]
        n += 1
    return left[:n]


def typ_p(s, left, _):
    if s["typical_p"] >= 1:
        return left
    p = probabilities(left)
    entropy = -sum(q * math.log(q) for q in p)
    rows = sorted(zip(left, p), key=lambda r: (abs(-math.log(r[1]) - entropy), r[0][1]))
    for a, b in zip(rows, rows[1:]):
        if a[0][0] != b[0][0]:
            sure(abs(-math.log(a[1]) - entropy), abs(-math.log(b[1]) - entropy))
    return by_logit(keep_mass([r[0] for r in rows], [r[1] for r in rows], s["typical_p"],
                              s["min_keep"]))


def top_p(s, left, _):
    if s["top_p"] >= 1:
        return left
    return keep_mass(left, probabilities(left), s["top_p"], s["min_keep"])


def min_p(s, left, _):
    if s["min_p"] <= 0:
        return left
    p = probabilities(left)
    n = sum(sure(q, s["min_p"] * p[0]) for q in p)
    return left[:max(n, s["min_keep"])]


def xtc(s, left, _):
    if s["xtc_probability"] <= 0 or s["xtc_threshold"] > .5 or s["unit"] >= s["xtc_probability"]:
        return left
    n = sum(sure(q, s["xtc_threshold"]) for q in probabilities(left))
    if n < 2 or len(left) - (n - 1) < s["min_keep"]:
        return left
    return left[n - 1:]


def temperature(s, left, _):
    t = s["temperature"]
    if s["dynatemp_range"] > 0 and len(left) > 1:
        p = probabilities(left)
        part = -sum(q * math.log(q) for q in p) / math.log(len(left))
        least, most = max(0, t - s["dynatemp_range"]), t + s["dynatemp_range"]
        t = least + (most - least) * part ** s["dynatemp_exponent"]
    return [(x / t, token) for x, token in left] if t else left[:1]


def draw(left, unit):
    total = 0
    for (_, token), q in zip(left, probabilities(left)):
        total += q
        if not sure(unit, total):
            return token, q
    raise OnTheBorder


def mirostat(s, left, unit, mu):
    p = probabilities(left)
    if s["mirostat"] == 1:
        t = [math.log((i + 2) / (i + 1)) for i in range(min(len(p), 100) - 1)]
        b = [math.log(p[i] / p[i + 1]) for i in range(len(t))]
        exponent = sum(x * y for x, y in zip(t, b)) / sum(x * x for x in t)
        epsilon = exponent - 1
        k = (epsilon * 2 ** mu / (1 - N_VOCAB ** -epsilon)) ** (1 / exponent)
        sure(k, round(k))
        left = left[:max(1, int(k))]
    else:
        left = left[:max(1, sum(sure(q, 2 ** -mu) for q in p))]
    token, q = draw(left, unit)
    return token, mu - s["mirostat_eta"] * (-math.log2(q) - s["mirostat_tau"])


def pick(s, logits, history, seed, mu):
    unit, second = units(seed, len(history))
    s = {**s, "unit": second}
    left = by_logit((x, token) for token, x in enumerate(logits))
    if s["mirostat"]:
        return mirostat(s, temperature({**s, "dynatemp_range": 0}, left, history), unit, mu)
    for name in s["order"]:
        left = globals()[name](s, left, history)
    return draw(left, unit)[0], mu


# ---- cases --------------------------------------------------------------------------------------

SETTINGS = [
    {"top_n_sigma": 1.0}, {"top_n_sigma": 0.5, "temperature": 1.5},
    {"top_n_sigma": 2.0, "top_k": 7, "min_p": 0.03},
    {"xtc_probability": 1.0}, {"xtc_probability": 0.5, "xtc_threshold": 0.04},
    {"xtc_probability": 1.0, "xtc_threshold": 0.07, "min_keep": 58},
    {"xtc_probability": 1.0, "xtc_threshold": 0.07, "temperature": 0.0},
    {"dynatemp_range": 0.5}, {"dynatemp_range": 2.0, "dynatemp_exponent": 2.0, "temperature": 0.7},
    {"dynatemp_range": 0.9, "temperature": 0.9, "top_p": 0.8},
    {"min_keep": 5, "top_p": 0.1}, {"min_keep": 4, "min_p": 0.9}, {"min_keep": 6, "typical_p": .1},
    {"min_keep": 3, "typical_p": 0.4, "top_p": 0.6, "min_p": 0.2},
    {"order": ["temperature", "top_p"], "temperature": 2.0, "top_p": 0.7},
    {"order": ["temperature", "min_p", "top_k"], "temperature": 0.4, "min_p": 0.1, "top_k": 9},
    {"order": ["top_p", "top_k"], "temperature": 0.0, "top_p": 0.9, "top_k": 6, "min_p": 0.5},
    {"order": ["temperature", "penalties", "dry"], "temperature": 3.0, "repetition_penalty": 1.5,
     "frequency_penalty": 0.25, "presence_penalty": 0.5, "dry_multiplier": 0.8},
    {"order": ["top_k", "penalties", "xtc"], "top_k": 12, "presence_penalty": 2.0,
     "penalty_last_n": 20, "xtc_probability": 0.7, "xtc_threshold": 0.06},
    {"order": ["min_p", "typ_p", "temperature"], "min_p": 0.02, "typical_p": 0.6,
     "temperature": 0.8},
    {"order": ["xtc", "top_k"], "xtc_probability": 1.0, "xtc_threshold": 0.05, "top_k": 3},
    {"dry_multiplier": 0.8}, {"dry_multiplier": 3.0, "dry_allowed_length": 1},
    {"dry_multiplier": 2.0, "dry_base": 1.25, "dry_allowed_length": 3, "dry_last_n": 30},
    {"dry_multiplier": 1.5, "dry_allowed_length": 0}, {"dry_multiplier": 4.0, "breakers": []},
    {"dry_multiplier": 4.0, "breakers": ["end.", "\n"], "repetition_penalty": 1.25},
    {"dry_multiplier": 2.0, "presence_penalty": 0.5, "top_k": 20, "temperature": 0.8},
    {"dry_multiplier": 0.5, "top_n_sigma": 1.5, "top_k": 30, "typical_p": 0.9, "top_p": 0.95,
     "min_p": 0.01, "xtc_probability": 0.5, "xtc_threshold": 0.06, "dynatemp_range": 0.3,
     "repetition_penalty": 1.1, "min_keep": 2},
    {"mirostat": 1, "mirostat_tau": 3.0}, {"mirostat": 1, "temperature": 1.4, "mirostat_eta": 0.5},
    {"mirostat": 2, "mirostat_tau": 3.0}, {"mirostat": 2, "temperature": 0.7, "mirostat_eta": 0.5},
    {"mirostat": 2, "mirostat_tau": 0.5, "top_k": 3, "presence_penalty": 2.0},
]


def repetitive(rng):
    """A history of phrases that come again, some of them behind breakers."""
    phrase = [rng.randrange(6, 40) for _ in range(9)]
    kinds = [phrase, phrase[:5], phrase[2:], [rng.randrange(N_VOCAB) for _ in range(4)], [0], [1],
             [4, 5], [4], phrase[:3] * 2]
    history = [token for _ in range(14) for token in rng.choice(kinds)]
    return history + phrase[:rng.randrange(1, 8)]


def case_of(given, rng):
    """[(token, mu)] of N_SEEDS seeds, mu going on from one to the next."""
    while True:
        s = {**DEFAULTS, "order": ORDER, "breakers": BREAKERS, **given}
        logits = [round(rng.gauss(0, 1.6) * 8) / 8 for _ in range(N_VOCAB)]
        history, seed = repetitive(rng), rng.randrange(2 ** 40)
        want, mu = [], 2 * s["mirostat_tau"]
        try:
            for i in range(N_SEEDS):
                token, mu = pick(s, logits, history, seed + i, mu)
                want.append((token, mu))
        except OnTheBorder:
            continue
        return logits, history, seed, want


def c_text(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def wrapped(words, indent):
    out, line = [], indent
    for word in words:
        if len(line) + len(word) + 2 > 100:
            out.append(line.rstrip())
            line = indent
        line += word + ", "
    return "\n".join([*out, line.rstrip()])


def c_case(given, case):
    logits, history, seed, want = case
    ours = {"typ_p": "typical"}
    fields = [f".{k} = {v}f" if isinstance(v, float) else f".{k} = {v}"
              for k, v in {**DEFAULTS, **given}.items() if v and k not in ("order", "breakers")]
    if "order" in given:
        names = ", ".join(f"PL_SAMPLER_{ours.get(n, n).upper()}" for n in given["order"])
        fields += [f".order = {{ {names} }}", f".n_order = {len(given['order'])}"]
    breakers = given.get("breakers", BREAKERS)
    mu = [] if not given.get("mirostat") else [
        "        .mu = {", wrapped([f"{mu:.9f}" for _, mu in want], " " * 12), "        },"]
    return "\n".join([
        "    {", "        .sampling = {", wrapped(fields, " " * 12), "        },",
        f"        .breaker = {{ {', '.join(map(c_text, breakers)) or 'NULL'} }},",
        f"        .n_breakers = {len(breakers)},", f"        .seed = {seed}u,",
        f"        .n_history = {len(history)},",
        "        .eighths = {", wrapped([str(round(x * 8)) for x in logits], " " * 12),
        "        },",
        "        .history = {", wrapped(map(str, history), " " * 12), "        },",
        "        .token = {", wrapped([str(token) for token, _ in want], " " * 12), "        },",
        *mu, "    },"])


def header():
    rng = random.Random(20261201)
    cases = "\n".join(c_case(given, case_of(given, rng)) for given in SETTINGS)
    return f"""/* Made by tests/golden/make_chain_cases.py, which says what is in it. */
#ifndef CHAIN_CASES_H
#define CHAIN_CASES_H

#include "paceline.h"

enum {{ CASE_VOCAB = {N_VOCAB}, CASE_SEEDS = {N_SEEDS} }};

static const struct chain_case {{
    pl_sampling sampling;
    const char *breaker[4];
    size_t n_breakers;
    uint64_t seed;              /* and those behind it */
    uint32_t n_history;
    int eighths[CASE_VOCAB];    /* logits */
    int32_t history[160];
    int32_t token[CASE_SEEDS];
    double mu[CASE_SEEDS];      /* after each; all 0: without mirostat */
}} chain_cases[] = {{
{cases}
}};

#endif
"""


if __name__ == "__main__":
    print(header(), end="")
