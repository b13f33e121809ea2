"""paceline pull against a hub that cuts, stalls and lies."""

import signal

import pytest

from pulling import (  # noqa: F401 (hub, cli: fixtures)
    check_pulled, check_refused, cli, FILE, gguf, hub, LISTING, PATH, REPO, TAG, wait_for)


# ---- what goes wrong on the way -----------------------------------------------------------------

def test_goes_on_after_a_cut(cli, hub):
    hub.scripts[PATH] = [("cut", 100000), ("cut", 50000)]
    check_pulled(cli, cli.pull(TAG), hub.files[PATH])
    requests = hub.of(PATH)
    assert [r.range for r in requests] == [None, "bytes=100000-", "bytes=150000-"]
    assert requests[1].headers["If-Range"].startswith('"')


def test_a_stall_is_a_cut(cli, hub):
    hub.scripts[PATH] = [("stall", 70000)]
    done = cli.pull(TAG, "--stall-timeout", "3")
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


def test_tries_are_counted_anew_only_for_what_is_new(cli, hub):
    hub.add(REPO, {FILE: gguf(10_000_000)})
    hub.scripts[PATH] = [("cut", 9_000_000)] + [("cut", 1000)] * 9
    done = cli.pull(TAG, "--retries", "2")
    assert done.returncode == 1 and len(hub.of(PATH)) == 3, done.stderr
    assert cli.files()[f"{REPO}/{FILE}.part"].stat().st_size == 9_002_000


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
