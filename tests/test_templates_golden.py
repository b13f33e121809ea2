"""Chat templates: the models' own against reference prompts, and the Jinja of paceline against
Python's jinja2 as Hugging Face configures it."""

import datetime
import functools
import json
import os
import pathlib
import random
import subprocess
import sys

import gguf
import jinja2
import jinja2.ext
import jinja2.sandbox
import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/unit/text"))

from jinja_cases import REQUESTS, TEMPLATES  # noqa: E402
from render import Renderer  # noqa: E402

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "paceline"
CONTROL = 3  # gguf's type of control tokens


@pytest.fixture(scope="module")
def render():
    renderer = Renderer()
    yield renderer
    renderer.close()


class Model:
    def __init__(self, name):
        path = CACHE / f"{name}.gguf"
        assert path.exists(), f"{path} is missing: scripts/fetch_models.sh {name}"
        fields = gguf.GGUFReader(path).fields
        self.template = fields["tokenizer.chat_template"].contents()
        tokens = fields["tokenizer.ggml.tokens"].contents()
        kinds = fields["tokenizer.ggml.token_type"].contents()
        self.control = [t for t, kind in zip(tokens, kinds) if kind == CONTROL]


def golden_cases():
    cases = []
    for path in sorted((ROOT / "tests/golden").glob("*.templates.json")):
        model = path.name.removesuffix(".templates.json")
        for i, case in enumerate(json.loads(path.read_text())):
            cases.append(pytest.param(model, case, id=f"{model}-{i}-{case['case']}"))
    return cases


@functools.cache
def model_named(name):
    return Model(name)


@pytest.mark.parametrize("name, case", golden_cases())
def test_reference_prompt(render, name, case):
    model = model_named(name)
    request = {k: case[k] for k in ("messages", "tools", "add_generation_prompt")}
    plain = render(request, template=model.template)
    assert plain == {"text": case["prompt"], "guard": ""}

    guarded = render(request, template=model.template, control=model.control)
    assert guarded["text"].replace(guarded["guard"] or "\0", "") == case["prompt"]
    # What the guarded text still spells is the template's own: as much as for harmless words.
    harmless = json.loads(json.dumps(request).replace("<|", "<").replace("|>", ">"))
    expected = render(harmless, template=model.template)["text"]
    for token in model.control:
        assert guarded["text"].count(token) == expected.count(token), token


# ---- against Python --------------------------------------------------------------------------


class Generation(jinja2.ext.Extension):
    """{% generation %} as Hugging Face has it: what stands inside is written, in a scope of its
    own."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        call = self.call_method("_inside")
        return jinja2.nodes.CallBlock(call, [], [], body).set_lineno(line)

    @jinja2.pass_eval_context
    def _inside(self, context, caller):
        return caller()


class Refused(Exception):
    pass


def python_environment():
    def raise_exception(message):
        raise Refused(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                          sort_keys=sort_keys)

    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda f: datetime.datetime.now().strftime(f)
    return env


PYTHON = python_environment()
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}


def python_render(template, request):
    try:
        variables = {"tools": None, "documents": None, "add_generation_prompt": False, **TOKENS}
        return {"text": PYTHON.from_string(template).render(**{**variables, **request})}
    except (Refused, jinja2.TemplateError, TypeError, AttributeError) as e:
        return {"error": str(e)}


def shaped(request):
    """The request as paceline hands it to a template that takes objects as arguments."""
    request = json.loads(json.dumps(request))
    for message in request["messages"]:
        message["content"] = message.get("content") or ""
        for call in message.get("tool_calls", []):
            arguments = call["function"]["arguments"]
            if isinstance(arguments, str):
                call["function"]["arguments"] = json.loads(arguments)
    return request


@pytest.mark.parametrize("request_name", REQUESTS)
@pytest.mark.parametrize("template_name", TEMPLATES)
def test_equals_python(render, template_name, request_name):
    template, request = TEMPLATES[template_name], REQUESTS[request_name]
    want = python_render(template, shaped(request))
    got = render(request, template=template, bos="<s>", eos="</s>")
    if "error" in want:
        assert got.get("status") == "chat_template_error", got
        if template_name == "raise" and "alternate" in want["error"]:
            assert got["error"] == "chat template: " + want["error"]
    else:
        assert got == {"text": want["text"], "guard": ""}


def test_most_differential_cases_are_no_errors():
    results = [python_render(t, shaped(r)) for t in TEMPLATES.values() for r in REQUESTS.values()]
    assert sum("text" in r for r in results) > len(results) * 0.7


@pytest.mark.parametrize("name", ["smollm2-135m", "qwen2.5-coder-0.5b"])
@pytest.mark.parametrize("request_name", REQUESTS)
def test_model_template_equals_python(render, name, request_name):
    template = model_named(name).template
    want = python_render(template, shaped(REQUESTS[request_name]))
    got = render(REQUESTS[request_name], template=template, **{"bos": "<s>", "eos": "</s>"})
    if "error" in want:
        assert got.get("status") == "chat_template_error", got
    else:
        assert got == {"text": want["text"], "guard": ""}


def test_date(render):
    template = "{{ strftime_now('%d %b %Y %H') }}"
    for _ in range(2):  # an hour may end between the two
        want = python_render(template, {})["text"]
        got = render({"messages": []}, template=template)
        if got["text"] == want:
            return
    assert got["text"] == want


# ---- control tokens --------------------------------------------------------------------------

NAMES = ["<|a|>", "<b>", "|>|", "ab", "</a", "\uff5cb\uff5c"]


def test_no_strings_of_the_caller_spell_a_name(render):
    """Random strings side by side, trimmed or not, and beside the beginning of a name."""
    dice = random.Random(1)
    n_guarded = 0
    for _ in range(3000):
        pieces = ["".join(dice.choices("<|>ab/ \uff5c", k=dice.randrange(5))) for _ in range(4)]
        request = {"messages": pieces}
        joined = render(request, template="{{ messages | join }}", control=NAMES)
        assert joined["text"].replace(joined["guard"] or "\0", "") == "".join(pieces)
        assert not any(n in joined["text"] for n in NAMES), (pieces, joined)
        n_guarded += joined["guard"] != ""

        name = dice.choice(NAMES)
        start = name[: dice.randrange(1, len(name))]
        template = "{% for m in messages %}{{ start ~ (m | trim) }},{% endfor %}"
        beside = render(request, template=template.replace("start", json.dumps(start)),
                        control=NAMES)
        assert not any(n in beside["text"] for n in NAMES if n not in start), (start, pieces,
                                                                               beside)
    assert 1000 < n_guarded < 3000


def processor_time(render):
    """Seconds that the renderer has computed, whoever else uses the machine."""
    told = subprocess.run(["ps", "-o", "time=", "-p", str(render.process.pid)], check=True,
                          capture_output=True, text=True).stdout
    return functools.reduce(lambda sum, part: 60 * sum + float(part), told.strip().split(":"), 0)


def test_guard_is_fast_with_many_names(render):
    names = [f"<unused{i}>" for i in range(6000)]
    content = "<unused" * 20000 + "<" * 100000
    before = processor_time(render)
    got = render({"messages": [content]}, template="{{ messages[0] | length }}", control=names)
    assert got["text"] == str(len(content) + 1)
    assert processor_time(render) - before < 5, "6,000 names are not looked for one by one"


# ---- built-in templates ----------------------------------------------------------------------

CHAT = [
    {"role": "system", "content": "S"},
    {"role": "user", "content": "U"},
    {"role": "assistant", "content": "A"},
    {"role": "user", "content": "V"},
]
BUILTIN_PROMPTS = {
    "chatml": "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n"
    "<|im_start|>assistant\nA<|im_end|>\n<|im_start|>user\nV<|im_end|>\n<|im_start|>assistant\n",
    "llama2": "<s>[INST] <<SYS>>\nS\n<</SYS>>\n\nU [/INST] A </s><s>[INST] V [/INST]",
    "llama3": "<s><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|><|start_header_id|>user"
    "<|end_header_id|>\n\nU<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nA<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nV<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "gemma": "<s><start_of_turn>user\nS\n\nU<end_of_turn>\n<start_of_turn>model\nA<end_of_turn>\n"
    "<start_of_turn>user\nV<end_of_turn>\n<start_of_turn>model\n",
    "mistral": "<s>[INST] S\n\nU [/INST]A</s>[INST] V [/INST]",
    "zephyr": "<|system|>\nS</s>\n<|user|>\nU</s>\n<|assistant|>\nA</s>\n<|user|>\nV</s>\n"
    "<|assistant|>\n",
}


@pytest.mark.parametrize("name", BUILTIN_PROMPTS)
def test_builtin(render, name):
    request = {"messages": CHAT, "add_generation_prompt": True}
    got = render(request, builtin=name, bos="<s>", eos="</s>")
    assert got == {"text": BUILTIN_PROMPTS[name], "guard": ""}
