"""paceline pull, list and rm against a hub of our own that cuts, stalls, redirects and lies."""

import fcntl
import json
import os
import pty
import random
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

from hub import Hub, sha256

REPO, TAG = "some/Model-GGUF", "some/Model-GGUF:Q4_K_M"
FILE = "model-q4_k_m.gguf"
PATH = f"/{REPO}/resolve/main/{FILE}"
LISTING = f"/api/models/{REPO}/tree/main"
TOKEN = "hf_abcdefghijklmnop"


def gguf(n, seed=1):
    return b"GGUF" + random.Random(seed).randbytes(n - 4)


@pytest.fixture
def hub():
    with Hub() as h:
        h.add(REPO, {FILE: gguf(300000), "model-q8_0.gguf": gguf(1000, 2),
                     "mmproj-model-f16.gguf": gguf(900, 3), "imatrix-q4_k_m.gguf": gguf(800, 4),
                     "README.md": b"#"})
        yield h


class Cli:
    def __init__(self, binary, folder, hub):
        self.binary, self.folder, self.hub = binary, folder, hub
        self.models = folder / "cache/paceline/models"
        kept = {k: v for k, v in os.environ.items()
                if "proxy" not in k.lower() and not k.startswith("HF_")}
        self.env = kept | {"HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache"),
                           "HF_ENDPOINT": hub.url}

    def command(self, *words):
        return [self.binary, *map(str, words)]

    def __call__(self, *words, env=(), **more):
        return subprocess.run(self.command(*words), env=self.env | dict(env), capture_output=True,
                              text=True, timeout=120, stdin=subprocess.DEVNULL, **more)

    def pull(self, *words, **more):
        return self("pull", "--retry-delay", "0.01", *words, **more)

    def start(self, *words):
        return subprocess.Popen(self.command("pull", "--retry-delay", "0.01", *words), env=self.env,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def files(self):
        """All files under the folder of models, by their path there."""
        return {str(p.relative_to(self.models)): p for p in self.models.rglob("*") if p.is_file()}


@pytest.fixture
def cli(build_dir, tmp_path, hub):
    return Cli(build_dir / "paceline", tmp_path, hub)


def check_pulled(cli, done, content, name=f"{REPO}/{FILE}"):
    assert done.returncode == 0, done.stderr
    path = cli.models / name
    assert done.stdout.splitlines()[-1] == str(path)
    assert path.read_bytes() == content
    assert not [f for f in cli.files() if ".part" in f or f.endswith(".tmp")]
    note = json.loads((cli.models / f"{name}.json").read_text())
    assert note["sha256"] == sha256(content) and note["size"] == len(content)
    return note


def check_refused(cli, done, *pieces, code=1):
    assert done.returncode == code, done.stderr
    assert not done.stdout
    for piece in pieces:
        assert piece in done.stderr, done.stderr
    assert not [f for f in cli.files() if f.endswith(".gguf")]


# ---- what a name means --------------------------------------------------------------------------

@pytest.mark.parametrize("name", [TAG, REPO, "hf.co/" + TAG, f"{REPO}:q4_k_m", f"{REPO}:{FILE}",
                                  f"https://huggingface.co/{REPO}/resolve/main/{FILE}?download=true",
                                  f"https://huggingface.co/{REPO}/blob/main/{FILE}"])
def test_names(cli, hub, name):
    note = check_pulled(cli, cli.pull(name), hub.files[PATH])
    assert note["verified"] and note["source"] == REPO and note["revision"] == "main"
    assert note["endpoint"] == hub.url
    assert len(hub.of(PATH)) == 1 and len(hub.requests) == 2


def test_quiet_and_plain_lines(cli):
    done = cli.pull(TAG)
    assert "\r" not in done.stderr and "\033" not in done.stderr
    assert "1 file, 300 kB" in done.stderr
    assert not cli.pull("--quiet", f"{REPO}:Q8_0").stderr


def test_all_parts_and_pages(cli, hub):
    names = [f"Q4_K_M/big-Q4_K_M-0000{i}-of-00003.gguf" for i in (1, 2, 3)]
    files = {name: gguf(50000 + i, i) for i, name in enumerate(names)}
    hub.add("some/big", files | {f"x{i}.txt": b"x" for i in range(20)})
    hub.page_size = 4
    done = cli.pull("some/big:Q4_K_M")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(cli.models / "some/big" / names[0])
    for name, content in files.items():
        assert (cli.models / "some/big" / name).read_bytes() == content
    assert len(hub.of("/api/models/some/big/tree/main")) == 6
    assert "3 files, 150 kB" in done.stderr


def test_a_missing_part(cli, hub):
    hub.add("some/big", {"b-Q4_0-00001-of-00002.gguf": gguf(100)})
    check_refused(cli, cli.pull("some/big"), "lists 1 of its 2 parts")


def test_redirects_without_end(cli, hub):
    hub.always[LISTING] = ("redirect", hub.url + "/loop")
    hub.always["/loop"] = ("redirect", "/loop", 307)
    check_refused(cli, cli.pull(TAG), "more than 10 redirects")
    assert len(hub.of("/loop")) == 10


@pytest.mark.parametrize("name,pieces", [
    (f"{REPO}:Q5_K_M", ["there is none", "Q4_K_M, Q8_0", FILE]),
    (f"{REPO}:other.gguf", ["there is none"]),
    ("nothing", ["OWNER/REPO"]),
    ("a/../b", ["OWNER/REPO"]),
    (f"{REPO}:../../x.gguf", ["neither a tag nor"]),
    ("https://user:pass@127.0.0.1/x.gguf", ["--token-file"]),
])
def test_wrong_names(cli, name, pieces):
    done = cli.pull(name)
    check_refused(cli, done, *pieces, code=2)
    assert "pass@" not in done.stderr


def test_revision(cli, hub):
    content = gguf(5000, 9)
    hub.add(REPO, {FILE: content}, revision="refs/pr/1")
    note = check_pulled(cli, cli.pull(TAG, "--revision", "refs/pr/1"), content)
    assert note["revision"] == "refs/pr/1"
    # the other revision's file is another one
    check_pulled(cli, cli.pull(TAG), hub.files[PATH])
    assert cli.pull(TAG, "--revision", "../x").returncode == 2


def test_endpoint_option(cli, hub):
    done = cli.pull(TAG, "--endpoint", hub.url + "/", env={"HF_ENDPOINT": "http://127.0.0.1:1"})
    check_pulled(cli, done, hub.files[PATH])
    for wrong in ("ftp://x", "x", "https://u:p@x", "https://x?y"):
        assert cli.pull(TAG, "--endpoint", wrong).returncode == 2


def test_a_listing_that_leads_outside(cli, hub):
    for path in ("../evil-Q4_K_M.gguf", "/tmp/evil-Q4_K_M.gguf", "a/../../../evil.gguf", ".x.gguf"):
        hub.listed[LISTING] = [{"type": "file", "path": path, "size": 10}]
        check_refused(cli, cli.pull(TAG), "refused")
    assert not list(cli.folder.rglob("*evil*"))


def test_what_is_no_listing(cli, hub):
    for body in (b"<html>", b"{}", b"[{}]"):
        hub.listed[LISTING] = body
        check_refused(cli, cli.pull(TAG), "listing")


# ---- files of any server ------------------------------------------------------------------------

def test_url(cli, hub):
    content = gguf(200000, 5)
    hub.files["/folder/x.gguf"] = content
    done = cli.pull(f"http://localhost:{hub.port}/folder/x.gguf?signature=SECRET")
    name = f"@localhost_{hub.port}/folder/x.gguf"
    note = check_pulled(cli, done, content, name)
    assert not note["verified"] and "SECRET" not in done.stderr + json.dumps(note)
    assert hub.requests[-1].path.endswith("?signature=SECRET")
    again = cli.pull(f"http://localhost:{hub.port}/folder/x.gguf")
    assert again.returncode == 0 and len(hub.requests) == 1


def test_url_of_parts(cli, hub):
    for i in (1, 2):
        hub.files[f"/x-0000{i}-of-00002.gguf"] = gguf(1000 + i, i)
    done = cli.pull(f"http://localhost:{hub.port}/x-00002-of-00002.gguf?a=b")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("x-00001-of-00002.gguf")
    assert [r.path for r in hub.requests] == ["/x-00001-of-00002.gguf?a=b",
                                              "/x-00002-of-00002.gguf?a=b"]


def test_url_without_length(cli, hub):
    hub.files["/x.gguf"] = gguf(120000)
    hub.scripts["/x.gguf"] = [("chunked",)]
    name = f"@localhost_{hub.port}/x.gguf"
    check_pulled(cli, cli.pull(f"http://localhost:{hub.port}/x.gguf"), hub.files["/x.gguf"], name)


def test_url_that_is_no_model(cli, hub):
    hub.files["/x.gguf"] = b"<html>please log in</html>"
    check_refused(cli, cli.pull(f"http://localhost:{hub.port}/x.gguf"), "no GGUF file")
    assert not cli.files()


def test_sha256_option(cli, hub):
    hub.files["/x.gguf"] = content = gguf(1000)
    url = f"http://localhost:{hub.port}/x.gguf"
    check_refused(cli, cli.pull(url, "--sha256", "0" * 64), "SHA-256", "nothing was kept")
    note = check_pulled(cli, cli.pull(url, "--sha256", sha256(content)), content,
                        f"@localhost_{hub.port}/x.gguf")
    assert note["verified"]
    assert cli.pull(url, "--sha256", "abc").returncode == 2


# ---- what goes wrong on the way -----------------------------------------------------------------

def test_goes_on_after_a_cut(cli, hub):
    hub.scripts[PATH] = [("cut", 100000), ("cut", 50000)]
    check_pulled(cli, cli.pull(TAG), hub.files[PATH])
    requests = hub.of(PATH)
    assert [r.range for r in requests] == [None, "bytes=100000-", "bytes=150000-"]
    assert requests[1].headers["If-Range"].startswith('"')


def test_a_stall_is_a_cut(cli, hub):
    hub.scripts[PATH] = [("stall", 70000)]
    done = cli.pull(TAG, "--stall-timeout", "1")
    check_pulled(cli, done, hub.files[PATH])
    assert [r.range for r in hub.of(PATH)] == [None, "bytes=70000-"]


def test_gives_up_and_goes_on_another_day(cli, hub):
    hub.scripts[PATH] = [("cut", 10000)] * 4
    done = cli.pull(TAG, "--retries", "3")
    check_refused(cli, done)
    assert len(hub.of(PATH)) == 4
    part = cli.models / REPO / (FILE + ".part")
    assert part.read_bytes() == hub.files[PATH][:40000]
    check_pulled(cli, cli.pull(TAG), hub.files[PATH])
    assert hub.of(PATH)[-1].range == "bytes=40000-"


def wait_for(condition):
    for _ in range(1500):
        if condition():
            return
        time.sleep(0.02)
    pytest.fail("what was waited for did not come within 30 s")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_in_the_middle(cli, hub, number):
    hub.scripts[PATH] = [("stall", 123456)]
    part = cli.models / REPO / (FILE + ".part")
    process = cli.start(TAG)
    wait_for(lambda: part.exists() and part.stat().st_size == 123456)
    assert not (cli.models / REPO / FILE).exists()
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == -number
    check_pulled(cli, cli.pull(TAG), hub.files[PATH])
    assert hub.of(PATH)[-1].range == "bytes=123456-"


def test_killed_at_the_very_end(cli, hub):
    """All bytes are there, only the name is not: nothing is asked for again."""
    hub.scripts[PATH] = [("cut", 300000 - 1)]
    cli.pull(TAG, "--retries", "0")
    part = cli.models / REPO / (FILE + ".part")
    part.write_bytes(hub.files[PATH])
    n = len(hub.of(PATH))
    check_pulled(cli, cli.pull(TAG), hub.files[PATH])
    assert len(hub.of(PATH)) == n


def test_a_damaged_part(cli, hub):
    """What lies in the part is hashed too: after the wrong sum all is fetched anew, once."""
    hub.scripts[PATH] = [("cut", 100000)]
    cli.pull(TAG, "--retries", "0")
    part = cli.models / REPO / (FILE + ".part")
    part.write_bytes(part.read_bytes()[:-1] + b"?")
    done = cli.pull(TAG)
    check_pulled(cli, done, hub.files[PATH])
    assert "once more from the start" in done.stderr
    assert [r.range for r in hub.of(PATH)] == [None, "bytes=100000-", None]


def test_a_part_without_its_note_is_not_believed(cli, hub):
    folder = cli.models / REPO
    folder.mkdir(parents=True)
    (folder / (FILE + ".part")).write_bytes(b"x" * 5000)
    check_pulled(cli, cli.pull(TAG), hub.files[PATH])
    assert hub.of(PATH)[0].range is None


def test_a_file_that_changes_between_attempts(cli, hub):
    """On the hub: its listing says so. The old part is of no use."""
    hub.scripts[PATH] = [("cut", 100000)]
    cli.pull(TAG, "--retries", "0")
    hub.add(REPO, {FILE: gguf(250000, 77)})
    check_pulled(cli, cli.pull(TAG), hub.files[PATH])
    assert hub.of(PATH)[-1].range is None


def test_a_url_that_changes_between_attempts(cli, hub):
    """The ETag says so: If-Range brings all of the new one."""
    hub.files["/x.gguf"] = gguf(200000, 5)
    hub.scripts["/x.gguf"] = [("cut", 100000)]
    url = f"http://localhost:{hub.port}/x.gguf"
    cli.pull(url, "--retries", "0")
    hub.files["/x.gguf"] = gguf(150000, 6)
    done = cli.pull(url)
    check_pulled(cli, done, hub.files["/x.gguf"], f"@localhost_{hub.port}/x.gguf")
    assert hub.requests[-1].headers["If-Range"] and "it has changed" in done.stderr


def test_a_url_without_an_etag_starts_anew(cli, hub):
    hub.files["/x.gguf"] = gguf(200000, 5)
    hub.etags["/x.gguf"] = ""
    hub.scripts["/x.gguf"] = [("cut", 100000)]
    check_pulled(cli, cli.pull(f"http://localhost:{hub.port}/x.gguf"), hub.files["/x.gguf"],
                 f"@localhost_{hub.port}/x.gguf")
    assert [r.range for r in hub.requests] == [None, None]


@pytest.mark.parametrize("step", [("etag", '"other"'), ("shift", -50000), ("shift", 10)])
def test_a_rest_of_another_file(cli, hub, step):
    """A server that answers 206 although If-Range does not hold, or with a range of its choice."""
    hub.scripts[PATH] = [("cut", 100000), step]
    done = cli.pull(TAG)
    check_pulled(cli, done, hub.files[PATH])
    assert "of another file" in done.stderr
    assert [r.range for r in hub.of(PATH)] == [None, "bytes=100000-", None]


def test_ranges_are_ignored(cli, hub):
    hub.scripts[PATH] = [("cut", 100000), ("ignore_range",)]
    done = cli.pull(TAG)
    check_pulled(cli, done, hub.files[PATH])
    assert "the server sends all of it" in done.stderr and len(hub.of(PATH)) == 2


def test_no_more_than_that(cli, hub):
    """416 where a rest should be: from the start."""
    hub.scripts[PATH] = [("cut", 100000), ("status", 416)]
    check_pulled(cli, cli.pull(TAG), hub.files[PATH])
    assert [r.range for r in hub.of(PATH)] == [None, "bytes=100000-", None]


def test_always_416(cli, hub):
    hub.always[PATH] = ("status", 416)
    check_refused(cli, cli.pull(TAG), "416")
    assert len(hub.of(PATH)) == 1


@pytest.mark.parametrize("status,piece", [(401, "HF_TOKEN"), (403, "HF_TOKEN"), (404, "no such"),
                                          (410, "410"), (418, "418")])
@pytest.mark.parametrize("path", [LISTING, PATH])
def test_lasting_answers(cli, hub, status, piece, path):
    hub.always[path] = ("status", status)
    check_refused(cli, cli.pull(TAG), str(status), piece)
    assert len(hub.of(path)) == 1 and not cli.files()


@pytest.mark.parametrize("path", [LISTING, PATH])
def test_passing_answers(cli, hub, path):
    hub.scripts[path] = [("status", 500), ("status", 503), ("status", 429)]
    done = cli.pull(TAG)
    check_pulled(cli, done, hub.files[PATH])
    assert len(hub.of(path)) == 4 and "try 3 of 5" in done.stderr


@pytest.mark.parametrize("path", [LISTING, PATH])
def test_patience_ends(cli, hub, path):
    hub.always[path] = ("status", 500)
    check_refused(cli, cli.pull(TAG, "--retries", "2"), "500")
    assert len(hub.of(path)) == 3


def test_retry_after(cli, hub):
    hub.scripts[PATH] = [("status", 429, {"Retry-After": "1"})]
    done = cli.pull(TAG)
    check_pulled(cli, done, hub.files[PATH])
    assert "try 1 of 5 in 1 s" in done.stderr
    hub.always[LISTING] = ("status", 429, {"Retry-After": "86400"})
    n = len(hub.of(LISTING))
    done = cli.pull(TAG)
    assert done.returncode == 1 and "86400 s" in done.stderr and len(hub.of(LISTING)) == n + 1


def test_nobody_there(cli, hub):
    done = cli.pull(TAG, "--endpoint", "http://127.0.0.1:1", "--retries", "1")
    check_refused(cli, done, "try 1 of 1", "127.0.0.1")


# ---- lies ---------------------------------------------------------------------------------------

def test_wrong_bytes(cli, hub):
    hub.always[PATH] = ("corrupt",)
    check_refused(cli, cli.pull(TAG), "SHA-256", "nothing was kept")
    assert len(hub.of(PATH)) == 1 and not cli.files()


def test_wrong_hash_in_the_listing(cli, hub):
    hub.listed[LISTING][1]["lfs"]["oid"] = "0" * 64
    check_refused(cli, cli.pull(TAG), "SHA-256")
    assert not cli.files()


@pytest.mark.parametrize("delta", [-1, 1, 100000])
def test_wrong_size_in_the_listing(cli, hub, delta):
    hub.listed[LISTING][1]["lfs"]["size"] += delta
    check_refused(cli, cli.pull(TAG), "300000 bytes", f"{300000 + delta} are wanted")


def test_more_than_was_said(cli, hub):
    hub.listed[LISTING][1]["lfs"]["size"] -= 1000
    hub.scripts[PATH] = [("chunked",)]          # no Content-Length to see it by
    check_refused(cli, cli.pull(TAG), "more than")


def test_less_than_was_said(cli, hub):
    """A length that the body never reaches: tried a bounded number of times, each from the end."""
    hub.listed[LISTING][1]["lfs"]["size"] += 1000
    hub.always[PATH] = ("chunked",)
    check_refused(cli, cli.pull(TAG, "--retries", "2"))
    assert len(hub.of(PATH)) == 3


@pytest.mark.parametrize("delta", [-1000, 1000])
def test_wrong_content_length(cli, hub, delta):
    hub.scripts[PATH] = [("length", delta)]
    check_refused(cli, cli.pull(TAG), "are wanted")


def test_wrong_rest(cli, hub):
    hub.scripts[PATH] = [("cut", 100000), ("total", 5)]
    check_refused(cli, cli.pull(TAG), "300005")
    assert len(hub.of(PATH)) == 2


# ---- tokens, redirects, proxies -----------------------------------------------------------------

def tokens(hub):
    return {r.token for r in hub.requests}


@pytest.mark.parametrize("source", ["HF_TOKEN", "--token-file", "cache"])
def test_token_sources(cli, hub, source):
    env, words = {}, []
    if source == "HF_TOKEN":
        env = {"HF_TOKEN": f" {TOKEN}\n"}
    elif source == "--token-file":
        (cli.folder / "token").write_text(TOKEN + "\n")
        words = ["--token-file", cli.folder / "token"]
        env = {"HF_TOKEN": "hf_another"}
    else:
        (cli.folder / "cache/huggingface").mkdir(parents=True)
        (cli.folder / "cache/huggingface/token").write_text(TOKEN)
    done = cli.pull(TAG, *words, env=env)
    check_pulled(cli, done, hub.files[PATH])
    assert tokens(hub) == {f"Bearer {TOKEN}"}
    assert TOKEN not in done.stdout + done.stderr
    assert not any(TOKEN in p.read_text(errors="replace") for p in cli.files().values())


def test_wrong_token_files(cli, hub):
    path = cli.folder / "token"
    for text in ("", "two words", "x" * 600, "a\nb", "\x01"):
        path.write_text(text)
        check_refused(cli, cli.pull(TAG, "--token-file", path), "token alone", code=2)
    check_refused(cli, cli.pull(TAG, "--token-file", "/nowhere/token"), "No such file", code=2)
    assert not hub.requests


def test_a_token_that_is_refused_is_not_printed(cli, hub):
    hub.always[LISTING] = ("status", 401)
    done = cli.pull(TAG, env={"HF_TOKEN": TOKEN})
    check_refused(cli, done, "does not accept the token")
    assert TOKEN not in done.stderr


def test_redirects_on_the_same_server_keep_the_token(cli, hub):
    hub.files["/store/x"] = hub.files[PATH]
    hub.always[PATH] = ("redirect", "/store/x", 307)
    check_pulled(cli, cli.pull(TAG, env={"HF_TOKEN": TOKEN}), hub.files[PATH])
    assert hub.of("/store/x")[0].token == f"Bearer {TOKEN}"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_to_another_server_do_not(cli, hub, host, status):
    """Another port is another server; and what led away once does not lead back with the token."""
    with Hub() as store:
        store.files["/x"] = hub.files[PATH]
        store.scripts["/x"] = [("redirect", hub.url + "/back", 302)]
        hub.always["/back"] = ("redirect", f"http://{host}:{store.port}/x", 302)
        hub.always[PATH] = ("redirect", f"http://{host}:{store.port}/x?sig=SECRET", status)
        done = cli.pull(TAG, env={"HF_TOKEN": TOKEN})
        check_pulled(cli, done, hub.files[PATH])
        assert hub.of(PATH)[0].token == f"Bearer {TOKEN}"
        assert tokens(store) == {None} and hub.of("/back")[0].token is None
        assert "SECRET" not in done.stderr


def test_the_same_port_of_another_name_is_another_server(cli, hub):
    hub.files["/x"] = hub.files[PATH]
    hub.always[PATH] = ("redirect", f"http://localhost:{hub.port}/x")
    check_pulled(cli, cli.pull(TAG, env={"HF_TOKEN": TOKEN}), hub.files[PATH])
    assert hub.of(PATH)[0].token and hub.of("/x")[0].token is None


def test_a_rest_is_asked_for_behind_redirects_too(cli, hub):
    hub.files["/x"] = hub.files[PATH]
    hub.scripts["/x"] = [("cut", 100000)]
    hub.always[PATH] = ("redirect", "/x")
    check_pulled(cli, cli.pull(TAG), hub.files[PATH])
    assert [r.range for r in hub.of("/x")] == [None, "bytes=100000-"]


def test_a_next_page_elsewhere_gets_no_token(cli, hub):
    with Hub() as other:
        other.listed[LISTING] = hub.listed[LISTING]
        hub.page_size, hub.next_base = 2, other.url
        check_pulled(cli, cli.pull(TAG, env={"HF_TOKEN": TOKEN}), hub.files[PATH])
        assert tokens(other) == {None} and tokens(hub) == {f"Bearer {TOKEN}"}


def test_a_hub_token_is_not_for_other_urls(cli, hub):
    hub.files["/x.gguf"] = gguf(1000)
    url = f"http://localhost:{hub.port}/x.gguf"
    assert cli.pull(url, env={"HF_TOKEN": TOKEN}).returncode == 0
    assert tokens(hub) == {None}
    assert cli("rm", "--yes", url).returncode == 0
    (cli.folder / "token").write_text(TOKEN)
    assert cli.pull(url, "--token-file", cli.folder / "token").returncode == 0
    assert hub.requests[-1].token == f"Bearer {TOKEN}"


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/x"])
def test_redirects_to_other_protocols(cli, hub, to):
    hub.always[PATH] = ("redirect", to)
    check_refused(cli, cli.pull(TAG))
    assert len(hub.of(PATH)) == 1


def test_proxy(cli, hub):
    """The environment's proxy is asked; and without encryption the token stays here."""
    with Hub() as proxy:
        base = "http://hub.invalid"
        for path, content in hub.files.items():
            proxy.files[base + path] = content
        proxy.always[base + LISTING] = ("redirect", hub.url + LISTING)
        env = {"http_proxy": proxy.url, "no_proxy": "127.0.0.1", "HF_TOKEN": TOKEN}
        done = cli.pull(TAG, "--endpoint", base, env=env)
        check_pulled(cli, done, hub.files[PATH])
        assert [r.path for r in proxy.requests] == [base + LISTING + "?recursive=true", base + PATH]
        assert tokens(proxy) == {None} and tokens(hub) == {None}


# ---- several at once, disks ---------------------------------------------------------------------

def test_two_pulls_of_one_file(cli, hub):
    hub.scripts[PATH] = [("stall", 100000)]
    first = cli.start(TAG)
    assert hub.stalled.wait(30)
    second = cli.pull(TAG)
    assert second.returncode == 1 and "another process is pulling it" in second.stderr
    assert cli("rm", "--yes", TAG).returncode == 1
    hub.release.set()
    out, errors = first.communicate(timeout=60)
    assert first.returncode == 0, errors
    assert (cli.models / REPO / FILE).read_bytes() == hub.files[PATH]
    assert len(hub.of(PATH)) == 2


def test_what_is_there_is_not_fetched_again(cli, hub):
    check_pulled(cli, cli.pull(TAG), hub.files[PATH])
    check_pulled(cli, cli.pull(TAG), hub.files[PATH])
    assert len(hub.of(PATH)) == 1
    (cli.models / REPO / (FILE + ".json")).unlink()     # known by its content then
    check_pulled(cli, cli.pull(TAG), hub.files[PATH])
    assert len(hub.of(PATH)) == 1
    (cli.models / REPO / (FILE + ".json")).unlink()
    (cli.models / REPO / FILE).write_bytes(gguf(300000, 8))     # somebody else's
    check_pulled(cli, cli.pull(TAG), hub.files[PATH])
    assert len(hub.of(PATH)) == 2


def test_a_new_version_replaces_the_old(cli, hub):
    check_pulled(cli, cli.pull(TAG), hub.files[PATH])
    old = hub.files[PATH]
    hub.add(REPO, {FILE: gguf(310000, 12)})
    hub.scripts[PATH] = [("status", 404)]
    assert cli.pull(TAG).returncode == 1
    assert (cli.models / REPO / FILE).read_bytes() == old       # until the new one is whole
    check_pulled(cli, cli.pull(TAG), hub.files[PATH])


def test_no_room(cli, hub):
    hub.listed[LISTING][1]["lfs"]["size"] = 10**17
    check_refused(cli, cli.pull(TAG), "are free", "--dir")
    assert not hub.of(PATH)
    done = cli.pull(f"{REPO}:Q8_0", preexec_fn=lambda: __import__("resource").setrlimit(
        __import__("resource").RLIMIT_FSIZE, (500, 500)))
    check_refused(cli, done, "ulimit -f")


def test_a_folder_that_cannot_be(cli):
    (cli.folder / "file").write_text("x")
    done = cli.pull(TAG, "--dir", cli.folder / "file/models")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    cli.models.mkdir(parents=True)
    (cli.models / "some").symlink_to(cli.folder)
    done = cli.pull(TAG)
    assert done.returncode == 1 and "links are not followed" in done.stderr
    assert not (cli.folder / "Model-GGUF").exists()


def test_dir_option(cli, hub):
    done = cli.pull(TAG, "--dir", cli.folder / "a/b/c/")
    assert done.stdout.strip() == str(cli.folder / "a/b/c" / REPO / FILE)
    assert cli("list", "--dir", cli.folder / "a/b/c").stdout.count(TAG) == 1
    assert TAG not in cli("list").stdout


# ---- list, rm, --model --------------------------------------------------------------------------

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
