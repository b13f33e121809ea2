"""Chromium for tests of pages, driven by Playwright: the system's own, none is fetched."""

import contextlib
import json
import shutil

from playwright.sync_api import expect, sync_playwright

expect.set_options(timeout=300_000)     # machines are shared: a state is waited for


@contextlib.contextmanager
def chromium():
    names = "chromium", "chromium-browser", "google-chrome"
    found = next(filter(None, map(shutil.which, names)), None)
    assert found, "no Chromium: scripts/setup.sh --tests"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """The chat page in a browser of its own; what goes wrong in it is kept in `problems`, and
    where its requests go in `urls`."""

    def __init__(self, browser, url, **more):
        self.context = browser.new_context(**more)
        self.context.set_default_timeout(300_000)
        self.problems, self.urls, self.bodies = [], [], []
        self.url = url
        self.page = self.context.new_page()
        self.page.on("console", lambda m: m.type == "error" and self.problems.append(m.text))
        self.page.on("pageerror", lambda e: self.problems.append(str(e)))
        self.page.on("request", self._keep)
        self.page.goto(url + "/")

    def _keep(self, request):
        self.urls.append(request.url)
        if request.url.endswith("/v1/chat/completions"):
            self.bodies.append(request.post_data_json)

    def named(self, role, name, **more):
        return self.page.get_by_role(role, name=name, exact=True, **more)

    def message(self):
        return self.page.get_by_label("Message", exact=True)

    def send(self, text):
        self.message().fill(text)
        self.message().press("Enter")

    def replies(self):
        return self.page.locator(".message.assistant")

    def is_over(self):
        """Waits until no pane is busy."""
        expect(self.page.locator("[aria-busy=true]")).to_have_count(0)

    def settings(self, **values):
        """By label."""
        self.named("button", "Settings").click()
        for label, value in values.items():
            self.page.get_by_label(label.replace("_", " "), exact=True).fill(value)
        self.named("button", "Save").click()
        expect(self.page.get_by_role("dialog")).to_have_count(0)

    def answers_with(self, *deltas, finish="stop"):
        """From now on replies are these, whatever the server would say."""
        chunks = [{"id": "chatcmpl-x", "choices": [{"index": 0, "delta": d, "finish_reason": None}]}
                  for d in deltas]
        chunks.append({"id": "chatcmpl-x", "choices": [{"index": 0, "delta": {},
                                                        "finish_reason": finish}]})
        body = "".join(f"data: {json.dumps(c)}\n\n" for c in chunks) + "data: [DONE]\n\n"
        self.page.route("**/v1/chat/completions", lambda route: route.fulfill(
            status=200, content_type="text/event-stream", body=body))

    def close(self):
        self.context.close()
