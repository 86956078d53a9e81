#!/usr/bin/env python3
"""Writes jinja.jsonl: small templates and what Jinja2 makes of them, set up as Hugging Face does.

    python3 tests/golden/make_jinja.py        # needs the package jinja2; the file kept is 3.1.6's

A row is {"t": template, "out": text} or {"t": template, "error": text}.  A template that nightmill
refuses by name on purpose stands behind "! " here, and its row has "refused": true.
"""
import datetime
import json
import os
import re

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

VARS = {
    "m": [{"role": "user", "content": " Hi "}, {"role": "bot", "content": "Yo"}],
    "n": 3, "t": True, "x": None, "s": "a-b-c", "f": 2.5, "l": [3, 1, 2], "w": ["b", "A", "c", "a"],
    "d": {"k": 1.5, "l": [1, "q"], "items": 7, "Z": None}, "u": "\u00e9\u00df \U0001f680 \u4e2d\u6587",
    "tags": "<a href=\"x\">'&'</a>", "lines": "one\n\n  two\r\nthree\n", "e": "", "tree": [[1, [[2, []], [3, [[4, []]]]]]],
    "people": [{"n": "Bo", "a": 3, "in": {"z": 1}}, {"n": "al", "a": 1, "in": {"z": 3}}, {"n": "Cy", "a": 3}],
}

TEMPLATES = r"""
{{ (1,2) }} {{ (1,) }} {{ () }} {{ {'a':1}.items() }} {{ {'a':1}.keys() }} {{ {'a':1}.values() }}
{{ [1,2]|map('string')|length }}
! {{ [1,2]|map('string') }}
{{ 1.5e300 }} {{ 1e5 }} {{ 10.0**20 }} {{ 0.1+0.2 }} {{ 1/3 }} {{ -7//2 }} {{ -7.5//2 }} {{ -7.5%2 }} {{ 7.5 // 2 }} {{ 7 % -3 }} {{ 1e-5 }} {{ 0.0001 }} {{ 1e16 }} {{ 123456789012345680.0 }} {{ 1e15 }} {{ 3.0 }} {{ 1_000 }} {{ 0x1f }} {{ 0b11 }} {{ 0o17 }}
! {{ 2**100 }}
{{ '%s-%05.2f-%d' % ('a', 1.5, 3) }} {{ '%s' % [1] }} {{ '%r' % 'a' }} {{ '%-5s|%5s|' % ('a','b') }} {{ '%x %X %o %%' % (255, 255, 8) }} {{ '%(a)s' % {'a': 1} }} {{ '%+d % d' % (1, 2) }} {{ '%.3s' % 'abcdef' }} {{ '%e %g' % (12345.678, 0.00001) }} {{ '%d' % 3.9 }} {{ '%s' % none }}
{{ '%s %s' % 1 }}
{{ '%s' % (1, 2) }}
{{ '%d' % 'a' }}
{{ '{} {a}'.format(1, a=2) }} {{ '{0}{1}{0}'.format('x', 'y') }} {{ '{:>5}|{:<5}|{:^5}|{:*^5}'.format('a','b','c','d') }} {{ '{:05d} {:,} {:.2f} {:x}'.format(42, 1234567, 3.14159, 255) }} {{ '{{}}'.format(1) }} {{ '{!r}'.format('a') }}
{{ '{}'.format() }}
{{ [1,2]|string }} {{ true|string }} {{ none|upper }} {{ none|trim }}
{{ none + 'a' }}
{{ undefinedvar + 'a' }}
{{ undefinedvar|upper }}|{{ undefinedvar }}|{{ undefinedvar|list }}|{{ undefinedvar|length }}|{{ not undefinedvar }}|{{ undefinedvar ~ 'a' }}|{{ [undefinedvar] }}
{{ undefinedvar|tojson }}
{{ undefinedvar == undefinedvar2 }} {{ undefinedvar == none }} {{ undefinedvar in [1] }} {{ 'a' in undefinedvar }} {{ undefinedvar is undefined }} {{ m.zz is defined }}
{{ undefinedvar.a }}
{{ undefinedvar|indent }} {{ 5|indent }} {{ undefinedvar is callable }} {{ namespace(undefinedvar) }} {{ 'a' % undefinedvar }} {{ 'a' % [1] }} {{ 'a' % 1 }} {{ 1 +}} {{ 5__ }} {{ 2.0 % -1 }} {{ '{0}{}'.format(1) }} {{ '{}{0}'.format(1) }} {{ '{:=5}'.format('a') }} {{ 'a\u3000b'|title }} {{ {'a b': 1}|xmlattr }} {{ {1: 1}|xmlattr }}
{% macro f(a, a) %}{% endmacro %}
{{ undefinedvar['a'] }}
{{ m.zz.a }}
{{ undefinedvar() }}
{{ undefinedvar < 1 }}
{% for a in undefinedvar %}x{% else %}none{% endfor %}
{% for a in none %}x{% endfor %}
{% for a in 5 %}x{% endfor %}
{{ undefinedvar|int }} {{ 'x'|int }} {{ '12'|int }} {{ '0x1f'|int(base=16) }} {{ 3.9|int }} {{ '3.9'|int }} {{ '1.5'|float }} {{ 'x'|float }} {{ ' 7 '|int }} {{ '1_0'|int }} {{ 'x'|int(5) }} {{ none|int(4) }} {{ true|int }} {{ '-3'|int }} {{ '1e3'|float }} {{ 'inf'|float }} {{ 5|float }} {{ '0b11'|int(0, 2) }}
{{ l|sort }} {{ w|sort }} {{ w|sort(case_sensitive=true) }} {{ l|sort(reverse=true) }} {{ people|sort(attribute='n')|map(attribute='n')|join(',') }} {{ people|sort(attribute='a')|map(attribute='n')|join(',') }} {{ people|sort(true, attribute='a')|map(attribute='n')|join(',') }} {{ 'hello'|sort }}
{{ [1,'a']|sort }}
{{ people|map(attribute='in.z')|list }} {{ people|map(attribute='in.z', default=0)|list }} {{ m|map(attribute='role')|map('upper')|list }} {{ [[1,2],[3,4]]|map(attribute=1)|list }} {{ [[1,2],[3,4]]|map(attribute='0')|list }} {{ [[3,1],[2,2]]|map('sum')|list }} {{ ['a-b']|map('replace','-','+')|list }}
{{ d|dictsort }} {{ {'b':1,'a':2,'C':0}|dictsort }} {{ {'b':1,'a':2}|dictsort(by='value') }} {{ {'b':1,'a':2}|dictsort(reverse=true) }} {{ {'b':1,'a':2,'C':0}|dictsort(true) }}
{{ 'hello world foo'|wordcount }} {{ 'a b'|title }} {{ 'HELLO wORLD'|capitalize }} {{ "it's o'neil-foo (bar)"|title }} {{ "it's".title() }} {{ 'AbC'.swapcase() }}
{{ tags|e }} {{ tags|escape|e }} {{ tags|forceescape }} {{ ('<'|e) + '<' }} {{ '<' + ('<'|e) }} {{ '<a>'|safe + '<' }} {{ ('<'|e) ~ '<' }} {{ ['<'|e,'<']|join('>') }} {{ ['<'|e] }} {{ '<'|e|string + '<' }}
! {{ ('<b>'|e)|upper }}
{{ [1,2,3]|batch(2)|list }} {{ [1,2,3]|batch(2,'x')|list }} {{ [1,2,3,4]|slice(3)|list }} {{ [1,2,3,4,5]|slice(3,'x')|list }} {{ []|batch(2)|list }} {{ [1,2]|slice(3)|list }}
{{ {'a':1,'b':none,'c':'<'}|xmlattr }} {{ {'a':'<'}|tojson }} {{ {'a':1}|xmlattr(false) }}
{{ 42.55|round }} {{ 42.55|round(1,'floor') }} {{ 42|round }} {{ 2.5|round }} {{ 3.5|round }} {{ 2.675|round(2) }} {{ 42.1|round(0,'ceil') }} {{ -5|abs }} {{ 5.5|abs }} {{ 1.005|round(2) }}
{{ [1,1,2,'a','A']|unique|list }} {{ [1,2]|sum }} {{ [{'a':1},{'a':2}]|sum(attribute='a') }} {{ [1.5,2]|sum(start=1) }} {{ l|max }} {{ l|min }} {{ []|max }}| {{ 'hello'|reverse }} {{ [1,2]|reverse|list }} {{ w|min }} {{ w|max(case_sensitive=true) }} {{ people|max(attribute='a') }}
{{ l|first }} {{ l|last }} {{ ''|first }}| {{ 'abc'|first }} {{ 'abc'|last }} {{ d|first }} {{ d|last }} {{ []|last }}
{{ none|first }}
{{ 1 < 2 < 3 }} {{ 1 < 2 > 5 }} {{ 1 < 3 < 2 }} {{ 3 > 2 == 2 }} {{ 1 in [1] == true }} {{ 2**3**2 }} {{ -2**2 }} {{ 2**-1 }} {{ 2 ** 0.5 }} {{ 'a' * 3 }} {{ [1]*2 }} {{ 3 * 'ab' }} {{ 'a' * -1 }}|
{{ 'abc'[::-1] }} {{ 'abcdef'[1:5:2] }} {{ [1,2,3,4][3:0:-1] }} {{ [1,2,3,4][-2:] }} {{ [1,2,3,4][:-1] }} {{ [1,2,3,4][10:] }} {{ [1,2,3,4][::2] }} {{ [1,2,3,4][::-2] }} {{ (1,2,3)[1:] }} {{ u[0] }}{{ u[-2:] }} {{ u|length }} {{ u[::2] }} {{ 'abc'[5:] }}| {{ 'abc'[-1] }} {{ 'abc'[7] }}| {{ [1,2,3][1:1] }} {{ [1,2,3][-1:-3:-1] }} {{ 'hello'[none:2] }} {{ [1,2][true] }}
{{ [1,2][::0] }}
{{ d[1:] }}
{{ 5[0] }}|
{{ none[0] }}|{{ none.a }}|{{ 5.5.a }}|{{ true.x }}
{{ namespace(a=1) }} {{ dict(a=1) }} {{ dict([('a', 2)]) }} {{ dict({'a': 1}, b=2) }} {{ namespace({'q': 5}).q }}
! {{ range(3) }}
! {{ l|truncate }}
{{ range(3)|list }} {{ range(1, 10, 3)|list }} {{ range(5, 0, -2)|list }} {{ range(3)|length }} {{ range(3)[1] }} {{ 2 in range(3) }} {{ range(0)|list }}
{{ range(200000) }}
{{ 'a,b,,c'.split(',') }} {{ 'a b c'.rsplit(' ',1) }} {{ 'a b c'.split(' ', 1) }} {{ 'a  b c '.split(None, 1) }} {{ lines.splitlines() }} {{ lines.splitlines(true) }} {{ 'abc'.find('c') }} {{ u.find('中') }} {{ 'abcb'.rfind('b') }} {{ 'aXbX'.count('X') }} {{ ','.join(['a','b']) }} {{ ','.join('abc') }} {{ 'a'.center(5) }}|{{ 'ab'.center(5, '*') }} {{ 'x'.zfill(3) }} {{ '-7'.zfill(4) }} {{ 'ab'.isdigit() }} {{ '12'.isdigit() }} {{ 'a-b'.partition('-') }} {{ 'a-b-c'.rpartition('-') }} {{ 'ab'.partition('-') }} {{ 'a'.ljust(3) }}|{{ 'a'.rjust(3, '.') }}
{{ 'a b'.split('') }}
{{ 'abc'.index('z') }}
{{ ','.join([1]) }}
{{ 'abc'.startswith('a') }} {{ 'abc'.startswith(('x','a')) }} {{ 'abc'.endswith('bc') }} {{ 'abc'.startswith('b', 1) }} {{ 'ab'.isalpha() }} {{ 'a1'.isalnum() }} {{ ' '.isspace() }} {{ ''.isspace() }} {{ 'AB'.isupper() }} {{ 'ab'.islower() }} {{ '中'.isalpha() }} {{ 'abc'.removeprefix('a') }} {{ 'abc'.removesuffix('c') }} {{ 'ab'.isascii() }} {{ '12'.isdecimal() }}
{{ 'abc'.startswith(['a']) }}
{{ [1,2].append(3) }}
{{ {'a':1}.pop('a') }}
{{ {'a':1}.update({'b':2}) }}
{{ [1,2].index(2) }} {{ [1,2,1].count(1) }} {{ {'a':1}.get('b', 5) }} {{ {'a':1}.get('b') }} {{ {'a':1}.copy() }} {{ (1,2).index(1) }}
{{ [1].index(5) }}
{% macro f(a,b=2) %}{{ a }}{{ b }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1,2,3,c=4) }} {{ f(1) }} {{ f() }} {{ f(b=1, a=2) }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f }} {{ f(1, 2) }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, b=2) }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f }} {{ [f] }} {{ f is callable }} {{ f(*[1]) }} {{ f(**{'a': 2}) }}
{% macro f(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ f(1) }}{% set g = f %}{{ g(3) }}
{% macro f(a) %}{{ caller(a) }}{% endmacro %}{% call(x) f(3) %}[{{ x }}{{ n }}]{% endcall %}
{% macro f() %}{{ caller() }}{{ caller is defined }}{% endmacro %}{% for i in [1,2] %}{% call f() %}<{{ i }}>{% endcall %}{% endfor %}
{% macro f() %}{{ caller is defined }}{% endmacro %}{{ f() }}
{% macro f() %}x{% endmacro %}{% call f() %}y{% endcall %}
{% macro f() %}{{ z }}{% endmacro %}{% set z = 1 %}{{ f() }}{% set z = 2 %}{{ f() }}
{% for i in [1,2] %}{% macro f() %}{{ i }}{% endmacro %}{{ f() }}{% endfor %}
{% macro f(k) %}{% if k > 0 %}{{ k }}{{ f(k - 1) }}{% endif %}{% endmacro %}{{ f(5) }}
{% for a in tree recursive %}{{ loop.depth }}:{{ a[0] }}{% if a[1] %}({{ loop(a[1]) }}){% endif %}{% endfor %}
{% for a in [1,2,3] %}{{ loop.cycle('x','y') }}{{ loop.changed(a>1) }}{{ loop }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.length }}{% endfor %}
{% for a in [1] %}{% endfor %}{{ loop }}|
{% for a in [[1,2],[3,4]] %}{% for b in a %}{{ loop.index }}{% endfor %}{{ loop.index }};{% endfor %}
{% for a, b in [[1,2],[3,4]] %}{{ a }}{{ b }}{% endfor %}{% for a, (b, c) in [[1,[2,3]]] %}{{ a }}{{ b }}{{ c }}{% endfor %}{% for k, v in d|dictsort %}{{ k }}{% endfor %}{% for k, v in d|items %}{{ k }}{% endfor %}
{% for a, b in [[1,2,3]] %}{{ a }}{% endfor %}
{% for a, b in [[1]] %}{{ a }}{% endfor %}
{% for k in d %}{{ k }}{% endfor %} {% for c in 'abc' %}{{ c }},{% endfor %} {% for a in (1,2) %}{{ a }}{% endfor %} {% for i in 1, 2 %}{{ i }}{% endfor %}
{% for a in [1,2,3] if a != 2 %}{{ loop.index }}{{ a }}{{ loop.length }}{% endfor %}
{% for a in [1,2,3,4] %}{% if a == 2 %}{% continue %}{% endif %}{% if a == 4 %}{% break %}{% endif %}{{ a }}{% endfor %}
{% for a in [1,2] %}{% for b in [1,2] %}{% if b == 2 %}{% break %}{% endif %}{{ a }}{{ b }} {% endfor %}{% endfor %}
{% set y = 1 %}{% for a in [1,2] %}{{ y }}{% set y = y + 1 %}{{ y }}{% endfor %}{{ y }}
{% if t %}{% set y = 5 %}{% endif %}{{ y }} {% if not t %}{% set q = 5 %}{% endif %}{{ q }}|
{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set (c, d2) = [3, 4] %}{{ c }}{{ d2 }}{% set e2 = 1, 2 %}{{ e2 }}
{% set ns = namespace(a=1) %}{% for i in [1,2,3] %}{% set ns.a = ns.a + i %}{% endfor %}{{ ns.a }}{{ ns['a'] }}{{ ns.zz }}{{ ns is mapping }}
{% set ns = namespace(l=[]) %}{% for i in [1,2] %}{% set ns.l = ns.l + [i] %}{% endfor %}{{ ns.l }}
{% set x.y = 1 %}
{% set q | upper | trim %} a{{ n }} {% endset %}[{{ q }}]
{% set q %}a{% set zz = 1 %}{% endset %}{{ q }}{{ zz }}|
{% filter upper %}a{{ 'b' }}{% endfilter %} {% filter replace('a','b')|upper %}aXa{% endfilter %}
{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a }}|{% with %}{% set a = 1 %}{% endwith %}{{ a }}
{% raw %}{{ n }}{% endraw %}|{% raw -%}  {% x %} {%- endraw %}|
{% generation %}a{{ n }}{% endgeneration %}
{{ messages.foo }}
{{ ''.foo }}|{{ [1].foo }}|{{ d['items'] }} {{ d.k }} {{ d['k'] }} {{ d['zz'] }}| {{ 'abc'['upper']() }} {{ d.zz }}
{{ d.items is callable }} {{ d.items is defined }} {{ s.upper is defined }} {{ n is callable }}
{{ '\x41\101\u00e9\t\'\"\\\q' }} {{ "a\
b" }}
{{ u|upper }} {{ u|lower }} {{ u|capitalize }} {{ u|title }} {{ u.title() }} {{ 'ÀÉÎ'|lower }} {{ 'ΑΣ'|lower }} {{ 'Σα'|lower }} {{ 'ǆ'|capitalize }} {{ 'ﬁx'|upper }} {{ 'straße'.upper() }}
{{ d|tojson }} {{ d|tojson(indent=2) }} {{ [1,(2,3),[],{}]|tojson }} {{ [[],{}]|tojson(indent=1) }} {{ u|tojson }} {{ u|tojson(ensure_ascii=true) }} {{ {'b':1,'a':2}|tojson(sort_keys=true) }} {{ {1:2, none:3, true:4, 1.5:0}|tojson }} {{ [1,2]|tojson(separators=(',',':')) }} {{ {'a':[1]}|tojson(separators=(',',':'), indent=2) }} {{ 1.0|tojson }} {{ 1e20|tojson }} {{ '</script>'|tojson }} {{ '\x01\x7f'|tojson }} {{ none|tojson }} {{ true|tojson }}
{{ range|tojson }}
{{ d.keys()|tojson }}
{{ namespace()|tojson }}
{{ d }} {{ [none, true, 1.5, 'a\'b', "q\"'", '\n\t\\'] }} {{ [u] }} {{ ['\x00\x7f\u200b'] }} {{ {1: 'a', (1,2): 'b'} }} {{ {'a': {'b': []}} }}
{{ 'ab' in 'cab' }} {{ '' in 'a' }} {{ 1 in [1.0] }} {{ true in [1] }} {{ 'k' in d }} {{ 1 in d }} {{ (1,2) in [(1,2)] }} {{ 2 in (1,2) }} {{ [1] == [1.0] }} {{ (1,) == [1] }} {{ {'a':1} == {'a':1.0} }} {{ 1 == true }} {{ '1' == 1 }} {{ none == none }}
{{ 1 in 'a1' }}
{{ 1 in 5 }}
{{ [1] in d }}
{{ 'a' < 'b' }} {{ 'B' < 'a' }} {{ [1,2] < [1,3] }} {{ [1] < [1,0] }} {{ (1,2) < (2,) }} {{ 1 < 1.5 }} {{ true < 2 }}
{{ 'a' < 1 }}
{{ none < 1 }}
{{ [1] < (1,) }}
{{ x is none }} {{ x is not none }} {{ n is number }} {{ t is number }} {{ t is integer }} {{ n is integer }} {{ f is float }} {{ t is boolean }} {{ t is true }} {{ n is true }} {{ s is string }} {{ s is sequence }} {{ s is iterable }} {{ d is mapping }} {{ d is sequence }} {{ d is iterable }} {{ l is sequence }} {{ l is mapping }} {{ x is iterable }} {{ d.items() is sequence }} {{ d.items() is iterable }} {{ q is sequence }} {{ q is iterable }}
{{ n is odd }} {{ n is even }} {{ 4 is divisibleby 2 }} {{ 4 is divisibleby(3) }} {{ n is eq 3 }} {{ n is equalto 3 }} {{ n is == 3 }} {{ n is ne 3 }} {{ n is gt 2 }} {{ n is ge 3 }} {{ n is lt 3 }} {{ n is le 3 }} {{ n is greaterthan 1 }} {{ n is lessthan 1 }} {{ n is in [1,3] }} {{ n is not in [1,3] }} {{ 'A' is upper }} {{ 'a' is lower }} {{ x is sameas none }} {{ t is sameas true }} {{ 1 is sameas true }} {{ '<'|e is escaped }} {{ 'a' is escaped }}
{{ n is odd and t }} {{ not n is odd }} {{ n is defined and n > 2 }} {{ 'a' if n is odd else 'b' }} {{ n if n is not defined else 'z' }}
{{ 'a' is odd }}
{{ s is startingwith 'a' }}
{{ n is frobbed }}
{{ n|frobbed }}
{{ m|selectattr('role', 'equalto', 'bot')|list }} {{ m|selectattr('role', '==', 'bot')|map(attribute='content')|first }} {{ m|rejectattr('role', 'eq', 'bot')|list|length }} {{ people|selectattr('in')|map(attribute='n')|list }} {{ people|selectattr('a', 'gt', 2)|map(attribute='n')|join }} {{ l|select('odd')|list }} {{ l|reject('odd')|list }} {{ [0,1,'',none]|select|list }} {{ people|selectattr('in.z', 'defined')|list|length }} {{ m|selectattr('role', 'in', ['user','x'])|list|length }} {{ [1,none]|reject('none')|list }}
{{ m|selectattr|list }}
{{ none|select('odd')|list }} {{ 0|map('upper')|list }} {{ none|selectattr('a', 'odd')|list }} {{ []|selectattr|list }} {{ 5|map('upper')|list }}
{{ m|select('nope')|list }}
{% set g = l|select('odd') %}{{ g|list }}{{ g|list }} {% set g = l|map('string') %}{{ g|first }}{{ g|list }}
{{ l|select('odd')|last }}
{{ l|select('odd')|length }}
{{ (l|select('odd')|list)[0] }} {{ (l|reverse|list)[0] }} {{ l[::-1] }}
{{ l|join }} {{ l|join('-') }} {{ people|join(',', attribute='n') }} {{ l|join(d='+') }} {{ 'abc'|join('.') }} {{ [none, true, 1.5]|join('|') }} {{ d|join(',') }}
{{ 5|join }}
{{ q|default('e') }} {{ x|default('e', true) }} {{ x|default('e') }} {{ e|default('z', boolean=true) }} {{ q|d }}| {{ m.zz|default('u') }} {{ e|d('k') }}|
{{ m.zz.yy|default('u') }}
{{ s|replace('-', '+') }} {{ s|replace('-', '') }} {{ s|replace('-', '+', 1) }} {{ 'abc'|replace('', '.') }} {{ 'abc'.replace('', '.') }} {{ 'aaa'.replace('a', 'b', 2) }} {{ 5|replace('5', 'x') }} {{ 'abc'.replace('b', '') }}
{{ s.replace('-') }}
{{ s.replace('-', 1) }}
{{ lines|indent }}|{{ lines|indent(2, true) }}|{{ lines|indent(2, blank=true) }}|{{ lines|indent('> ') }}|{{ 'a\nb'|indent(width=1) }}|{{ ''|indent(first=true) }}
{{ 'a b c d e f g h'|truncate(9) }} {{ 'a b c d e f g h'|truncate(9, leeway=0) }} {{ 'abcdefghijklmnop'|truncate(8, true, '>', 0) }} {{ 'abcdefgh'|truncate(5) }}
{{ 'x'|center(5) }}|{{ 'ab'|center(5) }}|{{ '%s=%s'|format('a', 1) }} {{ '%(a)s'|format(a=1) }} {{ ' xax '|trim }} {{ 'xax'|trim('x') }} {{ 'xax'.lstrip('x') }} {{ 'xyax'.strip('yx') }} {{ '\u3000a\u00a0'|trim }}|
{{ d|attr('x') is defined }} {{ s|attr('upper') is defined }}
{{ s|length }} {{ d|length }} {{ (1,2)|length }} {{ d|count }} {{ d.items()|length }}
{{ 5|length }}
{{ none|length }}
{{ cycler('a','b').next() }} {% set c = cycler(1, 2) %}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.next() }}{% set _ = c.reset() %}{{ c.current }}
{% set j = joiner('|') %}{% for a in [1,2,3] %}{{ j() }}{{ a }}{% endfor %}{% set k = joiner() %}{{ k() }}{{ k() }}
{{ strftime_now('%d %b %Y %H:%M') }} {{ strftime_now('%Y-%m-%d') }}
{{ raise_exception('boom') }}
{{ 1 if false }}|{{ (1 if false) is defined }} {{ 1 if true else 2 }} {{ 1 if false else 2 if false else 3 }} {{ (x or 'a') and 'b' }} {{ e or [] or 'z' }} {{ 0 and 1 }}
{{ 1 + true }} {{ true + true }} {{ 1.5 + 1 }} {{ 'a' + 'b' ~ 1 + 2 }} {{ 1 ~ 2 }} {{ [1] + [2] }} {{ (1,) + (2,) }} {{ 7 - 2 - 1 }} {{ 2 + 3 * 4 }} {{ (2 + 3) * 4 }} {{ 10 / 4 }} {{ 10 / 5 }} {{ -n }} {{ +n }} {{ - -n }} {{ -1|abs }} {{ not true }} {{ not not 1 }} {{ 7 // 2 * 2 }}
{{ 'a' + 1 }}
{{ [1] + (2,) }}
{{ 'a' - 'b' }}
{{ 1 / 0 }}
{{ 1 % 0 }}
{{ 1.0 // 0 }}
{{ -'a' }}
{{ {[1]: 2} }}
{{ 9223372036854775807 }} {{ 9223372036854775807 - 1 }} {{ -9223372036854775807 }}
! {{ 9223372036854775807 + 1 }}
{{ 'a' 'b' "c" }} {{ true }} {{ True }} {{ None }} {{ false }} {{ none }}
{{ [1, 2,] }} {{ {'a': 1,} }} {{ [] }} {{ {} }} {{ 1, 2 }} {{ (1) }}
{{ m[0].content|trim|upper|length }} {{ (m|first).role }} {{ m|map(attribute='content')|map('trim')|join('|') }} {{ m[-1].role[0] }} {{ m.0.role }}
{%- for a in m -%}  {{ a.role }}  {%- endfor -%}  x
a  {%- if t %} b {%- endif %} c {{- n -}} d
{% if n > 2 and n < 4 or false %}y{% elif n == 9 %}z{% else %}w{% endif %}{% if not m %}{% elif m %}e{% endif %}
{# a comment #}a{#- b -#} c {# {{ x }} #}
{% for i in range(3) %}{{ i }}{{ ',' if not loop.last }}{% endfor %} {% for i in range(3) -%} {{ i }} {%- endfor %}
{{ m|map(attribute='role')|unique|list }} {{ m|tojson|length }} {{ m|string|length }} {{ [m[0]]|tojson }}
{{ lines.strip().split('\n') }} {{ lines.split() }} {{ lines.splitlines()|map('trim')|select|list }}
{{ loop is defined }} {% for i in [1] %}{{ loop is defined }}{{ loop.index is defined }}{{ loop.zz is defined }}{% endfor %}
{{ d.__class__ }}
{{ s.__class__ }}
{% break %}
{% include 'x' %}
{% import 'x' as y %}
{{ n.foo.bar }}
{{ f(1) }}
{{ s(1) }}
{{ namespace(1) }}
{{ 'a'.upper(1) }}
{{ s|trim(1) }}
{{ s|upper(1) }}
{{ s|default(1,2,3) }}
{% if %}x{% endif %}
{% for x %}{% endfor %}
{{ 1 + }}
{{ 'abc }}
{{ (1, 2 }}
{{ a b }}
{% endfor %}
{% if t %}
{{ 1 | }}
{{ . }}
{{ "a" "b }}
""".strip("\n").replace('\\\nb"', '\\\x00b"').split("\n")

# Templates of several lines, for white space.
BLOCKS = [
    "a\n{% if t %}\nb\n{% endif %}\nc\n", "a\n  {% if t %}\n  b\n  {% endif %}\nc\n\n", "  {{ n }}\n  {{ n }}\n",
    "a {%- if t -%} b {%- endif -%} c", "a\n  {# note #}\nb", "a\n  {%+ if t %}b{% endif +%}\nc", "x {% if t %}y{% endif %} z\n",
    "a\r\nb\r\n", "\n\n{%- if t %}\n\n x{% endif %}\n", "{% for i in [1,2] %}\n  {{ i }}\n{% endfor %}\nend", "{% set q = 1 %}\n\n{% set r = 2 %}\n{{ q }}\n",
    "a\n   {%- set q = 1 -%}   \n  b", "{% raw %}\n {{ n }}\n{% endraw %}\nb", "  {% raw %} x {% endraw %}  \nb", "{% raw -%}\n x\n {%- endraw -%}\n b",
    "{% macro f() %}\n  x\n{% endmacro %}\n[{{ f() }}]\n", "{% filter upper %}\n a\n{% endfilter %}\n", "{{ n }}{# c #}\n{# d #}\n x", "{#- a -#}\n b\n{%- if t %}\n c{% endif %}",
    "a{{ '\n' }}\n{{ '' }}\nb", "{% call(x) f() %}", "{% set q %}\n line\n{% endset %}\n[{{ q }}]", "{{\n n\n}}\n", "\t{% if t %}\tx\t{% endif %}\t\n", "{%if t%}x{%endif%}", "{{n}}{%-if t-%} x {%-endif-%}",
    "a\n\t {%- if t %}\n  b\n\t{%- endif %}\n", "{{ 'x' -}}\n\n{{- 'y' }}", "{{ 'x' }}\n{%- if t %}z{% endif -%}\n\nw", "{% if t %} {% if t %}\n x\n {% endif %} {% endif %}\n",
]


def raise_exception(text):
    raise jinja2.exceptions.TemplateError(text)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


class Generation(jinja2.ext.Extension):
    """The tag's body, as a caller of its own, unchanged."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def environment():
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda form: datetime.datetime(2024, 7, 26, 12).strftime(form)
    return env


def row(env, template):
    refused = template.startswith("! ")
    template = template[2:] if refused else template
    out = {"t": template}
    try:
        out["out"] = env.from_string(template).render(**VARS)
    except Exception as e:  # whatever Python says, it is an error of the template
        out["error"] = f"{type(e).__name__}: {e}"
    if refused:
        out["refused"] = True
    return out


def split(line):
    """One row for each print, so that one error does not hide the others."""
    if "{%" in line or line.startswith("! "):
        return [line]
    return re.split(r"(?<=\}\})\|? (?=\{\{)", line)


def main():
    env = environment()
    templates = [one for line in TEMPLATES for one in split(line)] + BLOCKS
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "jinja.jsonl")
    with open(path, "w", encoding="utf-8") as f:
        f.write(json.dumps({"vars": VARS}) + "\n")
        for template in templates:
            f.write(json.dumps(row(env, template.replace("\x00", "\n"))) + "\n")


main()
