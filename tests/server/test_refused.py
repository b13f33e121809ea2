"""Members that change a reply and are not supported: refused by name, and all of them in the
docs."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
NAMES = re.findall(r'\.name = "(\w+)"', (ROOT / "src/server/request_refused.c").read_text())
ASK = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}


def test_the_table_is_read():
    assert len(NAMES) > 70 and "smoothing_factor" in NAMES and "use_beam_search" in NAMES


def test_docs_name_every_refused_member():
    docs = (ROOT / "docs/api.md").read_text()
    assert [n for n in NAMES if f"`{n}`" not in docs] == []


@pytest.mark.parametrize("name", sorted(set(NAMES)))
def test_null_is_taken_and_nonsense_is_not(server, name):
    assert server.post("/v1/chat/completions", {**ASK, name: None})[0] == 200
    status, _, reply = server.post("/v1/chat/completions", {**ASK, name: {"no": "sense"}})
    assert status == 400 and reply["error"]["param"] == name and name in reply["error"]["message"]


def test_a_client_that_sends_all_its_settings_is_served(server):
    """Neutral values of every sampler, as clients of llama-server send them with each request."""
    settings = {
        "n_predict": -1, "stop": [],
        "samplers": ["penalties", "dry", "top_n_sigma", "top_k", "typ_p",
                                                  "top_p", "min_p", "xtc", "temperature"],
        "dynatemp_range": 0, "dynatemp_exponent": 1, "xtc_probability": 0, "xtc_threshold": 0.1,
        "repeat_last_n": 64, "dry_multiplier": 0, "dry_base": 1.75, "dry_allowed_length": 2,
        "dry_penalty_last_n": -1, "dry_sequence_breakers": ["\n", ":"], "mirostat": 0,
        "mirostat_tau": 5, "mirostat_eta": 0.1, "grammar": "", "json_schema": {}, "logit_bias": [],
        "n_probs": 0, "min_keep": 0, "seed": 4294967295, "ignore_eos": False, "cache_prompt": True,
        "id_slot": -1, "lora": [], "top_n_sigma": -1, "typical_p": 1, "response_format": {},
        "t_max_predict_ms": -1, "n_keep": 0, "n_discard": 0, "timings_per_token": True,
    }
    assert server.post("/v1/chat/completions", {**settings, **ASK})[0] == 200
    prompt = {"prompt": "Hi", "max_tokens": 1, "suffix": "", "best_of": 0, "echo": False}
    assert server.post("/v1/completions", {**settings, **prompt})[0] == 200
