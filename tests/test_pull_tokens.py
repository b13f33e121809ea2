"""paceline pull: whom a token is shown, where redirects lead, proxies."""

import pytest

from hub import Hub
from pulling import (  # noqa: F401 (hub, cli: fixtures)
    check_pulled, check_refused, cli, gguf, hub, LISTING, PATH, TAG, TOKEN)


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
