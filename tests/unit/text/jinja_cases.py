"""What the differential test renders: the constructs that published chat templates use, each in a
template of its own, and conversations that take their branches."""

TEMPLATES = {
    "chatml": """{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' +
message['content'] + '<|im_end|>' + '\n'}}{% endfor %}
{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}""",
    "white space": """
  {%- for m in messages %}
    {# a comment #}
    {%- if loop.first -%}  first   {%- endif %}
  [{{- m.role -}}]
      {% if not loop.last %}
  more
      {% else %}
  end
      {% endif %}
  {%- endfor +%}
  tail {{ 'x' }}

""",
    "trailing newline": "{% if true %}\na\n{% endif %}\n\n",
    "loop": """{% for m in messages %}{{ loop.index }}/{{ loop.index0 }}/{{ loop.length }}/{{
loop.revindex }}/{{ loop.revindex0 }} {{ loop.first }} {{ loop.last }} {{ loop.cycle('a', 'b') }} {{
loop.depth }}{% if loop.previtem is defined %} after {{ loop.previtem.role }}{% endif %}{%
if loop.nextitem is defined and loop.nextitem.role == 'user' %} then a user{% endif %}
{% else %}none{% endfor %}""",
    "break and continue": """{% for m in messages %}{% if m.role == 'system' %}{% continue %}{%
endif %}{% if loop.index > 3 %}{% break %}{% endif %}{{ m.role }};{% endfor %}""",
    "loop filter": "{% for m in messages if m.role != 'system' %}{{ loop.index }}{{ m.role }} {% "
                   "endfor %}",
    "namespace": """{% set ns = namespace(n=0, last='', found=false) %}{% for m in messages[::-1]
%}{% if m.role == 'user' and not ns.found %}{% set ns.found = true %}{% set ns.last = m.content %}{%
endif %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }} {{ ns.found }} {{ ns.last }}{%
for m in messages %}{{ m.content }}{% endfor %}""",
    "scopes": """{% set x = 1 %}{% for m in messages %}{% set x = x + 1 %}{{ x }}{% endfor %}{{ x
}}{% if true %}{% set x = 9 %}{% endif %}{{ x }}""",
    "set block": """{% set text %}  <{{ messages | length }}>
{% for m in messages %}{{ m.role }},{% endfor %}{% endset %}{{ text | trim }}{{ text | length }}""",
    "filter block": "{% filter upper %}{{ messages[0].role }} a{% endfilter %}",
    "macro": """{% macro show(m, n=2, mark='*') %}{{ mark }}{{ m.role }}{{ n }}{% if n > 0 %}{{
show(m, n - 1) }}{% endif %}{% endmacro %}{% for m in messages %}{{ show(m) }}{{ show(m, mark='#',
n=0) }}{% endfor %}""",
    "call block": """{% macro box(name) %}<{{ name }}>{{ caller() }}</{{ name }}>{% endmacro %}{%
call box('a') %}{{ messages | length }}{% endcall %}""",
    "filters": """{% for m in messages %}{% if m.content is string %}{{ m.content | trim | upper
}}|{{ m.content | lower | capitalize }}|{{ m.content | replace('a', 'bb') }}|{{ m.content | length
}}|{{ m.content | first }}|{{ m.content | last }}|{{ m.content | default('none', true) }}|{{
m.content | title | count }}|{{ m.content | indent(2) }}|{{ m.content | indent(width=3, first=true)
}}
{% endif %}{% endfor %}""",
    "selections": """{{ messages | map(attribute='role') | join(', ') }};{{ messages |
selectattr('role', 'equalto', 'user') | list | length }};{{ messages | selectattr('role', 'in',
['user', 'tool']) | map(attribute='role') | list }};{{ messages | rejectattr('role', 'eq', 'user') |
map(attribute='role') | unique | join }};{{ messages | map(attribute='role') | map('upper') |
join('/') }};{{ messages | selectattr('tool_calls', 'defined') | list | count }};{{ [3, 1, 2] | sort
| join(',') }}{{ [3, 1, 2] | sort(reverse=true) | first }};{{ [1, 2, none, 0] | select | list }};{{
(messages | selectattr('role', 'equalto', 'system') | first).content }}""",
    "groups": """{% for g in messages | groupby('role') %}{{ g.grouper }}={{ g.list | length }} {%
endfor %}{{ [1, 2, 3, 4, 5] | batch(2) | map('join', '-') | join(' ') }} {{ [1, 2, 3] | sum }} {{
[4, 2] | min }}{{ [4, 2] | max }} {{ 'a,b' | replace(',', ';') }} {{ [1, [2]] | string }}""",
    "dictionaries": """{% for t in tools or [] %}{% for k, v in t.function.items() %}{{ k }}: {{ v |
tojson }}
{% endfor %}{% for k, v in t.function.parameters.properties | dictsort %}{{ k }} {{ v.type }} {{
v.get('description', 'no words') }} {{ v.get('x') }}{% endfor %}{{ t.function.keys() | list }} {{
t.function.parameters.values() | list | length }} {% for k in t.function %}{{ k }} {% endfor %}{{
'name' in t.function }}{{ 'nope' in t.function }}{{ t.function | length }} {{ t | items | list |
length }}{% endfor %}{{ dict(a=1, b='c') }} {{ {'a': [1, 2.5, none, true], 'b c': {}} }}""",
    "a key named like a method": """{% set d = {'items': {'type': 'string'}, 'keys': 1} %}{% for k,
v in d.items() %}{{ k }}={{ v }} {% endfor %}{{ d['items'].type }}{{ d['keys'] }}{{ d.get('keys')
}}""",
    "tojson": """{% for t in tools or [] %}{{ t | tojson }}
{{ t | tojson(indent=4) }}
{{ t | tojson(indent=2, sort_keys=true) }}
{{ t | tojson(separators=(',', ':')) }}
{{ t | tojson(ensure_ascii=true) }}{% endfor %}{{ messages | tojson }}{{ messages | tojson(indent=4)
}}{{ {} | tojson(indent=2) }}{{ [] | tojson(indent=2) }}{{ "<&>'\\"\\\\ \\u007f é" | tojson }}{{
[1, 1.0, 1e20, 1e-7, 0.1, -3, true, none] | tojson }}""",
    "numbers": """{{ 1 }} {{ 1.0 }} {{ 2.5 }} {{ 1e16 }} {{ 123456789012345.0 }} {{ 1e-5 }} {{
0.0001 }}
{{ 7 // 2 }} {{ 7 / 2 }} {{ 7 % 3 }} {{ 2 ** 10 }} {{ -3 | abs }} {{ 3.7 | int }} {{ '12' | int + 1
}} {{ 2.345 | round(2) }} {{ 1 == 1.0 }} {{ true }} {{ none }} {{ (1, 'a') | list }}""",
    "python strings": """{% for m in messages %}{% if m.content is string %}{% set c = m.content
%}{{ c.strip() }}|{{ c.lstrip() }}|{{ c.rstrip('\n ') }}|{{ c.upper() }}|{{ c.split(' ') }}|{{
c.split() | length }}|{{ c.split('</think>')[-1].lstrip('\n') }}|{{ c.split('a', 1) }}|{{
c.startswith('H') }}{{ c.startswith(('a', 'H')) }}{{ c.endswith('?') }}|{{ c.replace('l', 'L') }}|{{
c.find('l') }}|{{ c.rfind('é') }}|{{ c.count('l') }}|{{ c.isdigit() }}{{ c.isupper() }}{{
c.islower() }}{{ c.isspace() }}{{ c.isalnum() }}|{{ c.title() }}|{{ c.capitalize() }}|{{
c.splitlines() }}|{{ c.removeprefix('He') }}|{{ c.removesuffix('!') }}|{{ c.partition(' ') | list
}}|{{ c.rpartition(' ') | list }}|{{ c.rsplit(' ', 1) }}|{{ '-'.join(c.split()) }}
{% endif %}{% endfor %}""",
    "slices": """{{ messages[1:] | length }}{{ messages[:-1] | length }}{{ messages[::-1] |
map(attribute='role') | join }}{{ messages[-1].role }}{{ messages[1:3] | map(attribute='role') |
list }}{{ 'hello'[1:3] }}{{ 'hello'[::-1] }}{{ 'hello'[-2:] }}{{ 'héllo'[1] }}{{ messages[::2] |
length }}{{ (messages[1:] + messages[:1]) | map(attribute='role') | join(',') }}{% set rest =
messages[1:] %}{% if rest %}{{ rest[0].role }}{{ rest | last is mapping }}{% endif %}""",
    "conditions": """{% for m in messages %}{{ 'U' if m.role == 'user' else 'O' }}{{ 'only' if false
}}{{ m.role ~ '-' ~ loop.index ~ true ~ none }}{{ m.x is defined }}{{ m.content is string }}{{
m.content is mapping }}{{ m.content is iterable }}{{ m.content is sequence }}{{ m.content is none
}}{{ m.role in ['user'] }}{{ m.role not in 'system user' }}{{ m.role is in ['tool'] }}{{ loop.index
is odd }}{{ loop.index is divisibleby 2 }}{{ not m.tool_calls }}{{ m.content is not none and
m.content | length > 3 }}{{ 1 is number }}{{ true is boolean }}{{ 1 is integer }}{{ 1.5 is float
}}{{ m.role is eq 'user' }}{{ nope is undefined }}{{ (m.role == 'user') != (loop.index0 % 2 == 0) }}
{% endfor %}""",
    "undefined": """[{{ nope }}][{{ messages[0].nope }}][{{ messages[99] }}]{{ nope | default('d')
}}{{ messages[0].nope | default }}{% for x in nope %}x{% endfor %}{{ nope | length }}{% if nope
%}y{% else %}n{% endif %}{{ nope is defined }}{{ 'a' in messages[0].nope if messages[0].nope }}{{
nope == none }}{{ nope | list }}{{ nope | join(',') }}{{ messages[0].nope | default('x',
boolean=true) }}{{ none | default('y') }}""",
    "whole content": "{{ messages }}{% for m in messages %}{{ m }}{{ m.content }}\n{% endfor %}",
    "content parts": """{% for m in messages %}{% if m.content is string %}{{ m.content }}{% elif
m.content is iterable %}{% for part in m.content %}{% if part.type == 'text' %}{{ part.text }}{%
elif 'image' in part or 'image_url' in part %}<image>{% endif %}{% endfor %}{% endif %}
{% endfor %}""",
    "tool calls": """{%- for m in messages %}
    {%- if m.tool_calls is defined and m.tool_calls %}
        {%- for call in m.tool_calls %}
            {%- set f = call.function if call.function is defined else call %}
            {{- '<tool_call>{"name": "' ~ f.name ~ '", "arguments": ' }}
            {{- f.arguments if f.arguments is string else f.arguments | tojson }}
            {{- '}</tool_call>' }}
        {%- endfor %}
    {%- elif m.role == 'tool' %}
        {%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}{{- '<|user|>' }}{%- endif
%}
        {{- '\n<tool_response>\n' + m.content + '\n</tool_response>' }}
    {%- endif %}
{%- endfor %}""",
    "raise": """{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{
raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif
%}{{ m.role }}{% endfor %}""",
    "generation": """{%- for m in messages %}
    {%- if m.role == 'assistant' %}
        {%- generation %}
{{ m.content }}
        {% endgeneration %}
after
    {%- endif %}
{%- endfor %}""",
    "recursive": """{% for m in [{'n': 1, 'c': [{'n': 2, 'c': []}]}] recursive %}{{ m.n }}({{
loop(m.c) }}){% endfor %}""",
    "joiner and cycler": """{% set comma = joiner() %}{% for m in messages %}{{ comma() }}{{ m.role
}}{% endfor %}{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}""",
    "with and raw": "{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{% raw %}{{ x }}{% endraw %}",
    "format": """{{ '%s is %d' | format('a', 3) }} {{ 'x={}, y={}'.format(1, 'b') }}{{
'{0}{1}{0}'.format( 'p', 'q') }}""",
    "tokens": "{{ bos_token }}{% for m in messages %}{{ m.role }}{{ eos_token }}{% endfor %}",
}

_TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a place, in <b>°C</b> & 'words'",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "description": "Ort, z. B. „Zürich“"},
                "days": {"type": "integer", "minimum": 1, "default": 2.0},
                "Names": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["place"],
        },
    },
}


def _say(role, content, **more):
    return {"role": role, "content": content, **more}


REQUESTS = {
    "one": {"messages": [_say("user", "Hello!")], "add_generation_prompt": True},
    "many": {
        "messages": [
            _say("system", "  Be terse.\n"),
            _say("user", "Hello, what is 1 + 1?\n\nAnswer é"),
            _say("assistant", "<think>\nhm\n</think>\n\nIt is 2, all told"),
            _say("user", ""),
            _say("assistant", "OK"),
            _say("user", "123"),
        ],
        "add_generation_prompt": False,
    },
    "alternating": {
        "messages": [_say("user", "Hi"), _say("assistant", "Hall\u00e5 d\u00e4r"),
        _say("user", "\t x ")], "add_generation_prompt": True,
    },
    "unicode": {
        "messages": [_say("user", "日本語 \U0001f600 'single' \"double\" \\ back {{ x }} {% y %}")],
        "tools": [_TOOL],
    },
    "tools": {
        "messages": [
            _say("user", "Weather?"),
            _say("assistant", None, tool_calls=[
                {"id": "1", "type": "function",
                 "function": {"name": "get_weather", "arguments": {"place": "Bern", "days": 3}}},
                {"id": "2", "function": {"name": "f", "arguments": "{\"a\": 1}"}},
            ]),
            _say("tool", "rain", tool_call_id="1", name="get_weather"),
            _say("tool", "{\"t\": 1.50}", tool_call_id="2"),
            _say("assistant", "Rain."),
            _say("user", "Thanks"),
        ],
        "tools": [_TOOL, {**_TOOL, "x": [1, 2.5, 1e22, None, True, {}]}],
        "add_generation_prompt": True,
    },
    "parts": {
        "messages": [
            _say("user", [{"type": "text", "text": "see "},
                          {"type": "image_url", "image_url": {"url": "u"}},
                          {"type": "text", "text": "this"}]),
            _say("assistant", "A cat"),
        ],
        "documents": [{"title": "a", "text": "b"}],
        "enable_thinking": False,
    },
    "empty": {"messages": []},
}
