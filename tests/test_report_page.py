"""Report pages in a real browser."""

import pathlib
import re
import shutil
import subprocess
import sys

import pytest

import tiny_models

sys.path.insert(0, str(pathlib.Path(__file__).parent / "server"))
from odd_server import OddServer  # noqa: E402


@pytest.fixture
def browser():
    names = "chromium", "chromium-browser", "google-chrome"
    found = next(filter(None, map(shutil.which, names)), None)
    assert found, "no Chromium: scripts/setup.sh --tests"

    def dump(page, tmp_path):
        """The page's elements after its script ran, and what it said on the console."""
        done = subprocess.run(
            [found, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
             f"--user-data-dir={tmp_path}/profile", "--virtual-time-budget=5000", "--dump-dom",
             page.as_uri()], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout, re.findall(r"CONSOLE.*", done.stderr)
    return dump


def test_a_plan_as_a_page(build_dir, tmp_path, browser):
    page = tmp_path / "plan.html"
    done = subprocess.run([build_dir / "paceline", "plan", "llama-3.1-8b", "--machine", "m4-pro-48",
                           "--html", page], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    text, console = browser(page, tmp_path)
    assert not console, console
    assert "<title>llama-3.1-8b Q4_K_M, 20 streams</title>" in text
    assert text.count("<canvas") >= 2 and text.count("<table") >= 7
    assert re.search(r'<td class="number">20</td>', text) and ">arithmetic</td>" in text


def test_what_a_model_is_called_is_text_not_markup(build_dir, tmp_path, browser):
    page = tmp_path / "x.html"
    name = '</script><script>document.title="owned"</script><b>'
    model = tiny_models.write(str(tmp_path / "x.gguf"), arch="llama", name=name)
    done = subprocess.run([build_dir / "paceline", "plan", model, "--parallel", "2", "--ctx-size",
                           "64", "--html", page], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    shown, console = browser(page, tmp_path)
    assert not console and "<title>owned" not in shown
    assert '<h1>&lt;/script&gt;&lt;script&gt;document.title="owned"' in shown


def test_a_load_as_a_page(build_dir, tmp_path, browser):
    page = tmp_path / "load.html"
    prompts = tmp_path / "prompts"
    prompts.write_text("good\nthree\nbroken\n")
    with OddServer(model="<b>odd</b>") as s:
        done = subprocess.run([build_dir / "paceline", "load", "--url", s.url, "--rate", "200",
                               "-n", "30", "--prompt-file", prompts, "--html", page],
                              capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "20 ok, 10 failed" in done.stdout, done.stderr
    text, console = browser(page, tmp_path)
    assert not console, console
    assert "<title>Load report</title>" in text and "&lt;b&gt;odd&lt;/b&gt;" in text
    assert text.count("<canvas") == 5 and text.count("<table") >= 3
    assert re.search(r'<td[^>]*>requests ok</td><td class="number">20</td>', text)
    assert re.search(r'<td[^>]*>HTTP 500</td><td class="number">10</td>', text)
