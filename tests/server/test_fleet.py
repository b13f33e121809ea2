"""Several servers as one: what a server tells a balancer, and deploy/haproxy before three."""

import concurrent.futures
import contextlib
import http.client
import json
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import threading
import time

import pytest

from serving import Server

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CONFIG = ROOT / "deploy/haproxy/haproxy.cfg"
N_SLOTS, WANTED, N_CLIENTS = 2, 3, 6
sys.path.insert(0, str(ROOT / "tests"))

import tiny_models  # noqa: E402
from gguf import GGUFValueType  # noqa: E402

TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def agent_says(port):
    with socket.create_connection(("127.0.0.1", port), timeout=60) as s:
        return b"".join(iter(lambda: s.recv(100), b"")).decode()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    tiny_models.write(path, "llama",
                      keys=[("tokenizer.chat_template", (GGUFValueType.STRING, TEMPLATE))])
    return path


class Member(Server):
    """A server with an agent; started anew under the same ports."""

    def __init__(self, binary, model, agent_port):
        self.agent_port = agent_port
        super().__init__(binary, model, "--parallel", N_SLOTS, "--ctx-size", 1024, "--threads", 1,
                         "--agent-port", agent_port, "--grace", 120)


@pytest.fixture
def member(build_dir, tiny):
    with contextlib.ExitStack() as all_:
        def start():
            server = Member(build_dir / "paceline", tiny, free_port())
            all_.callback(server.stop)
            return server
        yield start


def chat(content, **more):
    return {"messages": [{"role": "user", "content": content}], "max_tokens": 24, "seed": 1,
            "ignore_eos": True, **more}


# ---- what a server says -----------------------------------------------------------------------

def test_a_server_that_is_ready_and_one_that_has_too_much(member):
    server = member().wait()
    assert agent_says(server.agent_port) == f"up ready 100% maxconn:{WANTED}\n"
    with concurrent.futures.ThreadPoolExecutor(3 * WANTED) as pool:
        asked = [pool.submit(server.post, "/v1/chat/completions", chat(str(i), max_tokens=900))
                 for i in range(3 * WANTED)]
        assert server.wait_until(lambda: "100%" not in agent_says(server.agent_port))
        share = int(re.fullmatch(rf"up ready (\d+)% maxconn:{WANTED}\n",
                                 agent_says(server.agent_port))[1])
        assert share in range(10, 100, 10) or share == 100
        assert all(a.result()[0] == 200 for a in asked)
    assert server.wait_until(lambda: "100%" in agent_says(server.agent_port))


def test_a_server_that_is_stopped_says_so_and_ends_what_it_has(member):
    server = member().wait()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        asked = pool.submit(server.post, "/v1/chat/completions", chat("x", max_tokens=900))
        assert server.wait_until(lambda: server.busy_slots() == 1)
        server.process.terminate()
        said = set()

        def is_draining():
            with contextlib.suppress(ConnectionError):
                said.add(agent_says(server.agent_port))
            return "drain\n" in said or asked.done()
        assert server.wait_until(is_draining)
        assert asked.result()[0] == 200
    assert said <= {"drain\n", f"up ready 100% maxconn:{WANTED}\n"}
    assert server.process.wait(timeout=120) == 0


def test_a_port_that_is_taken(build_dir, tiny):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        done = subprocess.run([build_dir / "paceline", "serve", "--model", tiny, "--port", "0",
                               "--agent-port", str(s.getsockname()[1])], capture_output=True,
                              text=True, timeout=120)
    assert done.returncode == 1 and "--agent-port: cannot listen" in done.stderr


def test_many_who_ask_at_once(member):
    server = member().wait()
    idle = [socket.create_connection(("127.0.0.1", server.agent_port)) for _ in range(40)]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        said = set(pool.map(lambda _: agent_says(server.agent_port), range(100)))
    assert said == {f"up ready 100% maxconn:{WANTED}\n"}
    for s in idle:
        s.close()


# ---- HAProxy before three ---------------------------------------------------------------------

@pytest.fixture
def haproxy(models_dir, tmp_path):
    """haproxy(servers) -> the port that it listens on, with the file of deploy/haproxy."""
    program = shutil.which("haproxy") or models_dir / "haproxy/usr/sbin/haproxy"
    assert pathlib.Path(program).exists(), "haproxy is missing: scripts/setup.sh --tests"
    with contextlib.ExitStack() as all_:
        def start(servers):
            port, text = free_port(), CONFIG.read_text()
            text, n = re.subn(r"bind 127\.0\.0\.1:8000", f"bind 127.0.0.1:{port}", text)
            assert n == 1
            ours = f"    stats socket {tmp_path}/haproxy.sock\n"
            text = text.replace("\nglobal\n", "\nglobal\n" + ours)
            for name, server in zip(("one", "two", "three"), servers, strict=True):
                line = f"server {name} 127.0.0.1:{server.port} agent-port {server.agent_port}"
                text, n = re.subn(rf"server {name} 127\.0\.0\.1:\d+", line, text)
                assert n == 1
            (tmp_path / "haproxy.cfg").write_text(text)
            process = subprocess.Popen([program, "-db", "-f", tmp_path / "haproxy.cfg"],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            all_.callback(process.wait)
            all_.callback(process.terminate)
            end = time.monotonic() + 60
            while time.monotonic() < end and process.poll() is None:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    return port
                time.sleep(0.05)
            raise RuntimeError(f"haproxy does not listen: {process.poll()}")
        yield start


@pytest.fixture
def row_of(tmp_path):
    """row_of(name): what HAProxy says of a server, or of BACKEND."""
    def ask_haproxy(name):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(60)
            s.connect(str(tmp_path / "haproxy.sock"))
            s.sendall(b"show stat\n")
            text = b"".join(iter(lambda: s.recv(65536), b"")).decode()
        head, *rows = [line.split(",") for line in text.removeprefix("# ").splitlines() if line]
        row, = [dict(zip(head, row, strict=False)) for row in rows if row[1] == name]
        return row
    return ask_haproxy


@pytest.fixture
def is_up(row_of):
    """is_up(name): what HAProxy thinks of a server, by a check that it made."""
    def look(name):
        row = row_of(name)
        return row["status"].startswith("UP") and row["check_status"] == "L7OK"
    return look


class Clients:
    """Threads that ask one after the other, and remember what became of each request."""

    def __init__(self, port, wanted):
        self.port, self.wanted = port, wanted
        self.is_over = threading.Event()
        self.lock = threading.Lock()
        self.n_done, self.lost, self.cut = 0, [], []

    def ask(self, number):
        """One in four is streamed."""
        streams = number % 4 == 3
        content = sorted(self.wanted)[number % len(self.wanted)]
        body, c = chat(content, stream=streams), None
        text = ""
        try:
            c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
            c.request("POST", "/v1/chat/completions", json.dumps(body))
            reply = c.getresponse()
            if reply.status != 200:
                return self.lost.append((reply.status, reply.read()[:200]))
            if not streams:
                text = json.loads(reply.read())["choices"][0]["message"]["content"]
            else:
                for line in reply:
                    if line.startswith(b"data: {"):
                        delta = json.loads(line[6:])["choices"]
                        text += (delta[0]["delta"].get("content") or "") if delta else ""
                    if line.startswith(b"data: [DONE]"):
                        break
                else:
                    return self.cut.append(text)
        except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
            return (self.cut if text else self.lost).append(repr(error))
        finally:
            if c:
                c.close()
        if text != self.wanted[content]:
            self.lost.append((content, text))
        with self.lock:
            self.n_done += 1
        return None

    def run(self, first):
        number = first
        while not self.is_over.is_set():
            self.ask(number)
            number += 1

    def wait_for(self, n):
        """So many more."""
        end, until = self.n_done + n, time.monotonic() + 300
        while self.n_done < end and time.monotonic() < until:
            time.sleep(0.02)
        assert self.n_done >= end, (self.n_done, self.lost[:3])


def test_one_is_added_one_drained_and_one_killed(member, haproxy, is_up):
    """Nothing is lost that had not begun to be told."""
    one, two, three = member().wait(), member().wait(), None
    wanted = {}
    for i in range(12):
        status, _, body = one.post("/v1/chat/completions", chat(f"rider {i}"))
        assert status == 200
        wanted[f"rider {i}"] = body["choices"][0]["message"]["content"]
    three = member()            # starts while the others are asked
    clients = Clients(haproxy([one, two, three]), wanted)
    with concurrent.futures.ThreadPoolExecutor(N_CLIENTS) as pool:
        asked = [pool.submit(clients.run, 100 * i) for i in range(N_CLIENTS)]
        try:
            clients.wait_for(20)
            three.wait()
            assert three.wait_until(lambda: is_up("three") and requests_of(three) > 0)
            assert requests_of(two) > 0
            one.process.terminate()
            assert one.process.wait(timeout=300) == 0
            clients.wait_for(20)
            assert three.wait_until(lambda: is_up("two") and is_up("three") and not is_up("one"))
            two.process.kill()
            two.process.wait()
            clients.wait_for(20)
        finally:
            clients.is_over.set()
        for a in asked:
            a.result()
    assert clients.lost == []
    assert len(clients.cut) <= N_CLIENTS    # what the killed one was telling


def requests_of(server):
    return server.metric("paceline_requests_total")


@pytest.fixture
def ask(row_of):
    """ask(port, messages): how many of its tokens were at hand. HAProxy counts a request a moment
    longer than its client, and the next one is to find nobody there."""
    def one(port, messages, **headers):
        end = time.monotonic() + 60
        while row_of("BACKEND")["scur"] != "0":
            assert time.monotonic() < end
            time.sleep(0.01)
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        c.request("POST", "/v1/chat/completions",
                  json.dumps({"messages": messages, "max_tokens": 4, "ignore_eos": True}), headers)
        reply = c.getresponse()
        body = json.loads(reply.read())
        c.close()
        assert reply.status == 200, body
        return body["usage"]["prompt_tokens_details"]["cached_tokens"]
    return one


SYSTEM = {"role": "system", "content": "you ride " * 20}
FIRST = {"role": "user", "content": "rider " * 20}


@pytest.mark.parametrize("beginning", [[FIRST], [SYSTEM, FIRST]], ids=["user", "system"])
def test_a_conversation_goes_where_it_was(member, haproxy, ask, beginning):
    servers = [member() for _ in range(3)]
    for s in servers:
        s.wait()
    port, said = haproxy(servers), []
    for i in range(6):
        cached = ask(port, [*beginning, *said])
        assert cached > 40 or not i
        said += [{"role": "assistant", "content": "yes"}, {"role": "user", "content": f"and {i}"}]
    assert sorted(requests_of(s) for s in servers) == [0, 0, 6]


def test_other_conversations_go_elsewhere(member, haproxy, ask):
    servers = [member() for _ in range(3)]
    for s in servers:
        s.wait()
    port = haproxy(servers)
    for i in range(24):
        ask(port, [SYSTEM, {"role": "user", "content": f"rider {i}"}])
    assert all(requests_of(s) > 0 for s in servers)
    before = [requests_of(s) for s in servers]
    for i in range(6):
        ask(port, [{"role": "user", "content": f"{i}"}], **{"X-Session-Id": "mine"})
    assert sorted(requests_of(s) - b for s, b in zip(servers, before, strict=True)) == [0, 0, 6]
