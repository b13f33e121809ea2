"""Models that were pulled: list, rm, --model, and what is said meanwhile."""

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

from pulling import (  # noqa: F401 (hub, cli: fixtures)
    check_refused, cli, FILE, gguf, hub, PATH, REPO, TAG, wait_for)


def test_list(cli, hub):
    done = cli("list")
    assert done.returncode == 0 and not done.stdout and "paceline pull" in done.stderr
    assert json.loads(cli("list", "--json").stdout) == []
    cli.pull(TAG)
    hub.scripts[f"/{REPO}/resolve/main/model-q8_0.gguf"] = [("cut", 400)]
    cli.pull(f"{REPO}:Q8_0", "--retries", "0")
    lines = cli("list").stdout.splitlines()
    assert len(lines) == 3 and lines[0].split() == ["NAME", "TAG", "SIZE", "PULLED", "PATH"]
    assert lines[1].split()[:4] == [TAG, "Q4_K_M", "300", "kB"]
    assert "400 B of 1.00 kB" in lines[2] and "partial" in lines[2]
    whole, part = json.loads(cli("list", "--json").stdout)
    assert whole["name"] == TAG and whole["is_complete"] and whole["is_verified"]
    assert whole["path"] == str(cli.models / REPO / FILE) and whole["files"] == [whole["path"]]
    assert whole["size_bytes"] == whole["have_bytes"] == 300000 and whole["revision"] == "main"
    assert not part["is_complete"] and (part["have_bytes"], part["size_bytes"]) == (400, 1000)


def test_a_list_keeps_its_columns(cli, hub):
    cli.pull(TAG)
    hub.scripts[f"/{REPO}/resolve/main/model-q8_0.gguf"] = [("cut", 400)]
    cli.pull(f"{REPO}:Q8_0", "--retries", "0")
    head, *rows = cli("list").stdout.splitlines()
    for row in rows:
        assert row[head.index("PATH"):].startswith(str(cli.models)), row
        assert row[head.index("PULLED") - 1] == " " and row[head.index("PULLED")] != " ", row
    assert any(row[head.index("PULLED"):].startswith("-  ") for row in rows)


def test_a_list_of_files_that_nobody_noted(cli):
    """Put there by hand: their time is the file's; some parts of a split model, and an older
    note."""
    def put(name, n, note=None, at_s=1000000000):
        path = cli.models / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gguf(n))
        os.utime(path, (0, at_s))
        if note:
            path.with_name(path.name + ".json").write_text(json.dumps(note))
    put("o/r/a-q4_k_m.gguf", 3000)
    put("o/r/b-Q8_0-00001-of-00003.gguf", 500)
    put("o/r/b-Q8_0-00002-of-00003.gguf", 700, at_s=2000000000)
    note = {"source": "o/s", "endpoint": "http://h", "revision": "main", "etag": "", "sha256": "",
            "size": 900, "verified": True, "pulled": "2026-01-02T03:04:05Z"}
    put("o/s/c-f16-00001-of-00002.gguf", 900, note)
    put("o/s/c-f16-00002-of-00002.gguf", 800,
        note | {"verified": False, "pulled": "2027-01-02T03:04:05Z"})
    at = cli.models
    assert cli("list").stdout.splitlines() == [
        "NAME        TAG         SIZE                  PULLED            PATH",
        f"o/r:Q4_K_M  Q4_K_M      3.00 kB               2001-09-09 01:46  {at}/o/r/a-q4_k_m.gguf",
        f"o/r:Q8_0    Q8_0        1.20 kB, partial      2001-09-09 01:46  "
        f"{at}/o/r/b-Q8_0-00001-of-00003.gguf"
        " (partial: pull it again)",
        f"o/s:F16     F16         1.70 kB               2026-01-02 03:04  "
        f"{at}/o/s/c-f16-00001-of-00002.gguf"]
    listed = {m["name"]: m for m in json.loads(cli("list", "--json").stdout)}
    assert [len(listed[n]["files"]) for n in ("o/r:Q4_K_M", "o/r:Q8_0", "o/s:F16")] == [1, 3, 2]
    assert listed["o/s:F16"]["endpoint"] == "http://h" and not listed["o/s:F16"]["is_verified"]
    assert listed["o/r:Q4_K_M"]["pulled"] == "2001-09-09T01:46:40Z"


def test_other_capitals_are_the_same_repository(cli, hub):
    cli.pull(TAG)
    n = len([r for r in hub.requests if "/resolve/" in r.path])
    for name in (TAG.lower(), TAG.upper(), REPO.upper() + ":q4_k_m"):
        done = cli.pull(name)
        assert done.stdout.strip() == str(cli.models / REPO / FILE), done.stderr
    assert len([r for r in hub.requests if "/resolve/" in r.path]) == n
    assert cli("list").stdout.count(FILE) == 1
    assert cli("rm", "--yes", TAG.upper()).returncode == 0 and not cli.files()


def test_a_refused_file_leaves_no_folder(cli, hub):
    hub.always[PATH] = ("corrupt",)
    check_refused(cli, cli.pull(TAG), "SHA-256 is")
    assert not list(cli.models.iterdir())
    check_refused(cli, cli.pull(f"{hub.url}/elsewhere/x.gguf"), "404")
    assert not list(cli.models.iterdir())


@pytest.mark.parametrize("code,piece", [
    ("RepoNotFound", "no such repository\n"), ("RevisionNotFound", 'no revision "v2" (--revision)'),
    ("EntryNotFound", 'no such file in revision "v2"'), ("Else",
                                                         "no such repository, revision or file")])
def test_what_a_404_is_about(cli, hub, code, piece):
    hub.always[f"/api/models/{REPO}/tree/v2"] = ("status", 404, {"X-Error-Code": code})
    check_refused(cli, cli.pull(TAG, "--revision", "v2"), piece)


def test_a_file_that_goes_on_keeps_its_name(cli, hub):
    hub.scripts[PATH] = [("cut", 100000)]
    cli.pull(TAG, "--retries", "0")
    lines = cli.pull(TAG).stderr.splitlines()
    assert any("going on after 100000 bytes" in line for line in lines)
    steps = [line for line in lines if " %, " in line]
    assert steps and all(line.startswith(FILE + ": ") for line in steps), lines


def test_progress_is_of_all_parts(cli, hub):
    parts = [f"big-q8_0-0000{i}-of-00003.gguf" for i in (1, 2, 3)]
    hub.add("org/big", {name: gguf(100000, i) for i, name in enumerate(parts)})
    lines = [line for line in cli.pull("org/big").stderr.splitlines() if " %, " in line]
    assert lines and all("of 300 kB" in line for line in lines), lines
    percents = [int(line.split(": ")[1].split(" ")[0]) for line in lines]
    assert percents == sorted(percents) and len(set(percents)) == len(percents)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_stops_a_pull_is_told_that_the_part_stays(cli, hub, number):
    hub.scripts[PATH] = [("stall", 150000)]
    process = cli.start(TAG)
    assert hub.stalled.wait(60)
    wait_for(lambda: (cli.models / REPO / (FILE + ".part")).exists()
             and (cli.models / REPO / (FILE + ".part")).stat().st_size == 150000)
    process.send_signal(number)
    err = process.communicate(timeout=60)[1]    # the hub still stalls: the signal alone ends it
    hub.release.set()
    assert process.returncode == -number
    assert f"{FILE}: stopped; what has come of it stays, pull again to go on\n" in err
    assert (cli.models / REPO / (FILE + ".part")).stat().st_size == 150000


def test_rm(cli, hub):
    cli.pull(TAG)
    cli.pull(f"{REPO}:Q8_0")
    bystander = cli.models / REPO / "notes.txt"
    bystander.write_text("mine")
    done = cli("rm", TAG)
    assert done.returncode == 2 and "--yes" in done.stderr
    done = cli("rm", "--yes", REPO)
    assert done.returncode == 2 and "Q4_K_M, Q8_0" in done.stderr
    for wrong in ("some/../..", f"{REPO}:../../x.gguf", "..", "/etc/passwd", "other/model"):
        assert cli("rm", "--yes", wrong).returncode == 2
    done = cli("rm", "--yes", TAG)
    assert done.returncode == 0 and TAG in done.stdout
    assert set(cli.files()) == {f"{REPO}/{name}" for name in
                                ("model-q8_0.gguf", "model-q8_0.gguf.json", "notes.txt")}
    bystander.unlink()
    assert cli("rm", "--yes", f"{REPO}:Q8_0").returncode == 0
    assert list(cli.models.iterdir()) == []


def test_rm_of_a_part(cli, hub):
    hub.scripts[PATH] = [("cut", 400)]
    cli.pull(TAG, "--retries", "0")
    assert cli("rm", "--yes", TAG).returncode == 0 and not cli.files()


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, cli, *words):
        self.output = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(cli.binary, cli.command(*words), cli.env | {"TERM": "xterm"})
        self.resize(100)

    def resize(self, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def read_until(self, piece=None):
        """Until `piece`, or the end; 60 s at most."""
        end = time.monotonic() + 60
        while time.monotonic() < end and not (piece and piece in self.output):
            if not select.select([self.fd], [], [], 0.2)[0]:
                continue
            try:
                got = os.read(self.fd, 65536)
            except OSError:             # Linux says so when the other side is closed
                break
            if not got:
                break
            self.output += got
        return self.output

    def type(self, text):
        os.write(self.fd, text)

    def end(self):
        self.read_until()
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_rm_asks_on_a_terminal(cli, hub):
    cli.pull(TAG)
    for answer, stays in ((b"n\n", True), (b"\n", True), (b"yes\n", False)):
        t = Terminal(cli, "rm", TAG)
        assert b"300 kB" in t.read_until(b"[y/N]")
        t.type(answer)
        assert t.end() == 0
        assert (cli.models / REPO / FILE).exists() == stays


def test_progress_on_a_terminal(cli, hub):
    """A bar that survives a window that changes its size."""
    hub.scripts[PATH] = [("stall", 150000)]
    t = Terminal(cli, "pull", TAG)
    assert b"#" in t.read_until(b" 50 %, 150 kB of 300 kB")
    for columns in (20, 1, 300, 80):
        t.resize(columns)               # the system sends SIGWINCH
    hub.release.set()
    assert t.end() == 0
    assert (cli.models / REPO / FILE).read_bytes() == hub.files[PATH]
    assert b"\r" in t.output and t.output.rstrip().endswith(FILE.encode())


def test_model_option(cli, hub, fetch_model):
    real = fetch_model("smollm2-135m")
    hub.add("some/smol", {"smol-Q8_0.gguf": real.read_bytes()})
    want = cli("tokenize", "--model", real, "--file", __file__)
    asked = ["tokenize", "--model", "some/smol:Q8_0", "--file", __file__]
    missing = cli(*asked)
    assert missing.returncode == 2 and "paceline pull some/smol:Q8_0" in missing.stderr
    assert cli.pull("some/smol:Q8_0").returncode == 0
    done = cli(*asked)
    assert done.returncode == 0 and done.stdout == want.stdout
    assert cli("tokenize", "--model", "some/smol", "--file", __file__).stdout == want.stdout
    for command in ("serve", "run", "bench", "score", "plan", "doctor"):
        words = {"score": ["--tokens", "1,2"], "run": ["-p", "x"], "plan": ["--limits", "100,10"]}
        done = cli(command, "--model", "no/such:Q8_0", *words.get(command, []))
        assert done.returncode == 2 and "paceline pull no/such:Q8_0" in done.stderr, command


def test_every_command_finds_names_in_a_folder_of_its_own(cli, hub, fetch_model):
    name, folder = "some/smol:Q8_0", cli.folder / "models"
    hub.add("some/smol", {"smol-Q8_0.gguf": fetch_model("smollm2-135m").read_bytes()})
    assert cli.pull(name, "--dir", folder).returncode == 0
    for command, words in {
        "tokenize": ["--file", __file__], "score": ["--tokens", "1,2"], "run": ["-p", "x", "-n", 1],
        "bench": ["--streams", 1, "--prompt-tokens", 8, "--gen-tokens", 2],
        "plan": ["--limits", "100,10", "--parallel", 1], "doctor": ["--port", 1024],
        "serve": ["--port", 0, "--parallel", 1, "--ctx-size", 128],
    }.items():
        elsewhere = cli(command, "--model", name, *words)
        assert elsewhere.returncode == 2 and f"paceline pull {name}" in elsewhere.stderr, command
        here = [command, "--model", name, "--dir", folder, *words]
        if command == "serve":
            process = subprocess.Popen(cli.command(*here), env=cli.env, stderr=subprocess.PIPE,
                                       text=True)
            assert any("listening" in line for line in process.stderr)
            process.terminate()
            process.communicate(timeout=60)
            assert process.returncode == 0
        else:
            done = cli(*here)
            assert done.returncode in ((0, 1) if command == "doctor" else (0,)), done.stderr
            assert done.stdout and "neither a file" not in done.stderr, command
    assert cli("rm", "--yes", "--dir", folder, name).returncode == 0
    assert not list(folder.rglob("*.gguf"))
