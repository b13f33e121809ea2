"""What OpenAI's clients send, in the shape that templates of each kind expect: ten templates a
kind."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "unit/text"))

from render import Renderer  # noqa: E402


@pytest.fixture(scope="module")
def render():
    renderer = Renderer()
    yield renderer
    renderer.close()


def say(role, content, **more):
    return {"role": role, "content": content, **more}


def chat(*messages, **more):
    return {"messages": list(messages), "add_generation_prompt": True, **more}


def text_of(result):
    assert "text" in result, result
    return result["text"]


def call(arguments, **message):
    return {"role": "assistant", **message, "tool_calls": [
        {"id": "call00001", "type": "function", "function": {"name": "f", "arguments": arguments}}]}


# ---- calls -----------------------------------------------------------------------------------

def with_calls(body):
    """A template that writes each call by `body`, in which c is its function."""
    return ("{% for m in messages %}[{{ m.role }}]{{ m.content }}{% for t in m.tool_calls or [] %}"
            "{% set c = t.function %}<call>" + body + "</call>{% endfor %}{% endfor %}")


WANT_OBJECTS = [with_calls(body) for body in (
    "{{ c.arguments | tojson }}",
    "{{ c | tojson }}",
    "{{ c.arguments | items | list | length }}{% for k, v in c.arguments | items %}{{ k }}={{ v "
    "}};{% endfor %}",
    "{% for k, v in c.arguments.items() %}<{{ k }}>{{ v }}</{{ k }}>{% endfor %}",
    "{% for k in c.arguments %}{{ k }}:{{ c.arguments[k] | tojson }}{% endfor %}",
    "{{ c.arguments if c.arguments is string else c.arguments | tojson }}",
    "{% if c.arguments is mapping %}{{ c.arguments | tojson(indent=2) }}{% else %}{{ c.arguments | "
    "tojson }}{% endif %}", "{% for k, v in c.arguments | dictsort %}{{ k }}({{ v }}){% endfor %}",
    "{% if c.arguments is not mapping %}{{ raise_exception('no mapping') }}{% endif %}{{ "
    "c.arguments | tojson }}",
    "{% set a = c.arguments %}{{ a.keys() | list | tojson }}{{ a.values() | list | tojson }}",
)]
WANT_TEXT = [with_calls(body) for body in (
    "{{ c.name + '(' + c.arguments + ')' }}",
    "{{ '\n```json\n' + c['arguments'] + '\n```' }}",
    "{% if c.arguments is not string %}{{ raise_exception('no text') }}{% endif %}{{ c.arguments "
    "}}", "{{ c.arguments.strip() }}",
    "{{ c.arguments }}",
    "{% if c.arguments.startswith('{') %}{{ c.arguments }}{% endif %}",
    "{{ c.arguments.replace('\n', ' ') }}",
    "{{ (c.name + ' ') ~ (c.arguments + '') }}",
    "{{ c.arguments[0:1] + c.arguments[1:] }}",
    "{% set a = c.arguments + '' %}{{ a }}",
)]
OBJECT = {"city": "Bonn <3", "n": 3, "deep": {"list": [1, 2.5, None, True, "é"]}}
TEXT = '{"city": "Bonn <3", "n": 3, "deep": {"list": [1, 2.5, null, true, "é"]}}'


def after_call(arguments):
    return chat(say("user", "q"), call(arguments, content=""),
                say("tool", "r", tool_call_id="call00001"))


@pytest.mark.parametrize("template", WANT_OBJECTS)
def test_arguments_become_objects(render, template):
    want = text_of(render(after_call(OBJECT), template=template))
    assert "city" in want and "\\\"" not in want
    assert render(after_call(TEXT), template=template)["text"] == want
    empty = text_of(render(after_call({}), template=template))
    for text in ("", " \n", "{}", " { } ", None):
        assert render(after_call(text), template=template)["text"] == empty, text


@pytest.mark.parametrize("template", WANT_TEXT)
def test_arguments_stay_text(render, template):
    want = text_of(render(after_call(TEXT), template=template))
    assert TEXT in want
    assert render(after_call(OBJECT), template=template)["text"] == want
    assert "{}" in text_of(render(after_call(""), template=template))


@pytest.mark.parametrize("text", ["not json", "[1]", '"x"', "3", '{"a":', '{"a": 1} x', "[" * 5000,
                                  '{"a":' * 5000])
def test_arguments_that_are_no_object_stay(render, text):
    assert text in text_of(render(after_call(text), template=WANT_TEXT[4]))
    got = text_of(render(after_call(text),
                         template=with_calls("{{ c.arguments }}{{ c.arguments is string }}")))
    assert text + "True" in got


def test_names_in_arguments_are_guarded_after_they_are_read(render):
    request = after_call('{"a": "\\u003c|im_end|>", "<|im_end|>": 1}')
    got = render(request, template=WANT_OBJECTS[0], control=["<|im_end|>"])
    assert "<|im_end|>" not in got["text"]
    assert got["text"].replace(got["guard"], "").count("<|im_end|>") == 2


def test_old_calls(render):
    old = chat(say("user", "q"), {"role": "assistant", "content": None,
                                  "function_call": {"name": "f", "arguments": TEXT}},
                                  say("function", "r", name="f"))
    template = ("{% for m in messages %}{% if m.role in ['user', 'assistant', 'tool'] %}{{ m.role "
                "}} {{ m.content }}{% for t in m.tool_calls or [] %}{{ t.function | tojson }}{% "
                "endfor %}{% endif %}\n{% endfor %}")
    got = text_of(render(old, template=template))
    assert '"name": "f", "arguments": {"city"' in got and "tool r" in got


def test_large_numbers_in_arguments(render):
    text = '{"a": 18446744073709551615, "b": 1e22, "c": 12345678901234567890123}'
    got = text_of(render(after_call(text), template=WANT_OBJECTS[0]))
    assert '"a": 18446744073709551615, "b": 1e+22, "c": 12345678901234567890123' in got


# ---- content ---------------------------------------------------------------------------------

TEXTS = [
    "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content }}{% endfor %}",
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}",
    "{% for m in messages %}<|{{ m.role }}|>{% if '</think>' in m.content %}x{% endif %}{{ "
    "m.content }}{% endfor %}",
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content.split('</think>')[-1] }}{% endfor %}",
    "{% for m in messages %}<|{{ m.role }}|>{{ m['content'] | trim }}{% endfor %}",
    "{% for m in messages %}<|{{ m.role }}|>{% if m.content is defined %}{{ m.content }}{% endif "
    "%}{% endfor %}", "{% for m in messages %}{{ m.role ~ ': ' ~ m.content }}{% endfor %}",
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content | length }}{{ m.content }}{% endfor %}",
    "{% for m in messages %}{% set c = m.content.lstrip('\n') %}<|{{ m.role }}|>{{ c }}{% endfor "
    "%}", "{% for m in messages %}<|{{ m.role }}|>{{ m.content | replace('x', 'y') }}{% endfor %}",
]


@pytest.mark.parametrize("template", TEXTS)
def test_null_and_missing_content_are_none(render, template):
    template = template.replace("{% endfor %}",
                                "{% if m.tool_calls %}[{{ m.tool_calls[0].function.name }}]{% "
                                "endif %}{% endfor %}")
    first = say("user", "q")
    want = text_of(render(chat(first, call("{}", content="")), template=template))
    assert "[f]" in want and "None" not in want
    for content in ({"content": None}, {}):
        assert render(chat(first, call("{}", **content)), template=template)["text"] == want
    plain = text_of(render(chat(first, say("assistant", ""), first), template=template))
    sdk = {"role": "assistant", "content": None, "refusal": None, "tool_calls": None,
           "function_call": None, "audio": None}
    assert render(chat(first, sdk, first), template=template)["text"] == plain


def part(text):
    return {"type": "text", "text": text}


@pytest.mark.parametrize("template", TEXTS)
def test_parts_become_lines(render, template):
    want = text_of(render(chat(say("user", "First.\nSecond.")), template=template))
    assert render(chat(say("user", [part("First."), part("Second.")])),
                  template=template)["text"] == want


def test_refusals_are_said(render):
    for message in ({"role": "assistant",
                     "content": [{"type": "refusal", "refusal": "I will not."}]},
                    {"role": "assistant", "content": None, "refusal": "I will not."}):
        got = text_of(render(chat(say("user", "q"), message, say("user", "r")), template=TEXTS[0]))
        assert got == "<|user|>q<|assistant|>I will not.<|user|>r"


TAKE_PARTS = [
    "{% for m in messages %}<|{{ m.role }}|>" + body + "{% endfor %}" for body in (
        "{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}{{ p.text "
        "}}{% endfor %}{% endif %}",
        "{% for p in m.content %}{% if p.type == 'text' %}{{ p.text }}{% endif %}{% endfor %}",
        "{% for p in m.content | selectattr('type', 'equalto', 'text') %}{{ p['text'] }}{% endfor "
        "%}", "{{ m.content | map(attribute='text') | join('') }}",
        "{% if m.content is iterable and m.content is not string %}{% for p in m.content %}{{ "
        "p.text | trim }}{% endfor %}{% else %}{{ m.content }}{% endif %}",
    )]


@pytest.mark.parametrize("template", TAKE_PARTS)
def test_parts_stay_where_they_are_wanted(render, template):
    got = text_of(render(chat(say("user", [part("First."), part("Second.")])), template=template))
    assert got == "<|user|>First.Second."
    # and a text becomes a part where only parts are printed
    assert text_of(render(chat(say("user", "Text.")), template=template)) == "<|user|>Text."


def test_one_part_is_all_that_is_printed(render):
    template = "{% for m in messages %}<|{{ m.role }}|>{{ m.content[0].text }}{% endfor %}"
    got = text_of(render(chat(say("user", [part("First."), part("Second.")])), template=template))
    assert got == "<|user|>First.\nSecond."


# ---- roles -----------------------------------------------------------------------------------

NO_DEVELOPER = [
    "{% for m in messages %}{% if m.role in ['system', 'user', 'assistant'] %}<|{{ m.role }}|>{{ "
    "m.content }}{% endif %}{% endfor %}",
    "{% for m in messages %}{% if m.role == 'system' %}S:{{ m.content }}{% elif m.role == 'user' "
    "%}U:{{ m.content }}{% elif m.role == 'assistant' %}A:{{ m.content }}{% endif %}{% endfor %}",
    "{% if messages[0].role == 'system' %}S:{{ messages[0].content }}{% endif %}{% for m in "
    "messages %}{% if m.role == 'user' %}U:{{ m.content }}{% endif %}{% endfor %}",
    "{% for m in messages %}{% if m.role not in ['system', 'user', 'assistant'] %}{{ "
    "raise_exception('unknown role ' + m.role) }}{% endif %}<|{{ m.role }}|>{{ m.content }}{% "
    "endfor %}",
    "{% set s = messages | selectattr('role', 'equalto', 'system') | list %}{% for m in s %}S:{{ "
    "m.content }}{% endfor %}{% for m in messages if m.role == 'user' %}U:{{ m.content }}{% endfor "
    "%}",
]
NO_SYSTEM = [
    "{% for m in messages %}{% if m.role == 'user' %}U:{{ m.content }}{% elif m.role == "
    "'assistant' %}A:{{ m.content }}{% endif %}{% endfor %}",
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% "
    "endif %}{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}",
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ "
    "raise_exception('roles must alternate') }}{% endif %}<{{ m.role }}>{{ m.content }}{% endfor "
    "%}", "{% for m in messages if m.role != 'system' %}<{{ m.role }}>{{ m.content }}{% endfor %}",
    "{% for m in messages %}{% if m.role == 'user' or m.role == 'assistant' %}<{{ m.role }}>{% for "
    "p in m.content %}{{ p.text }}{% endfor %}{% endif %}{% endfor %}",
]


@pytest.mark.parametrize("template", NO_DEVELOPER)
def test_developer_is_system(render, template):
    want = text_of(render(chat(say("system", "In French."), say("user", "hi")), template=template))
    assert "In French." in want
    assert render(chat(say("developer", "In French."), say("user", "hi")),
                  template=template)["text"] == want


def test_developer_stays_where_it_is_known(render):
    template = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"
    assert text_of(render(chat(say("developer", "d"), say("user", "u")),
                          template=template)) == "<|developer|>d<|user|>u"


@pytest.mark.parametrize("role", ["system", "developer"])
@pytest.mark.parametrize("template", NO_SYSTEM)
def test_system_goes_before_the_user(render, template, role):
    want = text_of(render(chat(say("user", "Be brief.\nhi"), say("assistant", "a"),
                               say("user", "b")), template=template))
    got = render(chat(say(role, "Be brief."), say("user", "hi"), say("assistant", "a"),
                      say("user", "b")), template=template)
    assert "Be brief." in text_of(got)
    if "<developer>" not in got["text"]:    # printed under its own name
        assert got["text"].replace("\n", "") == want.replace("\n", "")
    assert "Be brief." in text_of(render(chat(say(role, "Be brief.")), template=template))


def test_system_between_turns_is_not_lost(render):
    template = NO_DEVELOPER[2]
    got = text_of(render(chat(say("system", "A"), say("user", "b"), say("system", "C"),
                              say("user", "d")), template=template))
    assert got == "S:AU:bU:C\nd"


@pytest.mark.parametrize("role", ["critic", "wizard", "ipython", "tool"])
@pytest.mark.parametrize("template", NO_DEVELOPER + NO_SYSTEM)
def test_other_roles_are_told_of(render, template, role):
    got = render(chat(say("user", "hi"), say(role, "What was said.")), template=template)
    if "error" in got:
        assert got["status"] in ("invalid_parameter", "chat_template_error")
        if got["status"] == "invalid_parameter":
            assert f'"{role}"' in got["error"] and "messages[1]" in got["error"]
    else:
        assert "What was said." in got["text"]


# ---- named templates -------------------------------------------------------------------------

@pytest.mark.parametrize("tools",
                         [None, [], [{"type": "function", "function": {"name": "weather"}}]])
def test_tools_choose_their_template(render, tools):
    got = text_of(render(chat(say("user", "hi"), tools=tools), template=TEXTS[1],
                         tool_use="TOOLS {{ tools | tojson }}{{ messages[0].content }}"))
    assert got == ('TOOLS [{"type": "function", "function": {"name": "weather"}}]hi' if tools
                   else "<|user|>hi")


# ---- channels ----------------------------------------------------------------------------------

# A template of the shape that gpt-oss has: macros that call each other, a date, a developer's
# message, tools as types, calls whose arguments are objects or text, the last answer alone final.
CHANNELS = """
{%- macro type_of(spec) -%}
  {%- if spec.type == "array" -%}{{ type_of(spec["items"]) }}[]
  {%- elif spec.enum -%}
    {%- for e in spec.enum -%}"{{ e }}"{{ " | " if not loop.last }}{%- endfor -%}
  {%- elif spec.type == "object" and spec.properties -%}{
    {%- for name, of in spec.properties.items() -%}
      {{ name }}{{ "?" if name not in (spec.required or []) }}: {{ type_of(of) }}
      {{- ", " if not loop.last }}
    {%- endfor -%} }
  {%- else -%}{{ spec.type | default("any") }}{%- endif -%}
{%- endmacro -%}
{%- macro system() -%}
  {{- "You are ChatGPT.\\nCurrent date: " + strftime_now("%Y-%m-%d") + "\\n" -}}
  {{- "# Valid channels: analysis, commentary, final." -}}
{%- endmacro -%}
<|start|>system<|message|>{{ system() }}<|end|>
{%- set ns = namespace(call=none, rest=messages) -%}
{%- if messages[0].role in ["system", "developer"] -%}
  {%- set ns.rest = messages[1:] -%}
  <|start|>developer<|message|># Instructions{{ "\\n\\n" + messages[0].content }}
  {%- for t in tools or [] -%}
    {{- "\\ntype " + t.function.name + " = (_: " + type_of(t.function.parameters) + ") => any;" -}}
  {%- endfor -%}<|end|>
{%- endif -%}
{%- for m in ns.rest -%}
  {%- if m.role == "assistant" and m.tool_calls -%}
    {%- set ns.call = m.tool_calls[0].function -%}
    {%- if m.content -%}<|start|>assistant<|channel|>analysis<|message|>{{ m.content }}<|end|>
    {%- endif -%}
    <|start|>assistant to=functions.{{ ns.call.name }}<|channel|>commentary json<|message|>
    {{- ns.call.arguments | tojson }}<|call|>
  {%- elif m.role == "tool" -%}
    {%- if ns.call is none -%}{{ raise_exception("a result without a call") }}{%- endif -%}
    <|start|>functions.{{ ns.call.name }} to=assistant<|message|>{{ m.content | tojson }}<|end|>
  {%- elif m.role == "assistant" -%}
    <|start|>assistant<|channel|>final<|message|>{{ m.content }}
    {{- "<|return|>" if loop.last and not add_generation_prompt else "<|end|>" }}
  {%- else -%}<|start|>{{ m.role }}<|message|>{{ m.content }}<|end|>
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}<|start|>assistant{%- endif -%}
"""


def test_channels_and_types_of_tools(render):
    spec = {"type": "object", "required": ["city"], "properties": {
        "city": {"type": "string"}, "units": {"type": "array", "items": {"enum": ["C", "F"]}}}}
    tools = [{"type": "function", "function": {"name": "weather", "parameters": spec}}]
    got = text_of(render(chat(say("system", "Be brief."), say("user", "Paris?"),
                              call('{"city": "Paris"}', content=""), say("tool", "mild"),
                              say("assistant", "Mild."), say("user", "And now?"), tools=tools),
                         template=CHANNELS))
    head, rest = got.split("<|end|>", 1)
    date = head.split("date: ")[1].split("\n")[0]
    assert len(date) == 10 and date[4] == date[7] == "-"
    assert rest == (
        '<|start|>developer<|message|># Instructions\n\nBe brief.\n'
        'type weather = (_: {city: string, units?: "C" | "F"[]}) => any;<|end|>'
        '<|start|>user<|message|>Paris?<|end|>'
        '<|start|>assistant to=functions.f<|channel|>commentary json<|message|>{"city": "Paris"}'
        '<|call|><|start|>functions.f to=assistant<|message|>"mild"<|end|>'
        '<|start|>assistant<|channel|>final<|message|>Mild.<|end|>'
        '<|start|>user<|message|>And now?<|end|><|start|>assistant')
