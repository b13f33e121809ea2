"""The commands as a shell sees them."""

import json
import os
import pathlib
import pty
import re
import subprocess

import pytest

import tiny_models

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
    (["serve", "/nowhere/a.gguf", "word"], b"unexpected word \"word\""),
    (["serve", "--model", "a.gguf", "word"], b"--model names the model"),
    (["tokenize"], b"tokenize needs --model"),
    (["sreve"], b"unknown command"),
    (["score", "--model", "x"], b"score needs --tokens"),
    (["score", "--model", "x", "--tokens", "1,,2"], b"ids separated by commas"),
    (["bench", "--model", "x", "--streams", "0"], b"--streams"),
])
def test_wrong_command_lines(paceline, words, piece):
    done = paceline(*words)
    assert done.returncode == 2 and piece in done.stderr, done.stderr
    assert len(done.stderr.splitlines()) == 1 or b"usage" in done.stderr


def test_the_version(paceline):
    text = (ROOT / "include/paceline.h").read_text()
    version = re.search(r'#define PL_VERSION "(.*)"', text)[1].encode()
    for word in ("version", "--version"):
        done = paceline(word)
        assert done.returncode == 0 and done.stdout == b"paceline " + version + b"\n"
        assert not done.stderr
    assert paceline().returncode == 2 and not paceline().stdout
    built = paceline("--version", "--build-info")
    lines = dict(line.split(maxsplit=1) for line in built.stdout.decode().splitlines())
    assert built.returncode == 0 and lines["paceline"] == version.decode()
    assert lines["kernels"].startswith("scalar") and lines["backends"].startswith("cpu, exact")
    assert re.search(r"^jansson [\d.]+, libmicrohttpd [\d.]+, curl [\d.]+, GnuTLS [\d.]+$",
                     lines["libraries"])
    assert lines["compiler"] and lines["source"]
    assert paceline("version", "--build-infos").returncode == 2
    assert paceline("--help").stdout == paceline("help").stdout == paceline("-h").stdout


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


def test_help_of_a_command(paceline):
    for command in commands(paceline):
        assert paceline("help", command).stdout == paceline(command, "--help").stdout
    for words in (["help", "sreve"], ["help", "serve", "run"]):
        done = paceline(*words)
        assert done.returncode == 2 and words[-1].encode() in done.stderr and not done.stdout


def test_every_page_is_installed(paceline, build_dir, tmp_path):
    """And its title is in capitals, all of it."""
    subprocess.run([ROOT / "scripts/install_pages.sh", build_dir / "paceline", tmp_path],
                   check=True)
    pages = {p.name: p for p in (tmp_path / "share/man/man1").iterdir()}
    assert set(pages) == {"paceline.1"} | {f"paceline-{c}.1" for c in commands(paceline)}
    for name, page in pages.items():
        title = page.read_text().splitlines()[0].split()[1].replace("\\-", "-")
        assert title == name.removesuffix(".1").upper()


def test_switches_are_shown_with_their_opposite(paceline):
    assert {"--no-metrics", "--no-prefix-cache", "--no-slots"} <= options(paceline, "serve")
    assert "--no-metrics" in bash_completes(paceline, "paceline serve --no-m")


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


VALUES = [
    ("plan --machine m4-pro-6", ["m4-pro-64"]), ("plan llama-3.1-8",
                                                 ["llama-3.1-8b"]), ("plan --quant Q8", ["Q8_0"]),
    ("serve --backend c", ["cpu", "cuda"]), ("serve -ctk q", ["q8_0"]), ("bench --cache-type-v f8",
                                                                 ["f8_e4m3"]),
    ("service un", ["uninstall"]), ("completion z", ["zsh"]), ("man self",
                                                               ["self-test"]), ("help servi",
                                                                                ["service"]),
    ("load --endpoint ch", ["chat"]), ("serve --metrics-compat v", ["vllm"]), ("serve --port 1",
                                                                               []),
]


@pytest.mark.parametrize("line,wanted", VALUES, ids=[line for line, _ in VALUES])
@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_values_are_offered(paceline, tmp_path, shell, line, wanted):
    if shell == "bash":
        assert bash_completes(paceline, f"paceline {line}") == wanted
    else:
        assert fish_completes(paceline, tmp_path, line) == wanted


def fish_completes(paceline, tmp_path, line, env=None):
    path = tmp_path / "paceline.fish"
    path.write_bytes(paceline("completion", "fish").stdout)
    shown = subprocess.run(["fish", "-N", "-c", f"source {path}; complete -C 'paceline {line}'"],
                           capture_output=True,
                           timeout=300, check=True, cwd=tmp_path, text=True, env=env).stdout
    return [row.split("\t")[0] for row in shown.splitlines()]


@pytest.fixture
def pulled(build_dir, tmp_path):
    """An environment where one model was pulled, and the program is in the path."""
    file = tmp_path / "cache/paceline/models/owner/Tiny-GGUF/tiny-q4_k_m.gguf"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"GGUF")
    return {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"),
            "PATH": f"{build_dir}:{os.environ['PATH']}"}


@pytest.mark.parametrize("line",
                         ["serve own", "run --model own", "rm own", "service install own", "up own",
                                  "plan own", "bench -m own"])
def test_pulled_models_are_offered(paceline, pulled, tmp_path, line):
    words = f"paceline {line}".split()
    script = paceline("completion", "bash").stdout.decode() + f"""
        COMP_WORDS=({" ".join(words)}); COMP_CWORD={len(words) - 1}; compopt() {{ :; }}
        _paceline; printf '%s\n' "${{COMPREPLY[@]}}" """
    offered = subprocess.run(["bash", "-c", script], capture_output=True, timeout=300, env=pulled,
                             text=True, cwd=tmp_path).stdout.split()
    assert offered == ["owner/Tiny-GGUF:Q4_K_M"]
    assert fish_completes(paceline, tmp_path, line, pulled) == offered


def test_a_name_is_completed_behind_its_colon(paceline, pulled, tmp_path):
    """Of what bash takes for three words."""
    line = "paceline serve owner/Tiny-GGUF:Q"
    script = paceline("completion", "bash").stdout.decode() + f"""
        COMP_WORDS=(paceline serve owner/Tiny-GGUF : Q); COMP_CWORD=4
        COMP_LINE='{line}'; COMP_POINT={len(line)}
        compopt() {{ :; }}; _paceline; printf '%s\n' "${{COMPREPLY[@]}}" """
    assert subprocess.run(["bash", "-c", script], capture_output=True, timeout=300, env=pulled,
                          text=True, cwd=tmp_path).stdout.split() == ["Q4_K_M"]


def test_zsh_offers_values(paceline):
    script = paceline("completion", "zsh").stdout.decode()
    assert ":NAME:( auto cpu exact cuda metal metal-tensors)" in script
    assert "install start stop" in script
    assert script.count("paceline completion models") > 10
    # {-m,--model}'[help]:FILE:...'
    options = re.findall(r"^ {12}(.*\[.*)$", script, re.MULTILINE)
    assert len(options) > 100
    assert [o for o in options if not re.match(r"(\{-[\w,-]+\}'|-[\w-]+'|'--help)\[", o)] == []


@pytest.mark.parametrize("shell,check",
                         [("zsh", ["zsh", "-n"]), ("fish", ["fish", "--no-execute"])])
def test_other_completions(paceline, tmp_path, shell, check):
    script = paceline("completion", shell).stdout
    path = tmp_path / "_paceline"
    path.write_bytes(script)
    done = subprocess.run([*check, path], capture_output=True, timeout=60)
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert script.count(b"parallel") >= 1
    if shell == "fish":
        offered = subprocess.run(["fish", "-c",
                                  f"source {path}; complete -C 'paceline serve --pa'"],
                                 capture_output=True, timeout=60, check=True).stdout
        assert b"--parallel" in offered


def test_a_missing_or_bad_model_is_one_line(paceline, tmp_path):
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"not a model")
    for path in ("/nowhere/model.gguf", bad):
        done = paceline("run", "--model", path, "-p", "x")
        assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
        assert str(path).encode() in done.stderr


@pytest.mark.parametrize("words",
                         [["serve"], ["run", "-p", "x"], ["bench"], ["score", "--tokens", "1,2"],
                                   ["tokenize"], ["doctor"], ["up"], ["plan"]],
                         ids=lambda words: words[0])
def test_the_model_may_be_a_word(paceline, words):
    """Before or after the options; the same is said of a file that is not there."""
    name = "/nowhere/model.gguf"
    said = [paceline(words[0], name, *words[1:]), paceline(*words, name)]
    if words[0] != "plan":
        said.append(paceline(words[0], "--model", name, *words[1:]))
    assert all(b"/nowhere/model.gguf" in done.stdout + done.stderr for done in said)
    assert len({done.returncode for done in said}) == 1 and said[0].returncode
    assert b"unexpected word" not in said[0].stderr


def test_doctor_says_who_could_reach_a_server(paceline):
    for host, is_open in (("127.0.0.1", False), ("::1", False), ("0.0.0.0", True), ("[::]", True)):
        found = {f["name"]: f for f
                 in json.loads(paceline("doctor", "--json", "--host", host, "--port",
                                                           1).stdout)["findings"]}
        assert ("reach"
                in found) == is_open and "no IPv4 address" not in found["port"]["text"], host
    assert b"is no IPv4 address" in paceline("doctor", "--host", "192.0.2.1").stdout


def test_doctor_asks_for_the_port_that_serve_takes(paceline):
    text = {f["name"]: f["text"] for f
            in json.loads(paceline("doctor", "--json").stdout)["findings"]}["port"]
    assert text.startswith("127.0.0.1:8080")


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


def test_run_with_a_template_of_a_file(paceline, fetch_model, tmp_path):
    """The whole prompt is what the file makes of it; where the context ends is said."""
    (tmp_path / "t.jinja").write_text("{{ messages[-1].content }} one two three")
    ask = ["run", fetch_model("smollm2-135m"), "--temp", 0, "-n", 4, "-p", "zero", "-c", 32]
    plain = paceline(*ask).stderr
    done = paceline(*ask, "--chat-template-file", tmp_path / "t.jinja")
    tokens = [int(re.search(rb"\[(\d+) prompt tokens", text)[1]) for text in (plain, done.stderr)]
    assert done.returncode == 0 and tokens[1] == 4 < tokens[0]
    done = paceline(*ask, "--chat-template-file", "/nowhere.jinja")
    assert done.returncode == 1
    assert done.stderr == b"paceline: /nowhere.jinja: No such file or directory\n"


def score(paceline, model, *options):
    """Of each token of a text that ships with the project."""
    text = (ROOT / "docs/architecture.md").read_bytes()[:2000]
    ids = json.loads(paceline("tokenize", "--model", model, "--json", text=text).stdout)
    done = paceline("score", "--model", model, "--tokens", ",".join(map(str, ids)), "--json",
                    *options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["nll"]


def test_score_says_the_mean(paceline, fetch_model):
    ask = ["score", "--model", fetch_model("smollm2-135m"), "--tokens", "504,3575,6,28,1"]
    got = json.loads(paceline(*ask, "--json").stdout)
    assert len(got["nll"]) == 4 and min(got["nll"]) > 0
    assert abs(got["mean_nll"] - sum(got["nll"]) / 4) < 2e-6
    table = paceline(*ask).stdout.splitlines()
    assert table[0] == b"mean nll %.4f over 4 tokens" % got["mean_nll"]
    assert table[1].split() == [b"%d" % got["top"][0][0], b"%.4f" % got["top"][0][1]]
    one = json.loads(paceline(*ask[:-1], "504", "--json").stdout)
    assert one["mean_nll"] is None and one["nll"] == []


def test_score_after_every_token(paceline, fetch_model):
    ask = ["score", "--model", fetch_model("smollm2-135m"), "--tokens", "504,3575,6", "--top", 2]
    got = json.loads(paceline(*ask, "--every", "--json").stdout)
    assert len(got["tops"]) == 3 and got["tops"][2] == got["top"]
    # what came next is no likelier than the best
    for i, top in enumerate(got["tops"][:2]):
        assert len(top) == 2 and top[0][1] >= top[1][1] and -top[0][1] <= got["nll"][i] + 1e-5
    assert "tops" not in json.loads(paceline(*ask, "--json").stdout)


@pytest.mark.parametrize("words,piece", [
    (["--tokens", "1", "--exact", "--backend", "cpu"], b"--exact and --backend cpu: one of them"),
    (["--tokens", "1,x"], b'--tokens: found "x", ids separated by commas are wanted'),
    (["--tokens", "1,-2"], b'found "-2"'), (["--tokens", "2147483648"], b'found "2147483648"'),
    (["--tokens", "1;2"], b'found "1;2"'), (["--tokens", ""], b'found ""'),
])
def test_what_is_no_list_of_tokens(paceline, words, piece):
    done = paceline("score", "--model", "/nowhere.gguf", *words)
    assert done.returncode == 2 and piece in done.stderr and not done.stdout
    assert b"/nowhere.gguf" in paceline("score", "--model", "/nowhere.gguf", "--tokens",
                                        "2147483647").stderr


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


def test_bench_says_how_far_a_row_is(build_dir, fetch_model):
    """On a terminal, and it is gone when the row is there."""
    ours, its = pty.openpty()
    process = subprocess.Popen([build_dir / "paceline", "bench", fetch_model("smollm2-135m"),
                                "--streams", "8",
                                "--prompt-tokens", "64", "--gen-tokens", "200"],
                                stdout=subprocess.PIPE, stderr=its)
    os.close(its)
    seen = b""
    try:
        while part := os.read(ours, 65536):
            seen += part
    except OSError:             # the other end was closed
        pass
    os.close(ours)
    seen = seen.decode()
    rows = process.communicate(timeout=600)[0].decode().splitlines()
    shown = [int(n) for n in re.findall(r"8 streams: (\d+) of 2104 tokens", seen)]
    assert shown == sorted(shown) and shown and seen.endswith("\r\x1b[K")
    assert rows[-1].split()[0] == "8" and "tokens" not in rows[-1]


def test_bench_says_where_the_time_goes(paceline, fetch_model):
    lines = paceline("bench", fetch_model("smollm2-135m"), "--streams", 2, "--prompt-tokens", 8,
                     "--gen-tokens", 4, "--timing", "--rounds", 2).stdout.decode().splitlines()
    assert lines[2] == "prompt 8, generated 4; one short prompt to warm up"
    assert lines[3].split()[0] == "streams"
    step_ms = float(lines[4].split()[3])
    rows = [re.fullmatch(r" {8}(.{24}) +(-?[\d.]+) ms +(-?[\d.]+) %", line) for line in lines[5:]]
    assert rows[-1][1].strip() == "between operations" and len(rows) > 5
    assert sum(float(r[2]) for r in rows) == pytest.approx(step_ms, abs=0.02)
    assert sum(float(r[3]) for r in rows) == pytest.approx(100, abs=1)
    assert all(float(r[3]) == pytest.approx(100 * float(r[2]) / step_ms, abs=0.2) for r in rows)


def test_bench_counts_all_that_a_step_reads(paceline, tmp_path):
    """Of a mixture: every matrix but the experts and the embedding, routers, norms; in bytes of 32
    or of 16 weights, as they are packed."""
    t = tiny_models
    path = t.write(str(tmp_path / "model.gguf"), arch="qwen3moe")
    done = paceline("bench", path, "--json", "--streams", 1, "--prompt-tokens", 2, "--gen-tokens",
                    2)
    machine = json.loads(done.stdout)["machine"]
    d_q, d_kv = t.N_HEADS * t.D_HEAD, t.N_KV_HEADS * t.D_HEAD
    matrices = t.N_LAYERS * (2 * d_q + 2 * d_kv) * t.D_MODEL + t.N_VOCAB * t.D_MODEL
    routers = t.N_LAYERS * t.N_EXPERTS * t.D_MODEL
    used = 3 * t.D_EXPERT * t.D_MODEL * t.N_EXPERTS_USED * t.N_LAYERS
    assert machine["macs_per_token"] == matrices + routers + used
    least = matrices * 34 / 32 + routers * 4
    assert least <= machine["step_weight_bytes"] < 1.07 * least


@pytest.mark.parametrize("text,is_taken", [("1,4096", True), ("4097", False), ("0", False),
                                           ("1,", False), ("1;2", False),
                                           ("", False), (",".join("1" * 32),
                                                         True), (",".join("1" * 33), False)])
def test_streams_of_bench(paceline, text, is_taken):
    done = paceline("bench", "/nowhere.gguf", "--streams", text)
    said = (f'--streams: found "{text}"; up to 32 numbers from 1 to 4096, separated by commas, '
            "are wanted")
    assert done.returncode == (1 if is_taken else 2) and (said.encode() in done.stderr) != is_taken


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
