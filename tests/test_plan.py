"""paceline plan: what it says is what pl_open takes, and what it prints can be read by programs."""

import json
import os
import pathlib
import pty
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/golden"))

import make_plans  # noqa: E402
import tiny_models  # noqa: E402


@pytest.fixture
def plan(build_dir):
    def run(*words):
        return subprocess.run([build_dir / "paceline", "plan", *map(str, words)],
                              capture_output=True, timeout=120, text=True)
    return run


def planned(done):
    assert done.returncode in (0, 3), done.stderr
    return json.loads(done.stdout)


def test_a_file_on_this_machine_is_exact(plan, build_dir, fetch_model):
    model = fetch_model("smollm2-135m")
    got = planned(plan(model, "--parallel", 3, "--ctx-size", 512, "-ctk", "q8_0", "--json"))
    bench = subprocess.run([build_dir / "paceline", "bench", "--model", model, "--streams", "3",
                            "--gen-tokens", "4", "--prompt-tokens", "8", "-ctk", "q8_0", "--json"],
                           capture_output=True, timeout=120, check=True)
    machine = json.loads(bench.stdout)["machine"]
    assert got["memory"]["source"] == "exact"
    assert got["memory"]["kv_bytes_per_token"] == machine["kv_bytes_per_token"]
    assert got["model"]["macs_per_token"] == machine["macs_per_token"]
    parts = [got["memory"][k] for k
             in ("weights_bytes", "kv_bytes", "scratch_bytes", "other_bytes")]
    assert sum(parts) == pytest.approx(got["memory"]["total_bytes"], abs=1)
    # the modelled KV size, which every other row of the tables uses, is the exact one
    row, = [r for r in got["kv_types"] if (r["k"], r["v"]) == ("q8_0", "q8_0")]
    both = planned(plan(model, "--parallel", 3, "--ctx-size", 512, "-ctk", "q8_0", "-ctv", "q8_0",
                        "--json"))
    assert row["kv_gib"] * 2**30 == pytest.approx(both["memory"]["kv_bytes"])


@pytest.mark.parametrize("kv", ["f16", "bf16", "q8_0", "f8_e4m3"])
@pytest.mark.parametrize("model", ["smollm2-135m", "gemma3-270m"])
def test_modelled_kv_bytes_are_the_exact_ones(plan, fetch_model, model, kv):
    words = [fetch_model(model), "--parallel", 2, "--ctx-size", 256, "-ctk", kv, "-ctv", kv,
             "--json"]
    exact, modelled = planned(plan(*words)), planned(plan(*words, "--machine", "m4-pro-64"))
    assert exact["memory"]["source"] == "exact" and modelled["memory"]["source"] == "modelled"
    for key in ("kv_bytes", "kv_bytes_per_token"):
        assert modelled["memory"][key] == exact["memory"][key]
    assert modelled["memory"]["total_bytes"] == pytest.approx(exact["memory"]["total_bytes"],
                                                              rel=0.1)


def test_modelled_windows_are_the_exact_ones(plan, fetch_model):
    """Other contexts' rows are modelled, and of this one KV is as it would be taken."""
    words = [fetch_model("gemma3-270m"), "--parallel", 20, "--json", "--ctx-size"]
    got = planned(plan(*words, 8192))
    assert 0 < got["memory"]["window_kv_bytes"] < got["memory"]["kv_bytes"]
    for row in got["contexts"]:
        exact = planned(plan(*words, row["ctx_tokens"]))["memory"]
        assert row["kv_gib"] * 2**30 == pytest.approx(exact["kv_bytes"], rel=1e-6)


def test_a_hybrid_keeps_states_and_its_attention_layers(plan, tmp_path):
    """Modelled for other loads as it would be taken; of a state, floats, whatever the context."""
    t = tiny_models
    path = t.write(str(tmp_path / "model.gguf"), arch="qwen35")
    got = planned(plan(path, "--parallel", 3, "--json", "--ctx-size", 512))
    assert got["memory"]["kv_bytes_per_token"] == \
        (t.N_LAYERS - t.N_MIXERS) * t.N_KV_HEADS * t.D_HEAD * 2 * 2
    assert got["memory"]["state_bytes"] == pytest.approx((3 * 3 + 4) * t.STATE_BYTES, abs=8192)
    assert got["memory"]["kv_bytes"] == pytest.approx(
        got["memory"]["state_bytes"] + 3 * 512 * got["memory"]["kv_bytes_per_token"], abs=8192)
    for row in got["contexts"] + got["streams"][:5]:
        exact = planned(plan(path, "--parallel", row["streams"], "--json", "--ctx-size",
                             row["ctx_tokens"]))["memory"]
        assert row["kv_gib"] * 2**30 == pytest.approx(exact["kv_bytes"], rel=0.01)


@pytest.mark.parametrize("words", make_plans.PLANS + make_plans.MISFITS)
def test_what_is_printed_to_the_letter(build_dir, words):
    """tests/golden/make_plans.py makes the file anew."""
    golden = (ROOT / "tests/golden/plans.txt").read_text()
    start = golden.index(f"$ paceline plan {words}\n")
    end = golden.find("\n$ paceline plan ", start) + 1
    wanted = golden[start:end] if end else golden[start:]
    assert make_plans.printed(build_dir / "paceline", words).splitlines() == wanted.splitlines()


def test_the_32b_on_an_m4_pro(plan):
    got = planned(plan("qwen2.5-32b", "--machine", "m4-pro-64", "--parallel", 20, "--json"))
    assert got["step"]["bound"] == "arithmetic" and 60 < got["step"]["tok_s"] < 70
    assert got["step"]["columns_computed"] == 24
    assert got["model"]["file_bytes"] == pytest.approx(19.85e9, rel=0.003)
    assert got["memory"]["fits"]


def test_what_reaches_200_on_an_m4_pro(plan):
    for model, reaches in (("qwen2.5-14b", False), ("llama-3.1-8b", True), ("qwen3-30b-a3b", True)):
        got = planned(plan(model, "--machine", "m4-pro-48", "--json"))
        assert (got["step"]["tok_s"] > 200) == reaches, model


def test_headline_tables_and_alerts_are_one_figure(plan):
    """The backend's column rule is in all of them, and in docs/metal.md."""
    words = ["llama-3.1-8b", "--machine", "m4-pro-64"]
    got = planned(plan(*words, "--json"))
    tok_s = got["step"]["tok_s"]
    assert 260 < tok_s < 290            # 298 without attention
    assert planned(plan(*words, "--depth", 1, "--json"))["step"]["tok_s"] == pytest.approx(298,
                                                                                           abs=1)
    for rows, key, value in (("streams", "streams", 20), ("machines", "machine", "m4-pro-64"),
                             ("quantisations", "quantisation", "Q4_K_M")):
        row, = [r for r in got[rows] if r[key] == value]
        assert row["tok_s"] == pytest.approx(tok_s), rows
    assert got["kv_types"][0]["tok_s"] == pytest.approx(tok_s)
    assert f"{tok_s:.1f} tok/s in all" in plan(*words).stdout
    assert f"< {0.6 * tok_s:.6g}" in plan(*words, "--alerts").stdout
    eight = planned(plan(*words, "--parallel", 24, "--json"))["step"]
    assert eight["arithmetic_ms"] - got["step"]["arithmetic_ms"] == pytest.approx(
        0.2 * 6.2085, abs=0.01)         # four more columns cost their attention and nothing else


@pytest.mark.parametrize("machine,backend,available,default,words", [
    ("h200", "cuda", False, False, "CUDA backend runs on Hopper alone"),
    ("dgx-spark", "cuda", False, False, "CUDA backend runs on Hopper alone"),
    ("strix-halo-gpu", "rocm", False, False, "no backend for AMD's GPUs"),
    ("m5-max-128", "metal-tensors", True, False, "--backend metal-tensors"),
    ("m4-pro-64", "metal", True, True, "not yet run on a Mac"),
    ("epyc-9755", "cpu", True, True, None),
])
def test_what_a_backend_is_said_to_be(plan, machine, backend, available, default, words):
    done = plan("qwen2.5-7b", "--machine", machine)
    head, = [line for line in done.stdout.splitlines() if "tok/s in all" in line]
    assert "(modelled" in head and (words is None or words in head)
    got = planned(plan("qwen2.5-7b", "--machine", machine, "--json"))
    row, = [r for r in got["machines"] if r["machine"] == machine]
    for part in (got["machine"], row):
        assert (part["backend"], part["backend_available"], part["backend_default"]) == (
            backend, available, default)
    text, = [line for line in done.stdout.splitlines()
             if line.startswith(f"  {machine} ") and ("yes" in line or "no" in line)]
    assert text.rstrip().endswith({False: f"{backend}: none", True: backend}[available]
                                  + ("" if default or not available else " *"))


def test_m5_says_what_its_default_backend_makes(plan):
    got = planned(plan("qwen2.5-32b", "--machine", "m5-max-128", "--json"))
    assert got["step"]["columns_computed"] == 32
    assert got["step"]["by_default"]["backend"] == "metal"
    assert got["step"]["by_default"]["tok_s"] < 0.6 * got["step"]["tok_s"]
    assert "chosen by itself there, metal" in plan("qwen2.5-32b", "--machine", "m5-max-128").stdout


ALTERNATIVES = [
    ("qwen2.5-32b", "m4-pro-24"), ("qwen2.5-32b", "rtx-4090"), ("qwen2.5-72b", "m4-16"),
    ("qwen3-235b-a22b", "m4-max-128"), ("gemma-3-27b", "m5-max-36"), ("llama-3.1-70b", "m4-pro-48"),
    ("qwen2.5-0.5b", "m4-16", "--memory", "0.3"), ("qwen2.5-7b", "m4-16", "--parallel", 40),
    ("llama-3.1-8b", "m4-16", "--ctx-size", 131072), ("qwen2.5-7b", "m4-16", "--quant", "F16"),
]


@pytest.mark.parametrize("model,machine,more", [(c[0], c[1], c[2:]) for c in ALTERNATIVES])
def test_a_plan_that_does_not_fit_lists_some_that_do(plan, model, machine, more):
    words = [model, "--machine", machine, *more]
    done = plan(*words, "--json")
    got = planned(done)
    assert done.returncode == 3 and got["memory"]["headroom_bytes"] < 0
    assert got["alternatives"]
    for other in got["alternatives"]:
        assert other["fits"] and other["total_gib"] * 2**30 <= got["memory"]["usable_bytes"]
        again = plan(*words, *other["change"].split())
        assert again.returncode == 0, other["change"] + again.stderr
    lines = plan(*words).stdout.split("do fit:")[1].splitlines()
    assert lines[1].split()[0] == "with" and got["alternatives"][0]["change"] in lines[2]


def test_the_shortest_context_is_tried_as_well(plan):
    """Where no one change helps, and one stream of half the context with small keys would fit and
    no more: down to the shortest context that is offered."""
    words = ["llama-2-7b", "--machine", "m4-16", "--quant", "Q4_0", "--json"]
    small = ["-ctk", "q8_0", "-ctv", "q8_0", "--parallel", 1, "--ctx-size"]
    memory = [planned(plan(*words, *small, n))["memory"] for n in (512, 1024)]
    between = sum(m["total_bytes"] for m in memory) / 2
    done = plan(*words, "--parallel", 40, "--ctx-size", 1024, "--memory", f"{between / 2**30:.4f}")
    assert done.returncode == 3
    assert any("-np 1 -c 512 " in a["change"] for a in planned(done)["alternatives"])


def test_a_mac_computes_states_on_its_cpu(plan):
    got = planned(plan("qwen3.6-35b-a3b", "--machine", "m4-pro-64", "--json"))
    assert got["memory"]["kv_bytes_per_token"] == 20480     # ten layers' of 40
    assert got["memory"]["state_bytes"] == 64 * 30 * 4 * (3 * 8192 + 32 * 128 * 128)
    mine, = [r for r in got["machines"] if r["machine"] == "m4-pro-64"]
    assert not mine["backend_available"] and "the CPU would compute" in mine["caveat"]
    assert plan("qwen3.6-35b-a3b", "--machine", "m4-pro-64", "--alerts").returncode == 2


def test_one_change_is_tried_first(plan):
    got = planned(plan("qwen2.5-7b", "--machine", "m4-16", "--parallel", 40, "--json"))
    changes = {a["change"].split()[0] for a in got["alternatives"]}
    assert changes >= {"--parallel", "--ctx-size", "--cache-type-k"}
    got = planned(plan("qwen2.5-32b", "--machine", "m4-16", "--json"))
    assert got["alternatives"][0]["change"] == "--model qwen2.5-7b"


def test_nothing_fits_next_to_no_memory(plan):
    done = plan("qwen2.5-7b", "--machine", "m4-16", "--memory", "0.1")
    assert done.returncode == 3 and "No model of the presets fits" in done.stdout


def test_files_have_alternatives(plan, fetch_model):
    model = fetch_model("gemma3-270m")
    for words in (["--parallel", 4000], ["--memory", "0.3"]):
        got = planned(plan(model, "--machine", "m4-16", *words, "--json"))
        assert got["alternatives"], words


def test_tables(plan):
    got = planned(plan("llama-3.1-8b", "--machine", "m4-max-128", "--json", "--derate",
                       "0:1,10:0.9,30:0.8", "--price", "m4-max-128=4000"))
    assert [r["streams"] for r in got["streams"]][:5] == [1, 5, 10, 20, 30]
    assert got["streams"][-1]["note"] == "the most that fit"
    speeds = [r["tok_s"] for r in got["streams"][:5]]
    assert speeds == sorted(speeds)
    assert [r["ctx_tokens"] for r in got["contexts"]] == [2048, 4096, 8192, 16384, 32768]
    assert [r["quantisation"] for r in got["quantisations"]] == [
        "Q4_0", "Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0", "F16"]
    assert got["heat"][2]["tok_s"] == pytest.approx(0.8 * got["step"]["tok_s"])
    mine, = [r for r in got["machines"] if r["machine"] == "m4-max-128"]
    assert mine["tok_s"] == pytest.approx(got["step"]["tok_s"])
    assert mine["price_per_tok_s"] == pytest.approx(4000 / mine["tok_s"])


def walk(value, path=()):
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(inner, (dict, list)):
            yield from walk(inner, (*path, key))
        else:
            yield (*path, key), inner


@pytest.mark.parametrize("words", [
    ["qwen3-30b-a3b", "--machine", "m4-pro-48", "-ctk", "q8_0", "-ctv", "f8_e4m3"],
    ["gemma-3-27b", "--machine", "h200"], ["smollm2-360m", "--limits", "500,40.5"],
])
def test_counts_and_bytes_are_integers(plan, words):
    got = planned(plan(*words, "--json"))
    n = 0
    for path, value in walk(got):
        name = str(path[-1])
        if name.endswith(("_bytes", "_tokens", "_per_token", "_per_stream")) or name in (
                "parameters", "streams", "ridge_streams", "columns_computed", "most_streams"):
            assert isinstance(value, int), (path, value)
            n += 1
    assert n > 20
    m = got["memory"]
    assert m["total_bytes"] == sum(m[k] for k in ("weights_bytes", "kv_bytes", "scratch_bytes",
                                                  "other_bytes"))
    assert m["headroom_bytes"] == m["usable_bytes"] - m["total_bytes"]


# ---- what --explain says -------------------------------------------------------------------------

UNITS = {"GMAC/s": 1e9, "MMAC": 1e6, "GMAC": 1e9, "GB/s": 1e9, "GB": 1e9, "GiB": 2**30, "G/s": 1e9,
         "G": 1e9, "ms": 1e-3, "us": 1e-6, "bytes": 1, "tokens": 1}


def worth(text, bare=1):
    """The value of "20 x 27.0 GMAC / 3150 GMAC/s": units are factors, x is times, ^ is a power.
    `bare`: what numbers count where there is no unit at all."""
    def number(m):
        return f"({m[1]} * {UNITS[m[2]]!r})" if m[2] else m[1]

    units = "|".join(map(re.escape, sorted(UNITS, key=len, reverse=True)))
    if not re.search(rf"\d\)? ({units})(?![\w/])", text):
        text = f"({text}) x {bare}"
    text = re.sub(r"\(([^()]*)\) us", r"((\1) x 1e-6)", text)
    text = re.sub(rf"(\d[\d.]*(?:e[-+]?\d+)?)(?: ({units})(?![\w/]))?", number, text)
    text = text.replace(" x ", " * ").replace("^", "**")
    assert re.fullmatch(r"[\d.e+\-*/() ,]+", text.replace("max", "")), text
    return eval(text, {"__builtins__": {}, "max": max})     # digits, operators and max alone


MODELS = ["qwen2.5-32b", "gemma-3-27b", "gemma-3-1b", "qwen3-30b-a3b", "qwen3-235b-a22b",
          "smollm2-135m", "qwen2.5-0.5b", "llama-2-7b"]
PLACES = [["--machine", "m4-pro-64"], ["--machine", "m5-max-128"], ["--machine", "h200"],
          ["--machine", "epyc-9654"], ["--limits", "997,67.8"],
          ["--machine", "rtx-4090", "--memory", "31", "--bandwidth", "1523", "--tflops", "125"],
          ["--machine", "m3-ultra-96", "--tflops", "9"]]


@pytest.mark.parametrize("place", PLACES, ids=lambda p: p[1])
@pytest.mark.parametrize("model", MODELS)
def test_explain_lines_give_what_they_show(plan, model, place):
    depth = 4096 if model.startswith("gemma") else 777
    words = [model, *place, "--ctx-size", 4096, "--depth", depth, "--explain"]
    if model == "qwen2.5-32b":
        words += ["--parallel", 13, "-ctk", "q8_0", "-ctv", "f8_e4m3"]
    text = plan(*words).stdout.split("How each figure comes about")[1]
    step = planned(plan(*words, "--json"))["step"]
    shown = {}
    for line in text.strip().splitlines():
        if " = " not in line:
            continue
        name, *_, numbers, result = line.strip().split(" = ")
        wanted = shown[name] = worth(result)
        found = worth(numbers, UNITS[result.split()[-1]] if " " in result else 1)
        assert found == pytest.approx(wanted, rel=1e-3, abs=2e-7), line
    assert shown["step"] * 1e3 == pytest.approx(step["step_ms"], abs=1e-3)
    assert shown["tok/s"] == pytest.approx(step["tok_s"], abs=0.01)
    assert shown["weight reads"] * 1e3 == pytest.approx(step["weights_ms"], abs=1e-3)
    assert shown["KV reads"] * 1e3 == pytest.approx(step["kv_ms"], abs=1e-3)
    parts = sum(v for k, v in shown.items() if k.startswith(("products", "experts", "attention")))
    assert parts * 1e3 == pytest.approx(step["arithmetic_ms"], rel=2e-3, abs=2e-3)
    assert ("context seen" in shown) == (model.startswith("gemma"))


def test_explain_puts_the_numbers_in(plan):
    text = plan("qwen2.5-32b", "--machine", "m4-pro-64", "--explain").stdout
    assert ("KV a token = layers x KV heads x (bytes of a key + of a value) = 64 x 8 x 512 = "
            "262144") in text
    assert "modelled" in text and "How each figure comes about" in text
    assert "\033" not in text


@pytest.mark.parametrize("words,piece", [
    ([], "plan needs"),
    (["qwen2.5-33b"], "a GGUF file or a preset"),
    (["qwen2.5-33b"], "did you mean qwen2.5-3"),
    (["30b-a3b"], "did you mean qwen3-30b-a3b?"),
    (["qwen2.5-7b", "--machine", "4090"], "did you mean rtx-4090?"),
    (["qwen2.5-7b", "--machine", "m5"], "did you mean m5-"),
    (["qwen2.5-7b", "--machine", "m4-pro-64", "--price", "m4pro64=1"], "did you mean m4-pro-64?"),
    (["qwen2.5-7b", "qwen2.5-3b"], "one model"),
    (["/nowhere/x.gguf"], "/nowhere/x.gguf"),
    (["qwen2.5-7b", "--machine", "m4-pro-65"], "--machine"),
    (["qwen2.5-7b", "--machine", "m4-pro-64", "--measure"], "--measure"),
    (["qwen2.5-7b", "--machine", "m4-pro-64", "--quant", "Q4"], "Q4_K_M"),
    (["qwen2.5-7b", "--machine", "m4-pro-64", "-ctk", "q4_0"], "f8_e4m3"),
    (["qwen2.5-7b", "--machine", "m4-pro-64", "--ctx-size", "65536"], "32768"),
    (["qwen2.5-7b", "--machine", "m4-pro-64", "--derate", "1"], "MINUTES:SHARE"),
    (["qwen2.5-7b", "--machine", "m4-pro-64", "--price", "x=1"], "MACHINE=AMOUNT"),
    (["qwen2.5-7b", "--machine", "m4-pro-64", "--price", "2000"], "MACHINE=AMOUNT"),
    (["qwen2.5-7b", "--machine", "m4-pro-64", "--depth", "9999"], "--depth"),
])
def test_wrong_command_lines(plan, words, piece):
    done = plan(*words)
    assert done.returncode in (1, 2) and piece in done.stderr and len(done.stderr.splitlines()) == 1


M4 = ["--machine", "m4-16"]
MANY = ",".join(["1:0.5"] * 16)


@pytest.mark.parametrize("words,code", [
    (["--limits", "997,67.8"], 0), (["--limits", "0,5"], 2), (["--limits", "5,0"],
                                                              2), (["--limits", "5"], 2),
    (["--limits", "5,6,"], 2), (["--limits", "5;6"], 2), (["--limits", "nan,5"],
                                                          2), (["--limits", "5,inf"], 2),
    (["--limits", "-5,5"], 2), (["--limits", ""], 2), (["--limits", "5,6", *M4], 2),
    ([*M4, "--price", "m4-16=0.5"], 0), ([*M4, "--price", "m4-16=0"],
                                         2), ([*M4, "--price", "m4-16=inf"], 2),
    ([*M4, "--price", "m4-16=nan"], 2), ([*M4, "--price", "m4-16=5x"],
                                         2), ([*M4, "--price", "m4-16="], 2),
    ([*M4, "--derate", "0:1"], 0), ([*M4, "--derate", "0:1,2.5:0.001"],
                                    0), ([*M4, "--derate", "0:1.001"], 2),
    ([*M4, "--derate", "0:0"], 2), ([*M4, "--derate", "-1:1"], 2), ([*M4, "--derate", "nan:1"], 2),
    ([*M4, "--derate", "inf:1"], 2), ([*M4, "--derate", "0:nan"], 2), ([*M4, "--derate", "0:1;"],
    2), ([*M4, "--derate", "0:1,"], 2), ([*M4, "--derate", ":1"], 2), ([*M4, "--derate", "0:"], 2),
    ([*M4, "--derate", MANY], 0), ([*M4, "--derate", MANY + ",1:1"], 2),
    ([*M4, "--ctx-size", "32768"], 0), ([*M4, "--ctx-size", "32769"], 2),
    ([*M4, "--ctx-size", "64", "--depth", "64"], 0), ([*M4, "--ctx-size", "64", "--depth", "65"],
                                                      2),
], ids=lambda x: " ".join(x)[:40] if isinstance(x, list) else None)
def test_where_what_is_taken_ends(plan, words, code):
    """Infinities and what is no number are none either, though strtod takes them."""
    done = plan("qwen2.5-0.5b", "--parallel", 1, "--memory", 100, *words)
    assert done.returncode == code and len(done.stderr.splitlines()) == bool(code), done.stderr
    assert bool(done.stdout) != bool(code)
    if code:
        assert next(w for w in reversed(words) if w.startswith("--") and w
                    != "--machine") in done.stderr


def test_json_ends_with_a_line(plan):
    assert plan("qwen2.5-7b", *M4, "--json").stdout.endswith("}\n")


def test_a_full_disk_is_told(plan):
    done = plan("qwen2.5-7b", *M4, "--html", "/dev/full")
    assert done.returncode == 1 and done.stderr == "paceline: /dev/full: No space left on device\n"


def test_the_page_holds_all_it_needs(plan, tmp_path):
    page = tmp_path / "plan.html"
    assert plan("qwen2.5-7b", "--machine", "m4-pro-64", "--html", page).returncode == 0
    text = page.read_text()
    assert "src=" not in text and "href=" not in text and "@import" not in text
    data = text.split('id="report">')[1].split("</script>")[0]
    report = json.loads(data)
    assert report["title"].startswith("qwen2.5-7b Q4_K_M") and len(report["sections"]) >= 6
    assert any(s.get("plots") for s in report["sections"])


# ---- a person's terminal -------------------------------------------------------------------------

def on_a_terminal(build_dir, *words, columns=80):
    main, sub = pty.openpty()
    subprocess.run(["stty", "cols", str(columns)], stdin=sub, check=True)
    environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "TERM")}
    with subprocess.Popen([build_dir / "paceline", "plan", *map(str, words)], stdout=sub, stdin=sub,
                          env=environment) as child:
        os.close(sub)
        out = b""
        try:
            while got := os.read(main, 65536):
                out += got
        except OSError:         # Linux: the other end is closed
            pass
        os.close(main)
        child.wait(timeout=60)
    return out.decode().replace("\r", "")


@pytest.mark.parametrize("words", [
    ["qwen3-30b-a3b", "--machine", "m4-pro-24", "--explain"],
    ["qwen2.5-32b", "--machine", "m4-pro-24", "--price", "m4-pro-24=1400", "--derate", "0:1,9:0.8"],
    ["--list"],
])
def test_lines_fit_a_terminal(build_dir, words):
    text = on_a_terminal(build_dir, *words)
    plain = re.sub("\033\\[[0-9;]*m", "", text)
    assert len(plain.splitlines()) > 40
    assert [line for line in plain.splitlines()[2:] if len(line) > 80] == []
    if words != ["--list"]:
        assert re.search("\033\\[31mno\033\\[0m", text)


def test_tables_stay_narrow_for_programs_too(plan):
    text = plan("qwen3-235b-a22b", "--machine", "m5-max-128", "--price", "m5-max-128=5000").stdout
    tables = [line for line in text.splitlines() if line.startswith("  ") and "  " in line[2:]]
    assert len(tables) > 60 and all(len(line) <= 80 for line in tables)
    assert "\033" not in text


def test_figures_given_here_are_told_as_such(plan):
    words = ["qwen3-30b-a3b", "--machine", "rtx-4090", "--memory", 31, "--bandwidth", 1523,
             "--tflops", 125]
    text, got = plan(*words).stdout, planned(plan(*words, "--json"))
    assert "of 24.0 GiB" not in text and "given with --memory" in text
    assert "with figures given here" in text
    assert got["machine"]["gmac_s"] == 62500 and got["machine"]["read_gb_s"] == 1523
    row, = [r for r in got["machines"] if r["machine"] == "as given"]
    assert row["tok_s"] == pytest.approx(got["step"]["tok_s"]) and row["usable_gib"] == 31
    own, = [r for r in got["machines"] if r["machine"] == "rtx-4090"]
    assert own["usable_gib"] == 23 and own["tok_s"] < row["tok_s"]


def test_presets_name_their_sources(plan):
    text = plan("--list").stdout
    for name in ("m4-pro-16c-24", "m4-max-36", "m3-ultra-96", "m3-ultra-512", "m5-16",
                 "m5-pro-16c-24",
                 "m5-max-48", "rtx-3090", "rtx-5090", "rtx-pro-6000", "dgx-spark", "strix-halo",
                 "epyc-9654", "epyc-9755", "xeon-6980p"):
        entry = text.split(f"  {name} ")[1].split("\n  ")[0] + text.split(f"  {name} ")[1][:900]
        assert re.search(r"(apple|nvidia|amd|ark\.intel)\.com", entry), name
    assert "16 GPU cores, 24 GB" in text and "Hopper" in text


# ---- measured now --------------------------------------------------------------------------------

def test_a_busy_machine_is_told_and_makes_no_alerts(plan, fetch_model):
    words = [fetch_model("smollm2-135m"), "--parallel", 2, "--ctx-size", 256]
    got = planned(plan(*words, "--json"))
    if got["machine"]["busy"]:
        assert re.search("load average|of two measurements", got["machine"]["busy"])
    else:
        assert os.getloadavg()[0] < (os.cpu_count() or 1) + 2
    refused, forced = plan(*words, "--alerts"), plan(*words, "--alerts", "--force")
    assert forced.returncode == 0 and "ThroughputDegraded" in forced.stdout
    if refused.returncode:
        assert "--limits" in refused.stderr and "--force" in refused.stderr and not refused.stdout
        assert "busy" in refused.stderr and len(refused.stderr.splitlines()) == 1
    given = plan(*words, "--alerts", "--limits", "997,67.8")
    assert given.returncode == 0 and "ThroughputDegraded" in given.stdout
    assert planned(plan(*words, "--limits", "997,67.8", "--json"))["machine"]["busy"] is None


def test_no_alerts_of_a_backend_that_is_not_there(plan):
    words = ["qwen2.5-7b", "--machine", "h200", "--alerts"]
    refused = plan(*words)
    assert refused.returncode and "on Hopper alone" in refused.stderr and not refused.stdout
    assert plan(*words, "--force").returncode == 0


# ---- the page of Apple's GPUs --------------------------------------------------------------------

def test_docs_have_what_the_plan_says(build_dir):
    done = subprocess.run([sys.executable, ROOT / "bench/metal/roofline.py", "--check", "--binary",
                           build_dir / "paceline"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_the_pages_rates_are_the_machines(plan):
    sys.path.insert(0, str(ROOT / "bench/metal"))
    import roofline
    machine = planned(plan("qwen2.5-7b", "--machine", roofline.MACHINES["M4 Pro"],
                           "--json"))["machine"]
    macs, _, reads = roofline.PRO
    assert (machine["gmac_s"] * 1e9, machine["read_gb_s"] * 1e9) == pytest.approx((macs, reads))
