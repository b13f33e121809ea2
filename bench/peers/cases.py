"""The loads that engines are compared on, and how long each takes."""
import dataclasses

# key: (file in the models' folder, name in tables)
MODELS = {
    "1.5b": ("qwen2.5-coder-1.5b.gguf", "Qwen2.5-Coder-1.5B Q4_K_M"),
    "0.5b": ("qwen2.5-coder-0.5b.gguf", "Qwen2.5-Coder-0.5B Q4_K_M"),
    "135m": ("smollm2-135m.gguf", "SmolLM2-135M Q4_1"),
}


@dataclasses.dataclass(frozen=True)
class Case:
    """`streams` prompts of `prompt` tokens that share nothing, `gen` tokens generated of each."""
    name: str
    group: str                  # of a table; --case takes it too
    model: str
    streams: int
    prompt: int = 128
    gen: int = 64
    metric: str = "decode"      # what engines are compared by: "decode" or "prefill"
    try_all: bool = False       # every setting of an engine in the first round, then the best
    processes: bool = False     # also one process of llama.cpp a stream


def _all():
    for model in MODELS:
        for n in (1, 5, 10, 20, 30):
            yield Case(f"{model}-{n}", f"{model}-streams", model, n, try_all=n == 20)
    for model in ("1.5b", "0.5b"):
        yield Case(f"{model}-prefill-20x128", "prefill", model, 20, gen=2, metric="prefill",
                   try_all=True)
        yield Case(f"{model}-prefill-1x2048", "prefill", model, 1, prompt=2048, gen=2,
                   metric="prefill", try_all=True)
    for model in ("0.5b", "1.5b"):
        yield Case(f"{model}-context-1024", "context", model, 20, prompt=1024)
    yield Case("0.5b-processes", "processes", "0.5b", 20, processes=True)


CASES = {c.name: c for c in _all()}

# Prefill tok/s and decode tok/s at 1 and at 20 streams on two cores of Zen 5, to tell how long a
# case will take. Nothing is compared with them.
_RATES = {
    ("1.5b", "paceline"): (520, 67, 430), ("1.5b", "llama.cpp"): (180, 38, 95),
    ("1.5b", "ik_llama.cpp"): (200, 51, 97),
    ("0.5b", "paceline"): (1200, 110, 800), ("0.5b", "llama.cpp"): (345, 61, 165),
    ("0.5b", "ik_llama.cpp"): (743, 126, 277),
    ("135m", "paceline"): (3500, 300, 2200), ("135m", "llama.cpp"): (514, 185, 362),
    ("135m", "ik_llama.cpp"): (2488, 300, 330),
}
_LOAD_S, _PROCESSES_S = 3, 75


def seconds(case, engine, n_settings, rounds):
    """About how long an engine takes for all rounds of a case, `n_settings` in the first."""
    if engine.endswith("processes"):
        return _PROCESSES_S * (n_settings + rounds - 1)
    prefill, one, twenty = _RATES[case.model, engine]
    decode = one + (twenty - one) * min(case.streams - 1, 19) / 19
    once = _LOAD_S + case.streams * (case.prompt / prefill + case.gen / decode)
    return once * (n_settings + rounds - 1)
