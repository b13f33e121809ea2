"""paceline top: one frame for scripts, and the screen in a real terminal (tmux)."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time

import pytest

CHAT = "/v1/chat/completions"
SECONDS = 120


class Terminal:
    """A tmux of its own, 80x24 unless said otherwise, running one command."""

    def __init__(self, folder, *words, columns=80, lines=24, env=None):
        self.socket = folder / "tmux"
        self.env = {**os.environ, "LC_ALL": "C.UTF-8", "TERM": "xterm-256color", **(env or {})}
        self.env.pop("TMUX", None)
        # the shell says how the command ended, and the pane stays to be read
        self.end = folder / "end"
        command = " ".join(f"'{w}'" for w in map(str, words)) + f"; echo $? > '{self.end}'"
        self.run("-f", "/dev/null", "new-session", "-d", "-x", columns, "-y", lines, command)

    def run(self, *words):
        return subprocess.run(["tmux", "-S", self.socket, *map(str, words)], capture_output=True,
                              text=True, timeout=SECONDS, check=True, env=self.env).stdout

    def lines(self, *options):
        return self.run("capture-pane", "-p", *options).splitlines()

    def press(self, *keys):
        self.run("send-keys", *keys)

    def size(self):
        tty = os.open(self.run("display-message", "-p", "#{pane_tty}").strip(),
                      os.O_RDONLY | os.O_NOCTTY)
        try:
            return tuple(os.get_terminal_size(tty))
        finally:
            os.close(tty)

    def resize(self, columns, lines):
        """Until the pane's terminal is so large: tmux gets round to it when it does."""
        end = time.monotonic() + SECONDS
        while self.size() != (columns, lines):
            assert time.monotonic() < end, self.size()
            self.run("resize-window", "-x", columns, "-y", lines)
            time.sleep(0.05)

    def wait(self, condition):
        """The first screen that satisfies the condition."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            shown = self.lines()
            if condition("\n".join(shown)):
                return shown
            time.sleep(0.1)
        raise AssertionError("\n".join([f"{self.size()}:", *self.lines()]))

    def wait_end(self):
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            if self.end.exists() and self.end.read_text().strip():
                return int(self.end.read_text())
            time.sleep(0.05)
        raise AssertionError("it did not end:\n" + "\n".join(self.lines()))

    def close(self):
        subprocess.run(["tmux", "-S", self.socket, "kill-server"], capture_output=True,
                       timeout=SECONDS, env=self.env)


@pytest.fixture
def terminal(tmp_path):
    opened = []

    def start(*words, **more):
        opened.append(Terminal(tmp_path, *words, **more))
        return opened[-1]
    yield start
    for t in opened:
        t.close()


@pytest.fixture
def once(build_dir):
    def run(*words, env=None):
        return subprocess.run([build_dir / "paceline", "top", "--once", "--interval", "0.2",
                              *words], capture_output=True, text=True, timeout=SECONDS,
                              env={**os.environ, **(env or {})})
    return run


@pytest.fixture
def busy(server):
    """Three streams at nearly any time until the test is over: each is followed by another."""
    stop = threading.Event()
    body = {"max_tokens": 450, "ignore_eos": True, "stream": True}

    def keep_asking(i):
        messages = [{"role": "user", "content": f"Tell me story {i}"}]
        raw = json.dumps({**body, "messages": messages}).encode()
        while not stop.is_set():
            with socket.create_connection(("127.0.0.1", server.port), timeout=60) as s:
                s.sendall(b"POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                          b"Content-Length: %d\r\n\r\n" % (CHAT.encode(), len(raw)) + raw)
                while not stop.is_set() and s.recv(65536):
                    pass
    threads = [threading.Thread(target=keep_asking, args=(i,)) for i in range(3)]
    for t in threads:
        t.start()
    yield server
    stop.set()
    for t in threads:
        t.join()
    assert server.wait_until(lambda: server.busy_slots() == 0)


def seen_at_last(look, condition):
    """What look() gives once the condition holds of it."""
    end = time.monotonic() + SECONDS
    while not condition(found := look()):
        assert time.monotonic() < end, found
    return found


def line_of(lines, word):
    return next(line for line in lines if line.startswith(word))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_one_frame(once, server):
    server.post(CHAT, {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 8})
    done = once(server.url)
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert done.stdout.isascii() and "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"{server.url}  up  smollm2-135m.gguf  cpu ")
    requests = int(server.metric("paceline_requests_total"))
    assert line_of(lines, "requests").split()[1] == str(requests)
    assert "0 of 20 in use, 512 tokens each   queue 0 (0 tokens)" in line_of(lines, "slots")
    cached = int(server.metric("paceline_kv_pages_cached"))
    assert f"0 used, {cached} kept of 640 pages" in line_of(lines, "KV")
    mib = server.metric("paceline_resident_memory_bytes") / 2 ** 20
    assert abs(int(line_of(lines, "memory").split()[1]) - mib) <= 1
    assert len(re.findall(r"\d+ idle", done.stdout)) == 20
    if os.path.exists("/proc/stat"):
        assert re.match(r"machine   CPU \d+ %", line_of(lines, "machine"))


def reply_rows(shown):
    return [line.split() for line in shown.splitlines() if re.match(r" +\d+ reply ", line)]


def test_a_frame_while_streams_run(once, busy):
    def is_full(shown):
        rows = reply_rows(shown)
        return ("3 of 20 in use" in shown and len(rows) == 3 and
                all(int(row[3]) > 0 and float(row[4]) > 0 for row in rows))
    shown = seen_at_last(lambda: once(busy.url).stdout, is_full)
    lines = shown.splitlines()
    assert float(line_of(lines, "tokens/s").split()[2]) > 0
    for row in reply_rows(shown):
        assert int(row[2]) > 20 and row[5].endswith("s")
    # a percentile lies within the bucket that Prometheus' own rule puts it in
    assert re.search(r"next [\d.]+ ms [\d.]+ ms", line_of(lines, "p50 p95"))


NVML = """
#include <stdio.h>
struct use { unsigned gpu, memory; };
struct memory { unsigned long long total, free, used; };
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned *n) { *n = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **d) { *d = (void *)(i + 1ul); return 0; }
int nvmlDeviceGetName(void *d, char *s, unsigned n) {
    snprintf(s, n, "NVIDIA Test");
    return d == (void *)2;
}
int nvmlDeviceGetUtilizationRates(void *d, struct use *u) { u->gpu = 42; return 0; }
int nvmlDeviceGetTemperature(void *d, int s, unsigned *c) { *c = 61; return s; }
int nvmlDeviceGetPowerUsage(void *d, unsigned *mw) { *mw = 123400; return d == (void *)2; }
int nvmlDeviceGetMemoryInfo(void *d, struct memory *m) {
    m->total = 80e9, m->used = 20e9;
    return 0;
}
"""


@pytest.mark.skipif(not os.path.exists("/proc/stat"),
                    reason="NVIDIA's library is looked for on Linux")
def test_gpus_of_nvidia(once, server, tmp_path):
    """A stand-in for the driver's library: one GPU that tells all, and one that does not."""
    (tmp_path / "nvml.c").write_text(NVML)
    subprocess.run(["cc", "-shared", "-fPIC", "-w", "-o", tmp_path / "libnvidia-ml.so.1",
                    tmp_path / "nvml.c"], check=True, timeout=60)
    done = once(server.url, env={"LD_LIBRARY_PATH": str(tmp_path)})
    machine = line_of(done.stdout.splitlines(), "machine")
    assert "  NVIDIA Test 42 % 61 C 123.4 W 20.0/80 GB  GPU 42 % 61 C 20.0/80 GB" in machine


def test_servers_that_give_no_figures(once, start_server):
    nobody = free_port()
    with start_server("--parallel", 1, "--ctx-size", 64, "--api-key", "k1", "--no-slots") as keyed:
        done = once(keyed.url, f"127.0.0.1:{nobody}")
        assert done.returncode == 1 and not done.stderr
        first, second = done.stdout.split("\n\n")
        assert re.search(r"NO FIGURES for .*  /metrics answers 401: an API key is needed", first)
        assert f"http://127.0.0.1:{nobody}  DOWN for " in second and "onnect" in second
        done = once(keyed.url, "--api-key", "k1")
        assert done.returncode == 0 and "0 of 1 in use" in done.stdout
        assert " idle" not in done.stdout       # slots are not told, figures are
    with start_server("--parallel", 1, "--ctx-size", 64, "--no-metrics") as silent:
        done = once(silent.url)
        assert done.returncode == 1 and "501" in done.stdout


def answer_with(body, status=b"200 OK", n_answers=50, asked=None):
    """A server that answers every request so; (port, stop). asked: a list that gets the requests.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.2)
    done = threading.Event()

    def serve():
        for _ in range(n_answers):
            while not done.is_set():
                try:
                    c, _ = listener.accept()
                    break
                except TimeoutError:
                    continue
            if done.is_set():
                return
            with c:
                c.settimeout(5)
                try:
                    request = c.recv(65536)
                    if asked is not None:
                        asked.append(request.split(b"\r\n")[0])
                    c.sendall(b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" %
                              (status, len(body)) + body)
                except OSError:
                    pass
    thread = threading.Thread(target=serve)
    thread.start()

    def stop():
        done.set()
        thread.join()
        listener.close()
    return listener.getsockname()[1], stop


@pytest.mark.parametrize("body,piece", [
    (b"<html>hello</html>", "  /metrics has no names that are known here"),
    (b"", "NO FIGURES"),
    (b"paceline_slots 9" * 100, "NO FIGURES"),
    (b"\0" * 1000 + b"\npaceline_slots 9\n", "of 9 in use"),
    (b'paceline_slots 1e308\npaceline_streams_running -1\npaceline_kv_pages 0\n'
     b'paceline_reply_tokens_total +Inf\npaceline_build_info{model="\x1b[2J\xff"} 1\n', "?[2J?"),
    (b"paceline_slots 5\n" * 600000, "DOWN"),       # more than a server's figures ever are
    (b'vllm:num_requests_running{engine="0",model_name="m"} 3\n'
     b'vllm:kv_cache_usage_perc{engine="0"} 0.5\n', "3 in use"),
    (b"llamacpp:requests_processing 2\nllamacpp:requests_deferred 1\n", "2 in use   queue 1"),
])
def test_other_servers_and_hostile_ones(once, body, piece):
    port, stop = answer_with(body)
    try:
        done = once(f"127.0.0.1:{port}")
    finally:
        stop()
    assert done.returncode in (0, 1) and not done.stderr
    assert piece in done.stdout and "\x1b" not in done.stdout
    assert not re.search(r"\b-?(nan|inf)\b", done.stdout)


def test_wrong_command_lines(build_dir):
    def top(*words):
        return subprocess.run([build_dir / "paceline", "top", *words], capture_output=True,
                              text=True, timeout=SECONDS, stdin=subprocess.DEVNULL)
    done = top("http://127.0.0.1:1")
    assert done.returncode == 2 and "needs a terminal; --once" in done.stderr
    assert top("--interval", "0").returncode == 2
    assert "at most" in top("--once", "http://" + "a" * 400).stderr
    done = top("--once", "file:///etc/passwd")
    assert done.returncode == 1 and "root:" not in done.stdout


def test_the_screen(terminal, build_dir, busy):
    t = terminal(build_dir / "paceline", "top", busy.url, "--interval", "0.2")
    shown = t.wait(lambda s: "3 of 20 in use" in s and s.count(" reply ") >= 4)
    assert len(shown) == 24 and max(map(len, shown)) <= 80
    assert len(re.findall(r"\b\d+ (?:reply|idle|prompt)\b", "\n".join(shown))) == 20
    t.wait(lambda s: line_of(s.splitlines(), "requests").split()[1] ==
           str(int(busy.metric("paceline_requests_total"))))
    planned = re.search(r"weights (\d+) kv (\d+)", line_of(shown, "memory"))
    text = busy.request("GET", "/metrics")[2].decode()
    for n, pool in zip(planned.groups(), ("weights", "kv")):
        told = re.search(rf'planned_bytes{{pool="{pool}"}} (\d+)', text)[1]
        assert int(n) == round(int(told) / 2 ** 20)
    t.wait(lambda s: any(c in s for c in "▁▂▃▄▅▆▇█"))
    assert "q quit" in t.lines()[-1]


def test_a_server_is_asked_once_an_interval(terminal, build_dir):
    asked = []
    port, stop = answer_with(b"paceline_slots 9\n", asked=asked)
    try:
        t = terminal(build_dir / "paceline", "top", f"http://127.0.0.1:{port}", "--interval", "600")
        t.wait(lambda s: "of 9 in use" in s)
        n = len(asked)
        for columns in range(90, 100):      # each is a round of the screen's
            t.resize(columns, 24)
            t.wait(lambda s: "of 9 in use" in s)
        assert len(asked) == n and len(set(asked)) == n, asked
    finally:
        stop()


def test_resizing_and_keys(terminal, build_dir, server):
    t = terminal(build_dir / "paceline", "top", server.url, "--interval", "0.2")
    t.wait(lambda s: "0 of 20 in use" in s)
    t.resize(130, 40)
    shown = t.wait(lambda s: s.count(" id state") == 3)
    assert "q quit" in shown[39]
    t.resize(40, 8)
    shown = t.wait(lambda s: "q quit" in s.splitlines()[-1] and len(s.splitlines()) == 8)
    assert max(map(len, shown)) <= 40
    t.resize(80, 24)
    t.wait(lambda s: s.count(" id state") == 2)
    t.press("Space")
    t.wait(lambda s: "PAUSED" in s)
    t.press("Space")
    t.wait(lambda s: "PAUSED" not in s)
    t.press("x")
    t.press("q")
    assert t.wait_end() == 0


def test_a_new_size_that_no_signal_tells(terminal, build_dir, server):
    """As a program in a container has it."""
    deaf = "import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGWINCH]);" \
        "os.execv(sys.argv[1], sys.argv[1:])"
    t = terminal(sys.executable, "-c", deaf, build_dir / "paceline", "top", server.url,
                 "--interval", "0.2")
    t.wait(lambda s: "0 of 20 in use" in s)
    t.resize(130, 40)
    assert "q quit" in t.wait(lambda s: s.count(" id state") == 3)[39]


def test_a_server_that_goes_and_comes_back(terminal, build_dir, start_server, fetch_model):
    other = free_port()
    t = terminal(build_dir / "paceline", "top", f"http://127.0.0.1:{other}", "--interval", "0.2")
    t.wait(lambda s: "DOWN" in s)
    for _ in range(2):
        process = subprocess.Popen([build_dir / "paceline", "serve", "--model",
                                    fetch_model("smollm2-135m"), "--parallel", "2", "--ctx-size",
                                    "64", "--port", str(other), "--quiet"])
        try:
            t.wait(lambda s: "0 of 2 in use" in s)
        finally:
            process.terminate()
            process.wait(timeout=60)
        t.wait(lambda s: "DOWN for " in s)
    t.press("C-c")
    assert t.wait_end() == 0


def test_several_servers(terminal, build_dir, server):
    nobody = f"http://127.0.0.1:{free_port()}"
    t = terminal(build_dir / "paceline", "top", server.url, nobody, "--interval", "0.2")
    shown = t.wait(lambda s: "DOWN" in s and "0 of 20 in use" in s)
    assert shown[2].startswith(f"> {server.url} ") and shown[3].startswith(f"  {nobody} ")
    assert "tab: another server" in shown[-1]
    t.press("Tab")
    shown = t.wait(lambda s: f"> {nobody}" in s)
    assert "of 20 in use" not in "\n".join(shown)
    t.press("Up")
    t.wait(lambda s: f"> {server.url}" in s and "0 of 20 in use" in s)


@pytest.mark.parametrize("env,is_coloured", [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colours(terminal, build_dir, server, env, is_coloured):
    t = terminal(build_dir / "paceline", "top", server.url, env=env)
    t.wait(lambda s: "0 of 20 in use" in s)
    assert ("\x1b[32m" in "\n".join(t.lines("-e"))) == is_coloured
    t.press("q")
    assert t.wait_end() == 0


def test_an_unknown_terminal_is_said(terminal, build_dir, server):
    t = terminal("env", "TERM=nowhere", build_dir / "paceline", "top", server.url)
    assert t.wait_end() == 2
