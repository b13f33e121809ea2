"""The page at / in a real browser, on a real server. Where a reply's own words matter, they are put
in the server's place; all else is what the server says."""

import gzip
import json
import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from browsing import Tab, chromium
from serving import Server

LONG = '{"ignore_eos": true}'
TOOL = [{"type": "function", "function": {"name": "add", "parameters": {
    "type": "object", "properties": {"x": {"enum": [1, 2]}}, "required": ["x"],
    "additionalProperties": False}}}]
THINKS = ("{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
          "<|im_start|>assistant\n<think>\n")


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def server(start_server):
    """SmolLM2 with 20 slots of up to 4096 tokens."""
    with start_server("--parallel", 20, "--ctx-size", 4096, "--kv-tokens", 16384) as s:
        yield s


@pytest.fixture
def new_tab(browser):
    """new_tab(url, **more) -> Tab, closed at the end; nothing may have gone wrong in it."""
    tabs = []

    def make(url, **more):
        tabs.append(Tab(browser, url, **more))
        return tabs[-1]
    yield make
    for tab in tabs:
        tab.close()
    assert [tab.problems for tab in tabs] == [[] for _ in tabs]


@pytest.fixture
def tab(new_tab, server):
    return new_tab(server.url)


# ---- how it is served

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def test_it_is_small_and_compressed(server):
    plain = server.request("GET", "/", headers=HTML)
    assert plain[0] == 200 and plain[1]["Content-Type"].startswith("text/html")
    for coding, accepted in (("br", "gzip, br"), ("gzip", "gzip, deflate"), (None, "br;q=0")):
        status, headers, body = server.request(
            "GET", "/", headers={**HTML, "Accept-Encoding": accepted})
        assert status == 200 and headers.get("Content-Encoding") == coding
        assert coding is None or len(body) < 250_000
        if coding == "gzip":
            assert gzip.decompress(body) == plain[2]
        again = server.request("GET", "/", headers={
            **HTML, "Accept-Encoding": accepted, "If-None-Match": headers["ETag"]})
        assert again[0] == 304 and not again[2] and again[1]["ETag"] == headers["ETag"]
        assert server.request("GET", "/", headers={**HTML, "If-None-Match": '"x"'})[0] == 200


def test_its_policy_lets_nothing_else_in(server):
    _, headers, body = server.request("GET", "/", headers=HTML)
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["connect-src"] == "'self'" and policy["require-trusted-types-for"] == "'script'"
    assert re.fullmatch(r"'sha256-[\w+/]{43}='", policy["script-src"])
    assert re.fullmatch(r"'sha256-[\w+/]{43}='", policy["style-src"])
    assert headers["X-Content-Type-Options"] == "nosniff"
    text = body.decode()
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=[\"']?https?:", text)


def test_others_get_json(server):
    for accept in ({}, {"Accept": "*/*"}, {"Accept": "application/json"}):
        assert server.request("GET", "/", headers=accept)[2]["name"] == "paceline"


def test_it_can_be_switched_off(start_server):
    for option in ("--no-page", "--no-webui"):
        with start_server("--ctx-size", 128, option) as s:
            assert s.request("GET", "/", headers=HTML)[2]["name"] == "paceline"


# ---- chats

def test_a_message_is_answered_as_it_comes(tab, server):
    tab.settings(Reply_tokens_at_most="300", More_parameters=LONG)
    tab.send("Tell me a long story.")
    expect(tab.page.locator(".message.user")).to_contain_text("Tell me a long story.")
    text = tab.replies().locator(".markdown")
    expect(text).to_contain_text(re.compile(r"\S"))
    first = text.inner_text()
    expect(tab.page.get_by_role("group", name="Messages")).to_have_attribute("aria-busy", "true")
    expect(text).not_to_have_text(first)
    tab.is_over()
    assert text.inner_text().startswith(first[:10])
    expect(tab.replies().locator(".figures")).to_contain_text("300 tokens")
    expect(tab.replies().locator(".end")).to_contain_text("Cut off")
    expect(tab.page.get_by_role("status")).to_have_text("The reply is complete.")
    assert tab.bodies[0]["messages"] == [{"role": "user", "content": "Tell me a long story."}]
    assert all(url.startswith(server.url) or url.startswith("data:") for url in tab.urls)


def test_a_reply_is_stopped_and_continued(tab, server):
    tab.settings(More_parameters=LONG)
    tab.send("Count.")
    expect(tab.replies().locator(".markdown")).to_contain_text(re.compile(r"\S"))
    tab.named("button", "Stop").click()
    expect(tab.replies().locator(".end")).to_have_text("Stopped.")
    assert server.wait_until(lambda: server.busy_slots() == 0)
    before = tab.replies().locator(".markdown").inner_text()
    tab.settings(Reply_tokens_at_most="8")
    tab.named("button", "Continue").click()
    expect(tab.replies().locator(".figures")).to_contain_text("8 tokens")
    assert tab.bodies[1]["messages"][1]["role"] == "assistant"
    expect(tab.replies()).to_have_count(1)
    assert len(tab.replies().locator(".markdown").inner_text()) > len(before)


def test_regenerate_asks_the_same_again(tab):
    tab.settings(Reply_tokens_at_most="5", System_prompt="Be brief.", Temperature="1.5")
    tab.send("Hello")
    tab.is_over()
    expect(tab.replies().locator(".figures")).to_have_count(1)
    with tab.page.expect_request("**/v1/chat/completions"):
        tab.named("button", "Regenerate").click()
    tab.is_over()
    expect(tab.replies()).to_have_count(1)
    expect(tab.replies().locator(".figures")).to_have_count(1)
    assert tab.bodies[0] == tab.bodies[1] == {
        "stream": True, "temperature": 1.5, "max_tokens": 5, "messages": [
            {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]}


def test_an_edited_message_takes_the_conversation_from_there(tab):
    tab.settings(Reply_tokens_at_most="5")
    for text in ("one", "two"):
        tab.send(text)
        tab.is_over()
    expect(tab.replies().locator(".figures")).to_have_count(2)
    tab.named("button", "Edit").first.click()
    area = tab.page.get_by_label("Edit the message")
    expect(area).to_be_focused()
    area.fill("three")
    area.press("Escape")
    expect(tab.page.locator(".message.user").first).to_contain_text("one")
    tab.named("button", "Edit").first.click()
    area.fill("three")
    area.press("Enter")
    tab.is_over()
    expect(tab.replies()).to_have_count(1)
    expect(tab.page.locator(".message.user")).to_have_count(1)
    assert tab.bodies[-1]["messages"] == [{"role": "user", "content": "three"}]


def test_twenty_panes_run_at_once_and_stop_one_by_one(tab, server):
    tab.settings(Reply_tokens_at_most="500", More_parameters=LONG)
    tab.page.get_by_label("Panes", exact=True).last.fill("20")
    tab.page.get_by_label("Panes", exact=True).last.press("Enter")
    expect(tab.page.locator(".pane")).to_have_count(20)
    tab.send("Write a poem.")
    assert server.wait_until(lambda: server.busy_slots() == 20)
    expect(tab.page.locator(".pane .markdown")).to_have_count(20)
    assert len(tab.bodies) == 1 and len(tab.bodies[0]["messages"]) == 20
    panes = tab.page.locator(".pane .markdown")     # so much is not the same by chance
    assert server.wait_until(lambda: min(map(len, panes.all_inner_texts())) > 40)
    third = tab.page.get_by_role("region", name="Pane 3", exact=True)
    third.get_by_role("button", name="Stop 3").click()
    expect(third.locator(".end")).to_have_text("Stopped.")
    assert server.wait_until(lambda: server.busy_slots() < 20)
    expect(tab.page.locator("[aria-busy=true]")).to_have_count(19)
    tab.named("button", "Stop").click()
    expect(tab.page.locator(".end")).to_have_count(20)
    assert server.wait_until(lambda: server.busy_slots() == 0)
    assert len(set(panes.all_inner_texts())) > 10        # each has a seed of its own


def test_a_pane_that_is_added_goes_on_from_the_last(tab):
    tab.settings(Reply_tokens_at_most="5")
    tab.send("Hello")
    tab.is_over()
    tab.named("button", "One pane more").click()
    expect(tab.replies()).to_have_count(2)
    second = tab.page.get_by_role("region", name="Pane 2", exact=True)
    second.get_by_role("button", name="Regenerate").click()
    tab.is_over()
    tab.named("button", "One pane less").click()
    expect(tab.replies()).to_have_count(1)
    tab.send("More")
    tab.is_over()
    assert len(tab.bodies[-1]["messages"]) == 3


def test_thoughts_stand_apart(start_server, new_tab, tmp_path):
    template = tmp_path / "thinks.jinja"
    template.write_text(THINKS)
    with start_server("--ctx-size", 2048, "--chat-template-file", template) as s:
        tab = new_tab(s.url)
        tab.settings(More_parameters=LONG)
        tab.send("Why?")
        thoughts = tab.replies().locator("details")
        expect(thoughts.locator("summary")).to_have_text("Thinking…")
        expect(thoughts).to_have_attribute("open", "")
        expect(thoughts.locator(".plain")).to_contain_text(re.compile(r"\S"))
        tab.named("button", "Stop").click()
        expect(thoughts.locator("summary")).to_have_text("Thoughts")
        expect(thoughts).not_to_have_attribute("open", "")
        thoughts.locator("summary").press("Enter")
        expect(thoughts).to_have_attribute("open", "")
        tab.answers_with({"reasoning_content": "hm"}, {"content": "So."})
        tab.named("button", "Regenerate").click()
        expect(tab.replies().locator(".markdown")).to_have_text("So.")
        expect(thoughts.locator(".plain")).to_have_text("hm")
        tab.close()


def test_calls_are_shown_and_their_results_sent(tab):
    more = json.dumps({"tool_choice": "required"})
    tab.settings(Tools=json.dumps(TOOL), More_parameters=more, Temperature="0")
    tab.send("Add 1.")
    call = tab.replies().locator(".call")
    expect(call).to_contain_text("add")
    assert json.loads(call.locator("pre").inner_text()) in ({"x": 1}, {"x": 2})
    tab.settings(More_parameters="", Reply_tokens_at_most="5")
    tab.page.get_by_label("Result of add").fill("3")
    tab.named("button", "Send results").click()
    tab.is_over()
    expect(tab.page.locator(".message.tool")).to_contain_text("3")
    expect(tab.replies()).to_have_count(2)
    sent = tab.bodies[-1]["messages"]
    assert sent[1]["tool_calls"][0]["function"]["name"] == "add"
    assert sent[2] == {"role": "tool", "tool_call_id": sent[1]["tool_calls"][0]["id"],
                       "content": "3"}


def test_settings_that_are_wrong_are_told(tab):
    tab.named("button", "Settings").click()
    tab.page.get_by_label("Tools", exact=True).fill("{")
    tab.named("button", "Save").click()
    expect(tab.page.get_by_role("alert")).to_contain_text("Tools: this is no JSON")
    tab.page.get_by_label("Tools", exact=True).fill("")
    tab.page.get_by_label("More parameters").fill('{"temperature": "hot"}')
    tab.named("button", "Save").click()
    tab.send("Hello")
    expect(tab.replies().get_by_role("alert")).to_contain_text("temperature")
    tab.problems[:] = [p for p in tab.problems if "400" not in p]


# ---- what is kept

def test_a_reload_keeps_what_was_said(tab):
    tab.settings(Reply_tokens_at_most="5", System_prompt="Be brief.")
    tab.send("Remember me")
    tab.is_over()
    expect(tab.replies().locator(".figures")).to_have_count(1)
    said = tab.replies().locator(".markdown").inner_text()
    expect(tab.named("button", "Remember me")).to_have_attribute("aria-current", "true")
    tab.page.reload()
    expect(tab.replies().locator(".markdown")).to_have_text(said)
    tab.named("button", "Settings").click()
    expect(tab.page.get_by_label("System prompt")).to_have_value("Be brief.")


def test_a_reload_in_the_middle_keeps_the_beginning(tab, server):
    tab.settings(More_parameters=LONG)
    tab.send("Go on and on")
    expect(tab.replies().locator(".markdown")).to_contain_text(re.compile(r"[\s\S]{20}"))
    begin = tab.replies().locator(".markdown").inner_text()[:8]
    tab.page.wait_for_timeout(2500)     # longer than what is said waits to be kept
    tab.page.reload()
    expect(tab.replies().locator(".end")).to_have_text("Stopped.")
    assert tab.replies().locator(".markdown").inner_text().startswith(begin)
    assert server.wait_until(lambda: server.busy_slots() == 0)


def test_chats_are_listed_opened_and_deleted(tab):
    tab.settings(Reply_tokens_at_most="3")
    for text in ("first", "second"):
        tab.named("button", "New chat").click()
        tab.send(text)
        tab.is_over()
        expect(tab.replies().locator(".figures")).to_have_count(1)
    tab.named("button", "first").click()
    expect(tab.page.locator(".message.user")).to_contain_text("first")
    tab.page.once("dialog", lambda d: d.accept())
    tab.named("button", "Delete first").click()
    expect(tab.named("button", "first")).to_have_count(0)
    expect(tab.page.locator(".message")).to_have_count(0)
    tab.page.reload()
    expect(tab.named("button", "second")).to_have_count(1)
    expect(tab.named("button", "first")).to_have_count(0)


# ---- what models write is hostile

HOSTILE = """# Title
<script>window.owned = 1</script><img src=x onerror="window.owned = 2">
<iframe src="https://evil.example/"></iframe><style>body { display: none }</style>

![a picture](https://evil.example/a.png) ![x](javascript:window.owned=3)
[one](javascript:window.owned=4) [two](JaVaScRiPt:window.owned=5) [three](data:text/html,x)
[four](vbscript:x) [five](https://good.example/?a=1&b="><script>window.owned=6</script>)
[six]( java\tscript:window.owned=7) <https://good.example/auto> <javascript:window.owned=8>

| a<b | <svg onload=window.owned=9> |
|---|---|
| `<b>` | **bold** |

```html"><script>window.owned=10</script>
<script>window.owned = 11</script>
```
- [x] done
"""


def test_hostile_markdown_is_harmless(tab, server):
    tab.answers_with({"content": HOSTILE})
    tab.send("Attack me")
    tab.is_over()
    reply = tab.replies().locator(".markdown")
    expect(reply.locator("h1")).to_have_text("Title")
    expect(reply.locator("table strong")).to_have_text("bold")
    for element in ("script", "img", "iframe", "style", "svg", "input", "[onerror]", "[onload]",
                    "[style]"):
        expect(reply.locator(element)).to_have_count(0)
    links = reply.locator("a")
    hrefs = [links.nth(i).get_attribute("href") for i in range(links.count())]
    assert hrefs == ["https://evil.example/a.png", None, "https://good.example/auto"]
    assert all(links.nth(i).get_attribute("rel") == "noopener noreferrer"
               for i in range(links.count()))
    expect(reply).to_contain_text("<script>window.owned = 11</script>")
    assert tab.page.evaluate("window.owned") is None
    assert all(u.startswith((server.url, "data:image/svg")) for u in tab.urls), tab.urls


@pytest.mark.parametrize("text", [
    "> " * 20000 + "deep", "[" * 50000, "*a _b " * 20000, "`" * 50000 + "a", "![" * 40000,
    "- " * 5000 + "x", "| a " * 20000 + "\n" + "|---" * 20000, "<" * 90000, "word " * 300_000,
    "```c\n" + "int x;\n" * 30_000,
], ids=range(10))
def test_huge_and_nested_markdown_is_shown(tab, text):
    tab.answers_with({"content": text})
    tab.send("Say much")
    tab.is_over()
    expect(tab.replies().locator(".markdown, .plain").first).to_be_attached()
    tab.answers_with({"content": "still **here**"})
    tab.send("And?")
    expect(tab.replies().last.locator("strong")).to_have_text("here")


# ---- the board

def test_the_board_tells_what_runs(tab, server):
    tab.settings(More_parameters=LONG)
    tab.send("Write much.")
    expect(tab.replies().locator(".markdown")).to_contain_text(re.compile(r"\S"))
    tab.named("link", "Board").click()
    tile = tab.page.locator(".tiles div")
    expect(tile.filter(has_text="Running")).to_contain_text("1 of 20")
    expect(tile.filter(has_text="Reply tokens")).to_contain_text(re.compile(r"[1-9][\d.,]*$"))
    expect(tab.page.locator(".slots tbody tr")).to_have_count(20)
    expect(tab.page.locator(".slots tr.is-busy")).to_contain_text("decode")
    expect(tab.page.locator("canvas")).to_have_count(5)
    streams = tab.page.get_by_role("img", name=re.compile("^Streams, now: "))
    expect(streams).to_have_attribute("aria-label", re.compile("running 1, queued 0, slots 20"))
    tab.named("link", "Chat").click()
    expect(tab.page.locator("[aria-busy=true]")).to_have_count(1)   # it went on meanwhile
    tab.named("button", "Stop").click()
    tab.named("link", "Board").click()
    expect(tile.filter(has_text="Running")).to_contain_text("0 of 20")


def test_a_board_without_metrics_says_so(start_server, new_tab):
    with start_server("--ctx-size", 128, "--no-metrics") as s:
        tab = new_tab(s.url)
        tab.named("link", "Board").click()
        expect(tab.page.get_by_role("alert")).to_contain_text("--no-metrics")
        expect(tab.page.locator(".slots tbody tr")).to_have_count(4)
        tab.problems[:] = [p for p in tab.problems if "501" not in p]
        tab.close()


# ---- keys, prefixes, servers that go

def test_a_key_is_asked_for_and_stays_in_the_tab(start_server, new_tab):
    with start_server("--ctx-size", 256, "--api-key", "secret") as s:
        tab = new_tab(s.url)
        key = tab.page.get_by_label("Key", exact=True)
        key.fill("wrong")
        key.press("Enter")
        expect(tab.page.get_by_role("dialog")).to_contain_text("does not take this key")
        key.fill("secret")
        key.press("Enter")
        expect(tab.page.get_by_role("dialog")).to_have_count(0)
        expect(tab.page.locator(".model")).to_contain_text("smollm2")
        tab.settings(Reply_tokens_at_most="3")
        tab.send("Hello")
        tab.is_over()
        expect(tab.replies().locator(".figures")).to_have_count(1)
        assert tab.page.evaluate("JSON.stringify(sessionStorage)").count("secret") == 1
        assert "secret" not in tab.page.evaluate("JSON.stringify(localStorage)")
        assert "secret" not in tab.page.url
        other = tab.context.new_page()
        other.goto(s.url + "/")
        expect(other.get_by_role("dialog")).to_contain_text("The server wants a key")
        tab.problems[:] = [p for p in tab.problems if "401" not in p]
        tab.close()


def test_it_works_below_a_prefix(build_dir, fetch_model, new_tab):
    s = Server(build_dir / "paceline", fetch_model("smollm2-135m"), "--ctx-size", 256,
               "--api-prefix", "/llm")
    try:
        def is_up():
            try:
                return s.request("GET", "/llm/health")[0] == 200
            except OSError:
                return False
        assert s.wait_until(is_up)
        tab = new_tab(s.url + "/llm")
        tab.settings(Reply_tokens_at_most="3")
        tab.send("Hello")
        expect(tab.replies().locator(".figures")).to_have_count(1)
        tab.page.goto(s.url + "/llm")       # without a slash at its end
        expect(tab.page.locator(".model")).to_contain_text("smollm2")
        tab.close()
    finally:
        s.stop()


def test_a_server_that_goes_and_comes_back(build_dir, fetch_model, new_tab):
    model, options = fetch_model("smollm2-135m"), ("--ctx-size", 2048, "--grace", 0)
    s = Server(build_dir / "paceline", model, *options).wait()
    try:
        tab = new_tab(s.url)
        tab.settings(More_parameters=LONG)
        tab.send("Go on")
        expect(tab.replies().locator(".markdown")).to_contain_text(re.compile(r"\S"))
        s.process.kill()
        s.process.wait()
        expect(tab.replies().get_by_role("alert")).to_have_text("The server cannot be reached.")
        expect(tab.page.locator(".banner")).to_contain_text("cannot be reached")
        tab.named("button", "Regenerate").click()
        expect(tab.replies().get_by_role("alert")).to_have_text("The server cannot be reached.")
        s.stop()
        s = Server(build_dir / "paceline", model, *options, port=s.port).wait()
        expect(tab.page.locator(".banner")).to_have_count(0)
        tab.settings(More_parameters="", Reply_tokens_at_most="3")
        tab.named("button", "Regenerate").click()
        expect(tab.replies().locator(".figures")).to_have_count(1)
        tab.problems.clear()        # the browser tells of every request that failed
        tab.close()
    finally:
        s.stop()


# ---- for everybody

def background(tab):
    return tab.page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_light_and_dark(new_tab, server):
    light, dark = (new_tab(server.url, color_scheme=name) for name in ("light", "dark"))
    in_light, in_dark = background(light), background(dark)
    assert in_light == "rgb(255, 255, 255)" and in_dark != in_light
    dark.page.get_by_label("Colours").select_option("light")
    assert background(dark) == in_light
    dark.page.reload()
    expect(dark.page.get_by_label("Colours")).to_have_value("light")
    assert background(dark) == in_light
    light.page.emulate_media(color_scheme="dark")
    assert background(light) == in_dark


def test_a_phone(new_tab, server):
    tab = new_tab(server.url, viewport={"width": 360, "height": 640}, has_touch=True)
    tab.settings(Reply_tokens_at_most="3")
    tab.answers_with({"content": "```\n" + "x" * 500 + "\n```\n| a | b |\n|---|---|\n| " +
                      "wide " * 100 + "| c |"})
    tab.send("Hello")
    expect(tab.replies().locator("pre")).to_be_visible()
    for view in ("Board", "Chat"):
        tab.named("link", view).click()
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= 360
    expect(tab.named("navigation", "Chats")).to_be_hidden()
    tab.named("button", "Chats").click()
    tab.named("button", "New chat").click()
    expect(tab.named("navigation", "Chats")).to_be_hidden()
    expect(tab.page.locator(".message")).to_have_count(0)
    expect(tab.message()).to_be_in_viewport()


def test_the_keyboard_alone(tab, server):
    keys = tab.page.keyboard

    def tab_to(name):
        for _ in range(60):
            keys.press("Tab")
            if tab.page.evaluate("document.activeElement.textContent") == name:
                return
        raise AssertionError(f"{name} is not reached")
    expect(tab.message()).to_be_focused()
    tab_to("Settings")
    keys.press("Enter")
    expect(tab.page.get_by_role("dialog")).to_be_visible()
    expect(tab.page.get_by_label("System prompt")).to_be_focused()
    keys.type("Be brief.")
    tab_to("Save")
    keys.press("Enter")
    expect(tab.page.get_by_role("dialog")).to_have_count(0)
    expect(tab.named("button", "Settings")).to_be_focused()
    keys.press("Enter")
    keys.press("Escape")
    expect(tab.page.get_by_role("dialog")).to_have_count(0)
    tab.settings(More_parameters=LONG)
    tab.message().focus()
    keys.type("one")
    keys.press("Shift+Enter")
    keys.type("two")
    keys.press("Enter")
    expect(tab.replies().locator(".markdown")).to_contain_text(re.compile(r"\S"))
    keys.press("Escape")
    expect(tab.replies().locator(".end")).to_have_text("Stopped.")
    assert tab.bodies[0]["messages"][1]["content"] == "one\ntwo"
    tab_to("Board")
    keys.press("Enter")
    expect(tab.page.locator("canvas")).to_have_count(5)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_that_matters(new_tab, server, scheme):
    # axe is a script of its own, which the page's policy would not let in
    tab = new_tab(server.url, color_scheme=scheme, bypass_csp=True)
    tab.answers_with({"reasoning_content": "hm"}, {"content": HOSTILE}, {"tool_calls": [
        {"index": 0, "id": "a", "function": {"name": "add", "arguments": '{"x": 1}'}}]},
        finish="tool_calls")

    def check():
        found = Axe().run(tab.page).response["violations"]
        serious = [v for v in found if v["impact"] in ("serious", "critical")]
        assert not serious, json.dumps(serious, indent=1)
    check()
    tab.send("Hello")
    tab.is_over()
    tab.named("button", "One pane more").click()
    check()
    tab.named("button", "Settings").click()
    check()
    tab.named("button", "Cancel").click()
    tab.named("link", "Board").click()
    expect(tab.page.locator(".slots tbody tr")).to_have_count(20)
    check()
    tab.page.set_viewport_size({"width": 360, "height": 640})
    tab.named("link", "Chat").click()
    tab.named("button", "Chats").click()
    check()
