"""paceline plan: what it says is what pl_open takes, and what it prints can be read by programs."""

import json
import subprocess

import pytest


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
    parts = [got["memory"][k] for k in ("weights_bytes", "kv_bytes", "scratch_bytes", "other_bytes")]
    assert sum(parts) == pytest.approx(got["memory"]["total_bytes"], abs=1)
    # the modelled KV size, which every other row of the tables uses, is the exact one
    row, = [r for r in got["kv_types"] if (r["k"], r["v"]) == ("q8_0", "q8_0")]
    both = planned(plan(model, "--parallel", 3, "--ctx-size", 512, "-ctk", "q8_0", "-ctv", "q8_0",
                        "--json"))
    assert row["kv_gib"] * 2**30 == pytest.approx(both["memory"]["kv_bytes"])


@pytest.mark.parametrize("kv", ["f16", "bf16", "q8_0", "f8_e4m3"])
@pytest.mark.parametrize("model", ["smollm2-135m", "gemma3-270m"])
def test_modelled_kv_bytes_are_the_exact_ones(plan, fetch_model, model, kv):
    words = [fetch_model(model), "--parallel", 2, "--ctx-size", 256, "-ctk", kv, "-ctv", kv, "--json"]
    exact, modelled = planned(plan(*words)), planned(plan(*words, "--machine", "m4-pro-64"))
    assert exact["memory"]["source"] == "exact" and modelled["memory"]["source"] == "modelled"
    for key in ("kv_bytes", "kv_bytes_per_token"):
        assert modelled["memory"][key] == exact["memory"][key]
    assert modelled["memory"]["total_bytes"] == pytest.approx(exact["memory"]["total_bytes"], rel=0.1)


def test_the_32b_on_an_m4_pro(plan):
    got = planned(plan("qwen2.5-32b", "--machine", "m4-pro-64", "--parallel", 20, "--json"))
    assert got["step"]["bound"] == "arithmetic" and 90 < got["step"]["tok_s"] < 100
    assert got["model"]["file_bytes"] == pytest.approx(19.85e9, rel=0.003)
    assert got["memory"]["fits"]


def test_what_reaches_200_on_an_m4_pro(plan):
    for model, least in (("qwen2.5-14b", 200), ("qwen3-30b-a3b", 200)):
        got = planned(plan(model, "--machine", "m4-pro-48", "--json"))
        assert got["step"]["tok_s"] > least, model


def test_a_plan_that_does_not_fit_lists_those_that_do(plan):
    done = plan("qwen2.5-32b", "--machine", "m4-pro-24", "--json")
    got = planned(done)
    assert done.returncode == 3 and not got["memory"]["fits"] and not got["alternatives"]
    done = plan("qwen2.5-7b", "--machine", "m4-16", "--parallel", 40, "--json")
    got = planned(done)
    assert done.returncode == 3 and got["memory"]["headroom_bytes"] < 0
    changes = {a["change"].split()[0] for a in got["alternatives"]}
    assert changes >= {"--parallel", "--ctx-size", "--cache-type-k"}
    for other in got["alternatives"]:
        assert other["fits"] and other["total_gib"] * 2**30 <= got["memory"]["usable_bytes"]
        words = ["qwen2.5-7b", "--machine", "m4-16", "--parallel", 40, *other["change"].split()]
        assert plan(*words).returncode == 0, other["change"]
    assert "GiB are missing" in plan("qwen2.5-7b", "--machine", "m4-16", "--parallel", 40).stdout


def test_tables(plan):
    got = planned(plan("llama-3.1-8b", "--machine", "m4-max-128", "--json", "--derate",
                       "0:1,10:0.9,30:0.8", "--price", "m4-max-128=4000"))
    assert [r["streams"] for r in got["streams"]][:5] == [1, 5, 10, 20, 30]
    assert got["streams"][-1]["note"] == "the most that fit"
    speeds = [r["tok_s"] for r in got["streams"]]
    assert speeds == sorted(speeds)
    assert [r["ctx_tokens"] for r in got["contexts"]] == [2048, 4096, 8192, 16384, 32768]
    assert [r["quantisation"] for r in got["quantisations"]] == [
        "Q4_0", "Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0", "F16"]
    assert got["heat"][2]["tok_s"] == pytest.approx(0.8 * got["step"]["tok_s"])
    mine, = [r for r in got["machines"] if r["machine"] == "m4-max-128"]
    assert mine["tok_s"] == pytest.approx(got["step"]["tok_s"])
    assert mine["price_per_tok_s"] == pytest.approx(4000 / mine["tok_s"])


def test_explain_puts_the_numbers_in(plan):
    text = plan("qwen2.5-32b", "--machine", "m4-pro-64", "--explain").stdout
    assert "KV a token = layers x KV heads x (bytes of a key + of a value) = 64 x 8 x 512 = 262144" \
        in text
    assert "modelled" in text and "How each figure comes about" in text
    assert "\033" not in text


@pytest.mark.parametrize("words,piece", [
    ([], "plan needs"),
    (["qwen2.5-33b"], "a GGUF file or a preset"),
    (["/nowhere/x.gguf"], "/nowhere/x.gguf"),
    (["qwen2.5-7b", "--machine", "m4-pro-65"], "--machine"),
    (["qwen2.5-7b", "--machine", "m4-pro-64", "--measure"], "--measure"),
    (["qwen2.5-7b", "--machine", "m4-pro-64", "--quant", "Q4"], "Q4_K_M"),
    (["qwen2.5-7b", "--machine", "m4-pro-64", "-ctk", "q4_0"], "f8_e4m3"),
    (["qwen2.5-7b", "--machine", "m4-pro-64", "--ctx-size", "65536"], "32768"),
    (["qwen2.5-7b", "--machine", "m4-pro-64", "--derate", "1"], "MINUTES:SHARE"),
    (["qwen2.5-7b", "--machine", "m4-pro-64", "--price", "x=1"], "MACHINE=AMOUNT"),
    (["qwen2.5-7b", "--machine", "m4-pro-64", "--depth", "9999"], "--depth"),
])
def test_wrong_command_lines(plan, words, piece):
    done = plan(*words)
    assert done.returncode in (1, 2) and piece in done.stderr and len(done.stderr.splitlines()) == 1


def test_the_page_holds_all_it_needs(plan, tmp_path):
    page = tmp_path / "plan.html"
    assert plan("qwen2.5-7b", "--machine", "m4-pro-64", "--html", page).returncode == 0
    text = page.read_text()
    assert "src=" not in text and "href=" not in text and "@import" not in text
    data = text.split('id="report">')[1].split("</script>")[0]
    report = json.loads(data)
    assert report["title"].startswith("qwen2.5-7b Q4_K_M") and len(report["sections"]) >= 6
    assert any(s.get("plots") for s in report["sections"])
