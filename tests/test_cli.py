"""The commands as a shell sees them."""

import json
import os
import pathlib
import pty
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture
def paceline(build_dir):
    def run(*words, text=None, timeout=120):
        return subprocess.run([build_dir / "paceline", *map(str, words)], input=text,
                              capture_output=True, timeout=timeout)
    return run


@pytest.mark.parametrize("words,piece", [
    (["serve", "--ctx-sise", "5"], b"did you mean --ctx-size?"),
    (["serve", "--port", "x"], b"--port: found \"x\""),
    (["serve", "--port", "70000"], b"0 to 65535"),
    (["serve", "--model"], b"--model needs a value"),
    (["serve"], b"serve needs --model"),
    (["serve", "word"], b"unexpected word"),
    (["sreve"], b"unknown command"),
    (["score", "--model", "x"], b"score needs --tokens"),
    (["score", "--model", "x", "--tokens", "1,,2"], b"ids separated by commas"),
    (["bench", "--model", "x", "--streams", "0"], b"--streams"),
])
def test_wrong_command_lines(paceline, words, piece):
    done = paceline(*words)
    assert done.returncode == 2 and piece in done.stderr, done.stderr
    assert len(done.stderr.splitlines()) == 1 or b"usage" in done.stderr


def commands(paceline):
    lines = paceline("--help").stdout.decode().splitlines()
    return [line.split()[0] for line in lines if line.startswith("  ")]


def options(paceline, command):
    words = paceline(command, "--help").stdout.decode().split()
    return {word.strip(",") for word in words if word.startswith("--")}


def test_help(paceline):
    assert {"serve", "run", "bench", "score", "tokenize"} <= set(commands(paceline))
    for command in commands(paceline):
        done = paceline(command, "--help")
        assert done.returncode == 0, command
        assert done.stdout.startswith(b"usage: paceline " + command.encode())
        assert b"example" in done.stdout, f"{command} --help has no example"


def seen_on_a_terminal(argv, env):
    """All that a program writes to a terminal of its own."""
    ours, its = pty.openpty()
    process = subprocess.Popen([str(word) for word in argv], stdin=its, stdout=its,
                               stderr=subprocess.DEVNULL, env=env)
    os.close(its)
    seen = b""
    try:
        while part := os.read(ours, 65536):
            seen += part
    except OSError:             # Linux's way of saying that the other end was closed
        pass
    os.close(ours)
    process.wait(timeout=60)
    return seen


@pytest.mark.parametrize("words", [["plan", "qwen2.5-7b", "--machine", "m4-pro-48"], ["doctor"]],
                         ids=["plan", "doctor"])
def test_colours_are_for_terminals_whose_user_wants_them(build_dir, words):
    argv = [build_dir / "paceline", *words]
    env = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    env["TERM"] = "xterm-256color"
    assert b"\x1b[" in seen_on_a_terminal(argv, env)
    assert b"\x1b[" in seen_on_a_terminal(argv, env | {"NO_COLOR": ""})
    for no in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        seen = seen_on_a_terminal(argv, env | no)
        assert len(seen) > 100 and b"\x1b" not in seen, no
    piped = subprocess.run(argv, capture_output=True, timeout=60, env=env).stdout
    assert len(piped) > 100 and b"\x1b" not in piped


def test_manual_pages(paceline, tmp_path):
    """man(1) has nothing to complain about, and no option of --help is missing."""
    for command in commands(paceline):
        page = tmp_path / f"paceline-{command}.1"
        page.write_bytes(paceline("man", command).stdout)
        shown = subprocess.run(["man", "--warnings", "-l", page], capture_output=True, timeout=60,
                               env={"MANWIDTH": "500", "PATH": "/usr/bin:/bin", "LC_ALL": "C"})
        assert shown.returncode == 0 and not shown.stderr, shown.stderr
        for word in options(paceline, command):
            assert word.rstrip(".;:)").encode() in shown.stdout, (command, word)
    assert b"paceline-serve(1)" in subprocess.run(
        ["man", "-l", "-"], input=paceline("man").stdout, capture_output=True, timeout=60).stdout


def bash_completes(paceline, line):
    """What bash offers after `line`."""
    words = line.split(" ")
    script = paceline("completion", "bash").stdout.decode() + f"""
        COMP_WORDS=({" ".join(f"'{w}'" for w in words)}); COMP_CWORD={len(words) - 1}
        compopt() {{ :; }}
        _paceline; printf '%s\n' "${{COMPREPLY[@]}}" """
    return subprocess.run(["bash", "-c", script], capture_output=True, timeout=60,
                          check=True).stdout.decode().split()


def test_bash_completion(paceline, tmp_path):
    assert bash_completes(paceline, "paceline ser") == ["serve", "service"]
    assert "--parallel" in bash_completes(paceline, "paceline serve --p")
    assert "--parallel" not in bash_completes(paceline, "paceline score --p")
    (tmp_path / "model.gguf").touch()
    assert bash_completes(paceline, f"paceline serve --model {tmp_path}/mo") == [
        f"{tmp_path}/model.gguf"]
    assert bash_completes(paceline, "paceline serve --port ") == []


@pytest.mark.parametrize("shell,check", [("zsh", ["zsh", "-n"]), ("fish", ["fish", "--no-execute"])])
def test_other_completions(paceline, tmp_path, shell, check):
    script = paceline("completion", shell).stdout
    path = tmp_path / "_paceline"
    path.write_bytes(script)
    done = subprocess.run([*check, path], capture_output=True, timeout=60)
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert script.count(b"parallel") >= 1
    if shell == "fish":
        offered = subprocess.run(["fish", "-c", f"source {path}; complete -C 'paceline serve --pa'"],
                                 capture_output=True, timeout=60, check=True).stdout
        assert b"--parallel" in offered


def test_a_missing_or_bad_model_is_one_line(paceline, tmp_path):
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"not a model")
    for path in ("/nowhere/model.gguf", bad):
        done = paceline("run", "--model", path, "-p", "x")
        assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
        assert str(path).encode() in done.stderr


def test_tokenize(paceline, fetch_model):
    model = fetch_model("smollm2-135m")
    ids = json.loads(paceline("tokenize", "--model", model, "--json", text=b"a<|im_end|>").stdout)
    special = json.loads(paceline("tokenize", "--model", model, "--json", "--special",
                                  text=b"a<|im_end|>").stdout)
    assert special == [ids[0], 2] and len(ids) > 3
    assert json.loads(paceline("tokenize", "--model", model, "--json", text=b"\xff\x00").stdout)


def test_run(paceline, fetch_model):
    model = fetch_model("smollm2-135m")
    ask = ["run", "--model", model, "--temp", 0, "-n", 12]
    first = paceline(*ask, "-p", "What is two plus two?")
    assert first.returncode == 0 and first.stdout.strip() and b"prompt tokens" in first.stderr
    assert paceline(*ask, "-p", "What is two plus two?").stdout == first.stdout
    chat = paceline(*ask, text=b"What is two plus two?\nAnd three?\n")
    assert chat.stdout.startswith(first.stdout) and b"cached" in chat.stderr.splitlines()[1]
    raw = paceline(*ask, "--raw", "-p", "Once upon a")
    assert raw.returncode == 0 and raw.stdout.strip()


def score(paceline, model, *options):
    """Of each token of a text that ships with the project."""
    text = (ROOT / "docs/architecture.md").read_bytes()[:2000]
    ids = json.loads(paceline("tokenize", "--model", model, "--json", text=text).stdout)
    done = paceline("score", "--model", model, "--tokens", ",".join(map(str, ids)), "--json",
                    *options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["nll"]


@pytest.mark.parametrize("model", ["smollm2-135m", "qwen2.5-coder-0.5b"])   # without, with key bias
@pytest.mark.parametrize("kv", ["bf16", "q8_0", "f8_e4m3"])
def test_kv_types_stay_near_f16(paceline, fetch_model, model, kv):
    model = fetch_model(model)
    exact = score(paceline, model)
    near = score(paceline, model, "--cache-type-k", kv, "-ctv", kv)
    apart = sum(abs(a - b) for a, b in zip(near, exact)) / len(exact)
    assert 0 < apart < {"bf16": 0.12, "q8_0": 0.15, "f8_e4m3": 0.25}[kv], apart


def test_an_unknown_kv_type_is_named(paceline, fetch_model):
    done = paceline("score", "--model", fetch_model("smollm2-135m"), "--tokens", "1,2",
                    "--cache-type-v", "q4_0")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    for piece in (b"--cache-type-v", b'"q4_0"', b"f8_e4m3 is wanted"):
        assert piece in done.stderr


def test_bench_json(paceline, fetch_model):
    done = paceline("bench", "--model", fetch_model("smollm2-135m"), "--streams", "1,4",
                    "--prompt-tokens", 32, "--gen-tokens", 8, "--timing", "--json")
    result = json.loads(done.stdout)
    machine = result["machine"]
    assert [r["streams"] for r in result["rows"]] == [1, 4]
    for row in result["rows"]:
        assert row["decode_tok_s"] > 0 and row["prefill_tok_s"] > 0 and row["share_of_limit"] > 0
        macs = row["decode_tok_s"] * machine["macs_per_token"] / (machine["limit_gmac_s"] * 1e9)
        assert row["mac_share"] == pytest.approx(macs, rel=1e-3)
        read = (row["weights_gb_s"] + row["kv_gb_s"]) / machine["limit_read_gb_s"]
        assert row["read_share"] == pytest.approx(read, rel=1e-3)
        assert row["share_of_limit"] == pytest.approx(max(macs, read), rel=1e-3)
        times = row["operation_ms"]
        assert {"attend", "gate up", "output head"} <= set(times)
        assert 0.5 * row["step_ms"] < sum(times.values()) <= row["step_ms"] * 1.001
    assert machine["limit_gmac_s"] > 0 and machine["cpu"] and machine["kv_bytes_per_token"] > 0
