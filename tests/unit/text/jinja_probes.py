"""Expressions and statements that are rendered by paceline and by Python's jinja2 and must come out
the same: lists made by hand, and a generator."""

import random

#: what templates see beside messages
VARIABLES = {
    "m": {"role": "user", "content": "Hello é World", "n": 2, "f": 2.5, "none": None, "t": True,
          "big": 9007199254740993,
          "d": {"b": 1, "a": [1, 2], "C": None}, "l": [3, 1, 2], "s": ["b", "A", "c"], "empty": "",
          "el": [], "ed": {},
          "items_": [{"k": "x", "v": 2}, {"k": "y", "v": 1}, {"k": "x", "v": 3}],
          "mixed": [1, "a", None, 2.5, True]},
    "words": "one two  three\nfour\tfive", "html": "<a href=\"x\">it's & that</a>", "zero": 0,
    "one": 1, "neg": -7,
}

EXPRESSIONS = """
-m.n | +m.n | -m.n + 3 | - 5 | -(2) | 2 ** 3 | 2 ** -1 | -2 ** 2 | 2 ** 0.5 | 7 // 2 | -7 // 2
7 // -2 | -7 % 3 | 7 % -3 | 7.5 // 2 | -7.5 % 2 | 7 / 2 | 6 / 3
1 + 2 * 3 | (1 + 2) * 3 | 1 - 2 - 3 | 10 // 3 * 2 | 1 ~ 2 + 3 | 'a' ~ 1 ~ none ~ true
'a' ~ [1, 'b'] ~ {'k': 'v'} | 1 and 0 | 0 or 'x' | '' or [] | 1 and 'y' | not 0 | not '' and 1
none or 'd' | m.none or 'd' | m.el or m.ed or 'last' | [] and 1 | {} or 3 | (1, 2) | (1,) | ()
(1, 'a', none, [2]) | [(1, 2), (3,)] | 1, 2 | (1, 2) + (3,) | [1] + [2, 'x'] | [1] * 3 | (1,) * 2
'ab' * 2 | 'ab' * 0 | 'ab' * -1 | 2 * 'ab'
'\\x41' | '\\u00e9' | '\\U0001F600' | '\\101' | '\\a' == '\\x07' | 'a\\\\b'
'it\\'s' | "say \\"x\\"" | 'a' 'b' "c" | '\\q' | 'tab\\there' | '{{' ~ '}}' | '%}'
{'a': {'b': 1}} | {'a': {}}['a'] | {1: 2}[1] | {'x': 1}.x
1 < 2 < 3 | 1 < 2 > 3 | 1 == 1.0 | 'a' in 'abc' | 1 in [1, 2] | 'x' not in 'abc' | 'a' in {'a': 1}
not 'a' in 'b' | 1 != 2 == true | 'a' < 'b' | (1, 2) == (1, 2) | [1] == [1]
0x1f | 0o17 | 0b101 | 1_000 | 1e3 | 1.5e-7 | 1_0.5 | 123456789012345678901234567890 | 1e16 | 1e15
0.1 + 0.2 | 100.0 | 1e300 * 1e10 | 1.0 | -0.0 | 3.0 // 2
m.content[0] | m.content[-1] | m.content[1:4] | m.content[::-1] | m.content[::2] | m.content[-3:]
m.content[10:2] | m.content[5:1:-1] | m.l[::-1] | m.l[5:] | m.l[-2:] | m.el[::-1] | m.l[:0]
m.l[1:][0] | (1, 2, 3)[1:] | (1, 2, 3)[0] | 'abc'[99:] | ''[::-1] | m.l[-1] | m.l[0:2][::-1]
m.d['a'][1] | m.l[7] | m.none[1:] | m.d[1:]
m.role if m.t | m.role if m.none else 'no' | 'a' if 0 else 'b' if 0 else 'c'
(m.role if m.empty) ~ '.' | m.missing | m.missing | default('d') if true | m.d.items()
m.d.keys() | m.d.values() | m.d.items() | list | m.d.keys() | list | m.d | list | m.d.copy()
m.d.get('zz') | m.d.get('zz', 5) | m.d.get('b') | m.d.items is defined | m.d.keys is callable
m.d.keys() | length | m.ed.items() | range(3) | range(1, 10, 3) | list | range(5, 0, -2) | list
range(3)[1] | range(0) | list | range(4) | sum | dict(a=1, b='x') | dict() | namespace(a=1).a
'%s-%d' % ('a', 3) | '%s' % 'x' | '%5.2f|' % 2.5 | '%05d' % 42 | '%-5s|' % 'a' | '%x' % 255
'%s %s' % (none, true) | '%s' % [1, 'a'] | '%%' % () | '%r' % 'a' | '%(a)s' % {'a': 1}
'x'.format() | '{} {}'.format(1, 'a') | '{1}{0}'.format('a', 'b') | '{a}'.format(a=3)
'{:>5}|'.format('x') | '{:.2f}'.format(2.345) | '{:,}'.format(1234567) | '{}'.format(none)
'{:05d}'.format(7) | '{{}}'.format() | '{} {}'.format([1], {'a': 2})
'5'.zfill(3) | '-5'.zfill(4) | 'ab'.ljust(4) ~ '|' | 'ab'.rjust(4, '*') | 'ab'.center(5, '-')
'aB'.swapcase() | 'a\\tb'.expandtabs(4) | 'ß'.casefold() | 'hello world'.title()
"they're bill's".title() | 'hELLO'.capitalize() | 'Ab Cd'.istitle() | 'ab1'.isalnum()
'12'.isdecimal() | 'a_1'.isidentifier() | '1a'.isidentifier() | 'ab'.isprintable() | ' '.isspace()
''.isspace() | 'ABC'.isupper() | 'é1'.islower() | '٣'.isdigit() | 'abc'.isascii()
'abcabc'.count('b') | 'aaa'.count('a', 1) | 'abc'.index('c') | 'abcabc'.rindex('b')
'abcabc'.find('b', 2) | 'abc'.find('z') | 'abc'.find('a', 1, 2) | 'éabc'.find('b')
'abc'.startswith(('x', 'a')) | 'abc'.startswith('b', 1) | 'abc'.endswith('b', 0, 2)
'abc'.endswith(('c',)) | 'a,b,,c'.split(',') | ' a  b '.split() | 'a b c'.split(' ', 1)
'a b c'.split(maxsplit=1) | 'a b c'.split(sep=' ') | 'a b c'.rsplit(' ', 1)
'a b c'.rsplit(none, 1) | 'a-b'.partition('-') | 'ab'.partition('-') | 'a-b-c'.rpartition('-')
'a\\nb\\r\\nc'.splitlines() | 'a\\nb\\n'.splitlines(true) | ''.splitlines() | ''.split()
''.split(',') | ','.join(['a', 'b']) | '-'.join('abc') | 'xxaxx'.strip('x') | 'xxaxx'.lstrip('x')
'  a '.rstrip() | 'abc'.removeprefix('a') | 'abc'.removesuffix('bc') | 'aaa'.replace('a', 'b', 2)
'a'.replace('', '-') | 'aXbX'.lower().upper() | 'é'.upper() | 'Straße'.upper() | 'İ'.lower()
words.split() | words.splitlines()
[5, 6].index(6) | [1, 1, 2].count(1) | [1, 2].copy() | (1, 2, 1).count(1) | (1, 2).index(2)
m.f.is_integer() | (5).bit_length()
m.d | items | m.none | default('x', true) | m.missing | items | list | m.d | items | list
m.d | dictsort | m.d | dictsort(true) | m.d | dictsort(false, 'value') if 0 else 1
{'b': 2, 'a': 3} | dictsort(by='value') | {'b': 2, 'a': 3} | dictsort(reverse=true)
m.content | upper | m.content | lower | 'hello wORLD-foo' | title | 'hELLO' | capitalize
['a', 'B'] | upper | 5 | upper | none | upper | [1, 'a'] | string | none | string | true | string
2.0 | string | m.l | join(', ') | m.mixed | join('|') | m.items_ | join('-', attribute='k')
'abc' | join(',') | [[1], ['a']] | join | [none, true] | join(' ')
' a ' | trim | 'xxaxx' | trim('x') | 5 | trim | 'abc' | reverse | [1, 2, 3] | reverse | list
'abc' | list | 'abc' | first | '' | first | [] | first | 'abc' | last | [] | last | [1, 2] | last
m.d | first | 'abc' | length | m.d | length | m.missing | length | m.el | length | 'abc' | count
'3' | int | 'x' | int | 'x' | int(7) | '3.7' | int | 3.9 | int | -3.9 | int | none | int
true | int | 'ff' | int(0, 16) | '0x1f' | int(base=16) | ' 12 ' | int | '1_000' | int
'' | int(-1) | m.big | int | 'x' | float | 'x' | float(1.5) | '2.5' | float | '3' | float
none | float | 5 | float | true | float | '1e3' | float | 2.5 | round | 3.5 | round | -2.5 | round
2.675 | round(2) | 2.25 | round(1, 'floor') | 2.21 | round(1, 'ceil') | 5 | round
2.345 | round(2) | 42.55 | round | 1234.5 | round(-2) | 0.5 | round | 1.5 | round | -1.2 | abs
5 | abs | 7 | abs
[1, 2, 3] | sum | m.items_ | sum(attribute='v') | [[1], [2]] | sum(start=[]) | [0.1, 0.2] | sum
[] | sum | [1, 2] | sum(start=10) | m.l | min | m.l | max | m.s | min | m.s | max
m.s | max(case_sensitive=true) | [] | min | m.items_ | max(attribute='v') | m.l | sort
m.s | sort | m.s | sort(case_sensitive=true) | m.s | sort(reverse=true)
m.items_ | sort(attribute='v') | map(attribute='v') | list
m.items_ | sort(attribute='k,v') | map(attribute='v') | list | 'cab' | sort | m.s | unique | list
['a', 'A', 'b'] | unique | list | ['a', 'A'] | unique(true) | list
m.items_ | unique(attribute='k') | map(attribute='v') | list
[1, 2, 3, 4, 5] | batch(2) | list | [1, 2, 3] | batch(2, 0) | list
[1, 2, 3, 4, 5] | slice(2) | list | [1, 2, 3, 4, 5] | slice(3, 'x') | list
m.items_ | map(attribute='k') | list | m.items_ | map(attribute='zz', default='d') | list
m.s | map('upper') | list | ['1', '2'] | map('int') | sum | 'abc' | map('upper') | join
[[1, 2]] | map('first') | list | [' a'] | map('trim') | list
['ab'] | map('replace', 'a', 'x') | list | m.mixed | select('string') | list
m.mixed | reject('none') | list | m.mixed | select('number') | list
[1, 2, 3] | select('odd') | list | [1, 2, 3] | reject('divisibleby', 2) | list
[0, 1, '', 'a'] | select | list | m.items_ | selectattr('v', 'gt', 1) | map(attribute='v') | list
m.items_ | rejectattr('k', 'eq', 'x') | list | m.items_ | selectattr('k') | list | length
m.items_ | groupby('k') | map(attribute='grouper') | list
m.items_ | groupby('k') | map('last') | map('length') | list
'hello world foo bar' | truncate(10) | 'hello world foo bar' | truncate(10, true)
'hello world' | truncate(11) | 'hello world foo' | truncate(8, true, '..', 0)
'hello world' | truncate(9, false, '', 0) | 'a b' | urlencode | 'a/b?c=é&d' | urlencode
{'a': 1, 'b c': 'd e'} | urlencode | [['a', 1]] | urlencode | 'a b' | wordcount
words | wordcount | "it's a-b" | wordcount | 'a b c d' | wordwrap(3)
'hello world foo' | wordwrap(5) | 'abcdefghij' | wordwrap(4) | 'a\\nb c' | wordwrap(10)
1 | filesizeformat | 1000 | filesizeformat | 1500 | filesizeformat | 1024 | filesizeformat(true)
123456789 | filesizeformat | 10 ** 15 | filesizeformat | 500 | filesizeformat | html | striptags
'a  b <i>c</i>' | striptags | html | e | html | escape
"<'\\">&" | e | html | forceescape | {'a': 1, 'b': none, 'c': '<'} | xmlattr
'ab' | center(6) ~ '|' | 'x' | center | length | 'abc' | replace('b', 'x')
'aaa' | replace('a', 'b', 2) | 5 | replace('5', 'x') | [1, 2] | replace(1, 9)
'%s %d' | format('a', 3) | '%s' | format(none) | 'a\\nb\\n\\nc' | indent
'a\\nb' | indent(2, true) | 'a\\n\\nb' | indent(2, false, true) | 'a\\nb' | indent('--')
'x' | safe | [1, 'é'] | tojson | 'x' | attr('y') is defined | {'a': 1} | pprint | 'a' | pprint
m | tojson | m.d | tojson(indent=2) | m.l | tojson(true) | (1, 2) | tojson
[1.0, 1e100, -0.0, none, true] | tojson | 'é\\u2028</script>' | tojson
{'b': 1, 'a': 2} | tojson(sort_keys=true) | {1: 2, none: 3} | tojson | [] | tojson(indent=4)
{'a': []} | tojson(indent=1) | m.big | tojson | [1, 2] | tojson(separators=(',', ':'))
'é' | tojson(ensure_ascii=true)
1 is odd | 2 is even | 4 is divisibleby 2 | 4 is divisibleby(3) | 1 is number | 'a' is number
1.5 is float | 1 is integer | true is integer | true is boolean | 1 is boolean | none is none
m.none is none | m.missing is undefined | m.missing is defined | 'a' is string | m.d is mapping
m.l is mapping | m.l is sequence | 'a' is sequence | m.d is iterable | 5 is iterable
'a' is callable | range is callable | 'A' is upper | 'a' is lower | 1 is eq 1 | 1 is ne 2
1 is lt 2 | 1 is ge 1 | 1 is greaterthan 0 | 1 is in [1, 2] | 'a' is in 'abc' | 1 is sameas 1
none is sameas none | true is true | 1 is true | false is false | 'x' is not none
not 'x' is none | 'upper' is filter | 'nope' is filter | 'odd' is test | m.n is equalto 2
m.content is string and m.n is number | 'a' is escaped | (1, 2) is sequence | m.n is not even
1.0 is integer
m.t | m.f | m.big | m.none | m.l | m.d | m.mixed | m.items_ | m.content | m | true | none
[true, none, 'it\\'s', "q\\"'", 1.50] | {'a': 'b\\n', 'é': 'ü'}
['\\x00', '\\x7f', '\\\\', '\\u200b', '😀'] | 1e22 | 1e-5 | 0.00001234 | 12345678.9
3.14159265358979
"""

STATEMENTS = [
    "{% for c in m.content %}{{ c }}{% if not loop.last %},{% endif %}{% endfor %}",
    "{% for c in 'ab' %}{{ loop.length }}{{ loop.revindex }}{{ loop.index0 }}{{ loop.previtem }}{{ "
    "loop.nextitem }}{% endfor %}", "{% for x in '' %}x{% else %}none{% endfor %}",
    "{% for x in m.missing %}x{% else %}none{% endfor %}",
    "{% for k in m.d %}{{ k }};{% endfor %}",
    "{% for k, v in m.d.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for k, v in m.d|items %}{{ k }}={{ v }};{% endfor %}",
    "{% for k, v in m.none|items %}x{% endfor %}|",
    "{% for a, b in [(1, 2), [3, 4]] %}{{ a + b }};{% endfor %}",
    "{% for x in 1, 2, 3 %}{{ x }}{% endfor %}",
    "{% for x in m.l if x > 1 %}{{ loop.index }}{{ x }}{% endfor %}",
    "{% for x in m.l|sort %}{{ x }}{% endfor %}",
    "{% for x in range(3) %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in range(9) %}{% if x == 3 %}{% break %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in [[1, [2]], [3]] recursive %}{% if x is iterable %}({{ loop(x) }}){% else %}{{ x "
    "}}{% endif %}{% endfor %}",
    "{% for x in m.l %}{{ loop.cycle('a', 'b') }}{{ loop.changed(x > 1) }}{% endfor %}",
    "{% set x = 1 %}{% for i in m.l %}{% set x = i %}{% endfor %}{{ x }}",
    "{% set x = 1 %}{% if true %}{% set x = 2 %}{% endif %}{{ x }}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}",
    "{% set a = 1, 2 %}{{ a }}",
    "{% set ns = namespace(x=1) %}{% for i in m.l %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x "
    "}}",
    "{% set x %}a{{ m.n }}{% endset %}{{ x ~ x }}", "{% set x | upper %}abc{% endset %}{{ x }}",
    "{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a is defined }}",
    "{% with %}{% set z = 1 %}{{ z }}{% endwith %}{{ z }}",
    "{% filter upper %}abc{{ m.role }}{% endfilter %}",
    "{% filter trim | replace('a', 'b') %} aa {% endfilter %}",
    "{% macro f(a, b=2, c=none) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ f(1) }}{{ f(1, c=3) }}{{ "
    "f(b=1, a=0) }}",
    "{% macro f(a) %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1, 2, z=3) }}{{ f(1) }}{{ f(1, 2, "
    "3) }}",
    "{% macro f() %}{% for v in varargs %}{{ v }},{% endfor %}{% endmacro %}{{ f() }}{{ f(1, 'a') "
    "}}", "{% macro f(x) %}{{ kwargs | tojson }}{% endmacro %}{{ f(1, a=2, b='c') }}",
    "{% macro f(x) %}[{{ caller() }}{{ x }}]{% endmacro %}{% call f(1) %}in{% endcall %}",
    "{% macro f() %}{{ caller(1, 'x') }}{% endmacro %}{% call(a, b) f() %}{{ a }}{{ b }}{% endcall "
    "%}", "{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}",
    "{% macro f() %} x {% endmacro %}{{ f() | trim }}{{ f()|length }}",
    "{{ f is defined }}{% macro f() %}{% endmacro %}{{ f is defined }}",
    "{% generation %}{% set q = 1 %}{{ q }}{% endgeneration %}{{ q }}",
    "{%- generation -%} a {%- endgeneration -%} b",
    "a\r\nb\r\n{% if true %}\r\nc\r\n{% endif %}\r\nd\r\n", "a\rb", "{{ 'a\r\nb' }}", "x\n\n",
    "x\r\n", "\n{%- if true -%}\n a \n{%- endif -%}\n",
    "  {% if true %}\n  a\n  {% endif %}\n  b", "{% if true %} a {% endif %}\n", "{# c #}\na",
    "  {# c #}\n  a", "{#- c -#} a", "{%+ if true %}a{% endif +%}\nb",
    "{% raw %}{{ x }}{% y %}{% endraw %}", "{%- raw -%} {{ x }} {%- endraw -%} b",
    "{{ '{{' }}{{ '}}' }}", "{{ {'a': {'b': {}}} }}",
    "{% if m.none %}a{% elif m.n == 2 %}b{% else %}c{% endif %}",
    "{% if not m.none and m.t or false %}y{% endif %}",
    "{% set x = m.role if m.role == 'user' else 'other' %}{{ x }}",
    "{% set d = {'a': 1,} %}{{ d }}{{ [1, 2,] }}",
    "{% for m2 in m.items_ %}{{ loop.index }}:{{ m2.k }}{{ '' if loop.last else ', ' }}{% endfor "
    "%}", "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}",
    "{% set j = joiner(', ') %}{% for x in m.l %}{{ j() }}{{ x }}{% endfor %}",
    "{{ raise_exception('no') }}", "{{ m.missing.x }}", "{{ missing.x }}", "{{ 'a' + 1 }}",
    "{{ none + 'a' }}", "{{ 1 / 0 }}", "{{ 1 // 0 }}", "{{ 1 % 0 }}",
    "{% for x in m.none %}{% endfor %}", "{% for x in 5 %}{% endfor %}", "{{ m.l.append(1) }}",
    "{{ 'abc'.nope() }}", "{{ [1] | join(1, 2, 3) }}", "{{ m.l | nofilter }}",
    "{% if x is notest %}{% endif %}", "{{ 'a'.index('z') }}", "{{ [1].index(5) }}",
    "{{ [1, 'a'] | sort }}", "{{ none | list }}", "{{ 5 | join }}", "{{ {} | first }}",
    "{{ m['content'] }}{{ m['missing'] }}{{ m.l[0] }}{{ m.l.0 }}",
    "{{ (m.l | map('string') | list)[0] }}", "{{ m.content.split(' ')[0].upper()[1:] }}",
    "{{ (1 if m.t) }}{{ 2 if m.none }}{{ [1 if m.none] }}", "{{ m . role }}{{ m\n.\nrole }}",
    "{{m.role}}{{-m.role-}} x {{- m.role }}",
]

#: what Python alone refuses: templates run that would not with transformers, and nothing is misread
LENIENT = {
    "the length of none is 0": ["{{ m.none | length }}"],
    "a filter called with more than it takes": ["{{ [1] | join(1, 2, 3) }}"],
}


def expressions():
    lines = [line for line in EXPRESSIONS.strip().split("\n")]
    found = []
    for line in lines:
        line = line.replace("\\\\", "\\")
        depth, quote, now = 0, "", ""
        for i, c in enumerate(line):
            if quote:
                if c == quote and line[i - 1] != "\\":
                    quote = ""
            elif c in "'\"":
                quote = c
            elif c in "([{":
                depth += 1
            elif c in ")]}":
                depth -= 1
            elif c == "|" and not depth and _ends(line, i):
                found.append(now.strip())
                now = ""
                continue
            now += c
        found.append(now.strip())
    return found


FILTERS = set("""abs attr batch capitalize center count d default dictsort e escape filesizeformat
first float forceescape format groupby indent int items join last length list lower map max min
pprint random reject rejectattr replace reverse round safe select selectattr slice sort string
striptags sum title tojson trim truncate unique upper urlencode wordcount wordwrap
xmlattr""".split())


def _ends(line, at):
    """A bar between expressions, not one before a filter's name."""
    rest = line[at + 1:].lstrip()
    word = ""
    for c in rest:
        if not (c.isalnum() or c == "_"):
            break
        word += c
    return word not in FILTERS


# ---- the generator ---------------------------------------------------------------------------

TEXTS = ["m.content", "m.role", "words", "html", "'a,b'", "''", "'Ünï 😀'", "' x '"]
NUMBERS = ["m.n", "m.f", "neg", "zero", "3", "2.5", "-1", "10", "m.big", "0.125"]
LISTS = ["m.l", "m.s", "m.el", "[1, 2, 3]", "('a', 'b')", "m.mixed", "range(4)",
         "m.content.split()"]
DICTS = ["m.d", "m.ed", "{'x': 1, 'y': 'z'}", "m.items_[0]"]
TEXT_TAILS = [".upper()", ".strip()", ".split()", ".title()", "[1:]", "[::-1]", "[-2:]", " | trim",
              " | length", " | upper", " | list",
              " | replace('a', 'b')", ".replace('l', 'L')", " | reverse", " | first", " | e",
              " | wordcount", " | truncate(5)",
              ".splitlines()", ".find('o')", ".startswith('H')", " | tojson", " | capitalize",
              " | indent(2)", ".partition(' ')",
              " | center(12)", " | title", " | string", ".count('e')", ".isalpha()", " | join('.')",
              " is string", " | urlencode", " * 2"]
NUMBER_TAILS = [" + 1", " * 2", " // 2", " % 3", " / 4", " - 0.5", " ** 2", " | abs", " | int",
                " | float", " | round", " | round(1)", " | string",
                " ~ 'x'", " | tojson", " is number", " is odd", " > 1", " == 2", " < m.n",
                " in [1, 2]"]
LIST_TAILS = [" | length", " | first", " | last", " | list", " | join('-')", " | reverse | list",
              "[0]", "[-1:]", "[::-1]", "[1:]", " | tojson", " | string",
              " | unique | list", " | batch(2) | list", " | map('string') | list",
              " | select | list", " | reject('string') | list", " | upper",
              " is sequence", " | sort", " | max", " | sum", " ~ ''", " * 2", " == []"]
DICT_TAILS = [" | length", " | list", ".items() | list", ".keys() | list", ".values() | list",
              " | dictsort", " | tojson", " | string", ".get('x')",
              " | items | list", " is mapping", " ~ '!'", ".x", "['x']", " | first", ".items()",
              ".keys()", " == {}"]
KINDS = [(TEXTS, TEXT_TAILS), (NUMBERS, NUMBER_TAILS), (LISTS, LIST_TAILS), (DICTS, DICT_TAILS)]


def generated(seed, n):
    dice = random.Random(seed)

    def atom():
        values, tails = dice.choice(KINDS)
        text = dice.choice(values)
        return f"({text}){dice.choice(tails)}" if dice.random() < 0.8 else text

    def expression(depth):
        if depth == 0 or dice.random() < 0.3:
            return atom()
        a, b = expression(depth - 1), expression(depth - 1)
        form = dice.choice(["({a}) and ({b})", "({a}) or ({b})", "not ({a})", "({a}) if ({b})",
                            "({a}) if m.t else ({b})", "({a}) ~ ({b})",
                            "[{a}, {b}]", "({a}, {b})", "{{'k': {a} }}", "({a}) == ({b})",
                            "({a}) != ({b})", "({a}) is defined", "({a}) | default({b}, true)",
                            "({a}) | string | length"])
        return form.format(a=a, b=b)

    out = []
    for _ in range(n):
        body = expression(2)
        form = dice.choice(["{{ %s }}"] * 4 + ["{%% set x = %s %%}{{ x }}",
                                               "{%% if %s %%}y{%% else %%}n{%% endif %%}",
                                               "{%% for i in %s %%}{{ loop.index }}{{ i }},{%% "
                                               "endfor %%}",
                                               "{%% filter upper %%}{{ %s }}{%% endfilter %%}"])
        out.append(form % body)
    return out
