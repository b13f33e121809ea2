"""llama-server's command lines: options that mean something here, that change nothing, and that ask
for what is not there. The second and third kind are a table, which the manual page shows."""

import os
import pathlib
import re
import subprocess

import pytest

from hub import Hub
from serving import Server

ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture
def serve(build_dir):
    """With a model that is not there: whatever gets as far as that was taken."""
    def run(*words):
        return subprocess.run([build_dir / "paceline", "serve", "-m", "/nowhere/m.gguf", *words],
                              capture_output=True, text=True, timeout=60)
    return run


def is_taken(done):
    return done.returncode == 1 and done.stderr.startswith("paceline: /nowhere/m.gguf")


@pytest.mark.parametrize("line", """
    --no-mmap | --mmap | --mlock | -ngl 99 | -ngl all | -ngl 0 | --gpu-layers -1 | -fa | -fa on
    -fa auto | --flash-attn off | -cb | -nocb | --no-cont-batching | --no-webui | --no-ui
    --no-warmup | --props | --fit on | --fit off | -fit off | -fitt 512 | --threads-http 8 | -to 600
    --timeout 600 | --log-disable | --log-colors off | --log-colors | --no-log-prefix
    --log-timestamps | -lv 4 | --verbosity 1 | --no-jinja | --jinja | --metrics | --slots
    --no-slots | --no-context-shift | --cache-reuse 256 | --no-cache-prompt | --cache-ram 0
    -cram -1 | -sps 0.5 | --swa-full | -kvu | -no-kvu | --no-kv-unified | --no-kv-offload | -nkvo
    --no-repack | -nr | --no-op-offload | --split-mode none | -ts 3,1 | -mg 0 | --cpu-moe | -ncmoe 4
    -ot exps=CPU | --n-cpu-moe 8 | --poll 0 | --prio 0 | --keep -1 | -np -1 | -b 2048 | -tb 8
    --defrag-thold 0.1 | --no-perf | --reuse-port | --api-prefix /llm | --alias a,b | --seed 42
    -s -1 | --seed=7 | --temp 0.7 | --samplers= | --mirostat 0 | --dry-multiplier 0.0
    --xtc-probability 0 | --dry-base 1.75 | --top-n-sigma -1 | --no-mmproj | --reasoning-format auto
    --reasoning-budget -1 | --reasoning auto | --no-agent | --no-escape | -e | --load-mode mmap
    -lm mmap+mlock | -dev none | --pooling none | --pooling mean | --pooling cls
    --pooling last | --embedding | --embeddings | --spec-type none | --no-models-autoload
    --sse-ping-interval -1 | --predict 128 | --kv-unified-per-slot 4096 | --chat-template chatml
    -v | --log-verbose | --check-tensors | --tags a,b | --ignore-eos | --no-direct-io | -ctk q8_0
    --cache-type-v f16 | --draft-max 0 | --cors-origins * | --chat-template-kwargs {"a":1}
    --mirostat 2 --mirostat-lr 0.2 --mirostat-ent 4 | --dry-multiplier 0.8 --dry-penalty-last-n -1
    --samplers top_k;temperature | --sampler-seq kt | --sampling-seq edskypmxt
    --adaptive-target -1
    --dry-sequence-breaker none --dry-sequence-breaker \\n | --dynatemp-range 0.5 --dynatemp-exp 2
    --dry-base 1.5 --dry-allowed-length 3 | --xtc-probability 0.5 --xtc-threshold 0.2
    --top-nsigma 1.5 | --samplers penalties;dry;top_n_sigma;top_k;typ_p;top_p;min_p;xtc;temperature
    --warmup | --embd-normalize 2 | --no-log-jsonl
""".replace("\n", "|").split("|"))
def test_taken(serve, line):
    words = line.split()
    if not words or words == ["--samplers="]:
        return
    done = serve(*words)
    assert is_taken(done), done.stderr


@pytest.mark.parametrize("line,piece", [
    ("--mmproj mmproj.gguf", "no images"), ("-mm x", "no images"), ("--mmproj-url http://x/y",
                                                                    "no images"),
    ("--image-min-tokens 5", "no images"), ("-md draft.gguf", "speculative"), ("--model-draft d",
                                                                               "speculative"),
    ("--spec-draft-n-max 3", "speculative"), ("--draft-max 16", "speculative"), ("--spec-default",
                                                                                 "speculative"),
    ("-hfd a/b", "speculative"),
    ("--reranking", "reranking"), ("--rerank", "reranking"),
    ("--lora a.gguf", "adapters"), ("--control-vector a", "adapters"), ("--grammar root::=x",
                                                                        "grammar"),
    ("--grammar-file g", "grammar"), ("-j {}", "schema"), ("--json-schema-file f", "schema"),
    ("--ssl-key-file k", "proxy"), ("--ssl-cert-file=c", "proxy"), ("--slot-save-path d",
                                                                    "not stored"),
    ("--numa distribute", "numactl"), ("--cpu-mask ff",
                                       "taskset"), ("-C ff", "taskset"), ("--prio 2", "nice"),
    ("--reasoning-format none", "reasoning_format"),
    ("--reasoning-budget 0", "chat_template_kwargs"),
    ("--reasoning off", "chat_template_kwargs"), ("--context-shift",
                                                  "end of its context"),
                                                  ("--webui-mcp-proxy", "this server alone"),
    ("--adaptive-target 0.5", "no such sampler"), ("--rpc host:1", "one machine"),
    ("--models-dir d", "one model"),
    ("--tools all", "runs no tools"), ("--path public", "no files"), ("-r User:",
                                                                      "stop"),
                                                                      ("-l 5-1", "each request"),
    ("--fim-qwen-7b-default", "-hf OWNER/REPO"), ("--gpt-oss-20b-default",
                                                  "-hf OWNER/REPO"), ("-dr gemma3", "-hf"),
    ("--list-devices", "self-test"), ("--cache-list", "paceline list"), ("--log-jsonl",
    "lines of text"), ("--control-vector-layer-range 1 2", "adapters"),
    ("--lora", "adapters"), ("--reasoning-effort low", "chat-template-kwargs"),
])
def test_refused_by_name(serve, line, piece):
    words = line.split()
    done = serve(*words)
    name = words[0].split("=")[0]
    assert done.returncode == 2 and done.stderr.startswith(f"paceline: {name} is not supported: "
                                                           f""), done.stderr
    assert piece in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("line,piece", [
    ("--samplers top_k;top", "--samplers: \"top\" is no sampler"), ("--sampler-seq tkt", "twice"),
    ("--dry-sequence-breaker " + 41 * "x", "found 41 bytes, 1 to 40"), ("--mirostat 3", "0 to 2"),
    ("--cache-reuse", "needs a value"), ("-ngl many", "all or auto"), ("-dev CUDA0", "--backend"),
    ("-np 0", "from 1 to 4096"), ("--api-prefix llm", "begins with /"), ("-hff x.gguf",
                                                                         "--hf-repo"),
    ("-hf a/b", "two models"), ("--seed x", "--seed"), ("--no-timeout",
                                                        "unknown option"),
                                                        ("--specdraft", "unknown"),
])
def test_wrong(serve, line, piece):
    done = serve(*line.split())
    assert done.returncode == 2 and piece in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_template_file_that_is_not_there(serve):
    done = serve("--chat-template-file", "/nowhere.jinja")
    assert done.returncode == 1
    assert done.stderr == "paceline: /nowhere.jinja: No such file or directory\n"


def rows(build_dir):
    """{heading: [names of a row]} of the manual page's two lists."""
    page = subprocess.run([build_dir / "paceline", "man", "serve"], capture_output=True,
                          text=True).stdout
    page = page.replace("\\-", "-")
    found = {}
    for heading in ("ACCEPTED WITHOUT EFFECT", "NOT SUPPORTED"):
        part = page.split(f".SH {heading}\n")[1].split("\n.SH ")[0]
        found[heading] = [re.findall(r"\\fB(\S+?)\\fR", row) for row in part.split(".TP\n")[1:]]
    return found


def test_the_page_names_every_option(build_dir):
    text = (ROOT / "docs/llama-server.md").read_text()
    named = rows(build_dir)
    assert len(named["ACCEPTED WITHOUT EFFECT"]) > 30 and len(named["NOT SUPPORTED"]) > 30
    for name in (name for part in named.values() for row in part for name in row):
        assert f"`{name}`" in text, name


def test_no_row_hides_another(serve, build_dir):
    """Each name does what its own row says, and is no option of the main table."""
    named = rows(build_dir)
    own = subprocess.run([build_dir / "paceline", "serve", "--help"], capture_output=True,
                         text=True).stdout.split("accepted without effect")[0]
    own = set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", "\n".join(x[:60] for x in own.splitlines())))
    seen = set()
    for heading, part in named.items():
        for name in (name for row in part for name in row):
            assert name not in seen and name not in own, name
            seen.add(name)
            done = serve(name.replace("*", "x"), "0.123")
            if heading == "NOT SUPPORTED":
                assert "is not supported" in done.stderr, name
            else:
                assert "is not supported" not in done.stderr and "unknown" not in done.stderr, name


@pytest.fixture(scope="module")
def server(build_dir, fetch_model, tmp_path_factory):
    log = tmp_path_factory.mktemp("log") / "serve.log"
    s = Server(build_dir / "paceline", fetch_model("smollm2-135m"), "-c", 512, "-np", 2, "--seed",
               11, "--no-mmap",
               "--chat-template-kwargs", '{"name": "Eddy", "bike": 1}', "--chat-template",
               "{{ name }}/{{ bike }}: {{ messages[0].content }}{% if name == 'ends' %}{{ "
               "bos_token }}{{ eos_token }}{% endif %}", "--override-kv",
               "tokenizer.ggml.bos_token_id=int:0",
               "--api-prefix", "/llm/", "--alias", "first, second", "--strict-model-names",
               "--log-file", log, "-ngl", 0, "--no-webui", "--temp", 1.5)
    try:
        assert s.wait_until(lambda: s.process.poll() is not None or is_up(s)) and is_up(s)
        s.log = log
        yield s
    finally:
        s.stop()


def is_up(s):
    try:
        return s.request("GET", "/llm/health")[0] == 200
    except OSError:
        return False


def test_the_log_says_what_changes_nothing(server):
    text = server.log.read_text()
    assert re.search(r"^accepted   --no-mmap: \S", text, re.M) and "--no-webui" not in text
    assert ("512 tokens for each of 2 streams, not shared among them; llama-server would give each "
            "256") in text
    assert "backend cpu" in text and "listening" in text
    assert oct(server.log.stat().st_mode & 0o777) == "0o640"


def test_every_route_is_below_the_prefix(server):
    for path in ("/health", "/v1/models", "/", "", "/llmx/health", "/ll"):
        assert server.request("GET", path or "/")[0] == 404
    for path in ("/llm", "/llm/", "/llm/health", "/llm/v1/models", "/llm/slots"):
        assert server.request("GET", path)[0] == 200, path
    assert server.request("GET", "/llm/v1/models/second")[0] == 200


def test_aliases(server):
    assert server.request("GET", "/llm/v1/models")[2]["data"][0]["id"] == "first"
    for name, status in (("first", 200), ("second", 200), ("secon", 404), ("first, second", 404)):
        body = {"model": name, "prompt": "a", "max_tokens": 1}
        assert server.post("/llm/v1/completions", body)[0] == status, name


def test_the_seed_is_everybodys(server):
    def text(**more):
        body = {"prompt": "Once upon a time", "max_tokens": 12, **more}
        return server.post("/llm/v1/completions", body)[2]["choices"][0]["text"]
    plain = text()
    assert text() == plain == text(seed=11) and text(seed=12) != plain
    assert len({text(seed=-1) for _ in range(4)} | {plain}) > 1


def test_the_template_is_told(server):
    def prompt(**more):
        body = {"messages": [{"role": "user", "content": "Hi"}], **more}
        return server.post("/llm/apply-template", body)[2]["prompt"]
    assert prompt() == "Eddy/1: Hi"
    # a request says otherwise
    assert prompt(chat_template_kwargs={"name": "Wout"}) == "Wout/1: Hi"
    assert prompt() == "Eddy/1: Hi"
    # token 0 is one too
    assert prompt(chat_template_kwargs={"name": "ends"}) == "ends/1: Hi<|endoftext|><|im_end|>"
    assert server.post("/llm/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}],
                                                    "max_tokens": 1})[0] == 200


def test_kwargs_that_are_no_object(build_dir, fetch_model):
    for text in ("[]", "{", "1"):
        done = subprocess.run([build_dir / "paceline", "serve", fetch_model("smollm2-135m"),
                               "--port", "0",
                               "--chat-template-kwargs", text], capture_output=True, text=True,
                               timeout=300)
        assert done.returncode == 2 and "a JSON object is wanted" in done.stderr


def test_who_could_reach_it_is_said(build_dir, fetch_model, tmp_path):
    """By up as by serve, in one line."""
    (tmp_path / "keys").write_text("secret\n")
    for host, more, is_said in (("0.0.0.0", [], True), ("127.0.0.1", [], False),
                                ("0.0.0.0", ["--api-key-file", tmp_path / "keys"], False),
                                ("0.0.0.0", ["--", "--api-key", "a"], False)):
        done = subprocess.run([build_dir / "paceline", "up", fetch_model("smollm2-135m"),
                               "--dry-run", "-c", "512",
                               "--name", "reach-test", "--host", host, *more], capture_output=True,
                              text=True, timeout=300)
        assert done.returncode == 0 and ("no key is asked for"
                                         in done.stdout) == is_said, done.stdout


def test_hf_pulls_and_serves(build_dir, tmp_path):
    """As up does; the second time without the hub."""
    repo = "owner/Tiny-GGUF"
    with Hub() as hub:
        hub.add(repo, {"tiny-q4_k_m.gguf": b"GGUF" + bytes(3000)})
        env = {**os.environ, "HF_ENDPOINT": hub.url, "XDG_CACHE_HOME": str(tmp_path),
               "HF_TOKEN": ""}

        def run(*words):
            return subprocess.run([build_dir / "paceline", "serve", *words], capture_output=True,
                                  text=True, timeout=60, env=env)
        offline = run("-hf", repo, "--offline")
        assert offline.returncode == 2 and "--offline" in offline.stderr
        done = run("-hf", f"{repo}:Q4_K_M")             # no model, so serving it fails
        path = tmp_path / "paceline/models/owner/Tiny-GGUF/tiny-q4_k_m.gguf"
        assert path.exists() and str(path) in done.stderr and done.returncode == 1
        n = len(hub.requests)
        for words in (["-hf", f"{repo}:Q4_K_M"], ["-hfr", repo, "-hff", "tiny-q4_k_m.gguf"],
                      [repo, "--offline"]):
            assert str(path) in run(*words, "--quiet").stderr
        assert len(hub.requests) == n
