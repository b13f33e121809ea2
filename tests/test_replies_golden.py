"""A seed's reply is the same from one version to the next: tests/golden/smollm2-135m.replies.json,
alone and all at once, in either order."""

import concurrent.futures
import json
import pathlib

import pytest

from golden.replies import SETTINGS, ask, requests
from serving import Server

GOLDEN = pathlib.Path(__file__).parent / "golden" / "smollm2-135m.replies.json"


@pytest.fixture(scope="module")
def server(build_dir, fetch_model):
    s = Server(build_dir / "paceline", fetch_model("smollm2-135m"), "--parallel", 8, "--ctx-size",
               256, "--queue-requests", 100).wait()
    yield s
    s.stop()


@pytest.fixture(scope="module")
def golden():
    return json.loads(GOLDEN.read_text())


def check(case, text):
    assert text == case["text"], case["request"]


def test_the_file_is_of_these_requests(golden):
    assert [case["request"] for case in golden] == list(requests())
    assert len(golden) > 2 * len(SETTINGS)
    of_one_prompt = {case["text"] for case in golden if case["request"]["prompt"].startswith("def")}
    assert len(of_one_prompt) > len(SETTINGS), "settings and seeds should make a difference"


def test_replies_alone(server, golden):
    for case in golden[::7]:
        check(case, ask(server, case["request"]))


@pytest.mark.parametrize("step", [1, -1])
def test_replies_among_others(server, golden, step):
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        texts = pool.map(lambda case: ask(server, case["request"]), golden[::step])
        for case, text in zip(golden[::step], texts):
            check(case, text)
