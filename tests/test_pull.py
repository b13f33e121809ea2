"""paceline pull against a hub of our own: what a name means, files of any server, several at
once."""

import json

import pytest

from hub import sha256
from pulling import (  # noqa: F401 (hub, cli: fixtures)
    check_pulled, check_refused, cli, FILE, gguf, HUB, hub, LISTING, PATH, REPO, TAG)


# ---- what a name means --------------------------------------------------------------------------

@pytest.mark.parametrize("name", [TAG, REPO, "hf.co/" + TAG, f"{REPO}:q4_k_m", f"{REPO}:{FILE}",
                                  f"{HUB}/{REPO}/resolve/main/{FILE}?download=true",
                                  f"{HUB}/{REPO}/blob/main/{FILE}"])
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


def test_a_listing_without_end(cli, hub):
    hub.listed[LISTING] = [{"type": "directory", "path": f"d{i}", "size": 0} for i in range(502)]
    hub.page_size = 1
    check_refused(cli, cli.pull(TAG), f"paceline: {TAG}: the hub's listing does not end")
    assert len(hub.of(LISTING)) == 500


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


# ---- several at once, disks ---------------------------------------------------------------------

def test_two_pulls_of_one_file(cli, hub):
    hub.scripts[PATH] = [("stall", 100000)]
    first = cli.start(TAG)
    assert hub.stalled.wait(120)
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
