"""Prompts that would be rendered for ever, or to more than memory holds, or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.hostile_commands import Yard, cases, see

LOOP = "{% for i in range(100000) %}"
END = "{% endfor %}"


def again(step: str, *, start: str = "source", shown: str = "n.x") -> str:
    """Return a prompt in which a value is made of itself over and over."""
    loop = "{% for i in range(60) %}" + step + "{% endfor %}"
    return "{% set n = namespace(x=" + start + ") %}" + loop + "{{ " + shown + " }}"


REFUSED = {
    "a long range": "{% for i in range(10**9) %}{{ source }}{% endfor %}",
    "loops in loops": f"{LOOP}{LOOP}x{END}{END}{{{{ source }}}}",
    "loops in loops that write nothing": f"{LOOP}{LOOP}{LOOP}{END}{END}{END}{{{{ source }}}}",
    "loops in loops over a list": "{% set l = range(5000) | list %}"
    + "{% for a in l %}" * 3
    + END * 3
    + "{{ source }}",
    "a text, repeated": "{{ source }}{{ 'a' * 10**10 }}",
    "a text, repeated from the left": "{{ source }}{{ 10**10 * 'a' }}",
    "a list, repeated": "{{ source }}{{ [1] * 10**9 }}",
    "a power": "{{ source }}{{ 10**10**10 }}",
    "a power of a field": "{{ source }}{{ (source | length) ** 10**9 }}",
    "squares of squares": again("{% set n.x = n.x * n.x %}", start="9", shown="source"),
    "doubled by ~": again("{% set n.x = n.x ~ n.x %}"),
    "doubled by +": again("{% set n.x = n.x + n.x %}"),
    "doubled by join": again("{% set n.x = [n.x, n.x] | join %}"),
    "doubled by format": again("{% set n.x = '%s%s' % (n.x, n.x) %}"),
    "doubled by a method": again("{% set n.x = '{0}{0}'.format(n.x) %}"),
    "doubled by a block": again("{% set y %}{{ n.x }}{{ n.x }}{% endset %}{% set n.x = y %}"),
    "doubled by replace": again("{% set n.x = n.x | replace('a', 'aaaa') %}", start="source ~ 'a'"),
    "lists of lists": again("{% set n.x = [n.x, n.x] %}", start="[source]"),
    "lists of lists as text": again("{% set n.x = [n.x, n.x] %}", start="[source]", shown="n.x | string"),
    "lists of lists as JSON": again("{% set n.x = [n.x, n.x] %}", start="[source]", shown="n.x | tojson"),
    "centered": "{{ source | center(10**10) }}",
    "centered by a method": "{{ source.center(10**10) }}",
    "justified": "{{ source.ljust(10**10) }}",
    "filled with zeros": "{{ source.zfill(10**10) }}",
    "tabs expanded": "{{ (source ~ '\t').expandtabs(10**10) }}",
    "indented": "{{ source | indent(10**9, true) }}",
    "a width of %": "{{ source }}{{ '%10000000000d' % 1 }}",
    "a width beside %": "{{ source }}{{ '%*d' % (10**10, 1) }}",
    "a width of format": "{{ source }}{{ '{:10000000000}'.format(1) }}",
    "a width beside format": "{{ source }}{{ '{:{}}'.format(1, 10**10) }}",
    "a width of a filter": "{{ source }}{{ '%10000000000d' | format(1) }}",
    "joined by a long text": "{{ source }}{{ (range(100000) | list) | join('a' * 100000) }}",
    "joined by a method": "{{ source }}{{ ('a' * 100000).join(['b'] * 100000) }}",
    "replaced by a long text": "{{ source | replace('', 'a' * 10**6) | replace('', 'b' * 10**6) }}",
    "batches filled up": "{{ source }}{{ [1] | batch(10**9, 'x') | list }}",
    "a billion slices": "{{ source }}{{ [1] | slice(10**9) | list }}",
    "rounded to a billion places": "{{ source }}{{ 5 | round(-1000000000, 'floor') }}",
    "JSON indented": "{{ source }}{{ [[1], [2]] | tojson(10**9) }}",
    "a macro that calls itself": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}{{ source }}",
    "a macro that calls itself twice": "{% macro f(n) %}{% if n %}"
    + "{{ f(n - 1) }}" * 2
    + "{% endif %}{% endmacro %}{{ f(60) }}",
    "a recursive loop": "{% for i in [1, 2] recursive %}{{ loop([1, 2]) }}{% endfor %}{{ source }}",
    "blocks in themselves": "{% block a %}{{ self.a() }}{% endblock %}{{ source }}",
    "a filter that is no filter": "{{ source | nothing }}",
    "an end that is missing": "{% for i in source %}",
    "parentheses without end": "{{ " + "(" * 5000,
    "parentheses": "{{ " + "(" * 3000 + "source" + ")" * 3000 + " }}",
    "a sum of thousands": "{{ source }}{{ " + "+".join("1" * 9000) + " }}",
    "conditions in conditions": "{% if 1 %}" * 500 + "{{ source }}" + "{% endif %}" * 500,
    "loops in loops in loops": "{% for a in [1] %}" * 50 + "{{ source }}" + "{% endfor %}" * 50,
    "an attribute that leads out": "{{ source.__class__.__mro__ }}",
    "a format that leads out": "{{ '{0.__class__.__mro__}'.format(source) }}",
    "a file": "{% include '/etc/passwd' %}{{ source }}",
    "an import": "{% import 'os' as os %}{{ source }}",
    "half of a pair": "{{ source }}{{ '\\ud800' }}",
}

ACCEPTED = {
    "a conversation in a loop": "{% for word in source.split() %}{{ loop.index }}: {{ word }}\n{% endfor %}",
    "filters of every day": "{{ source | trim | replace('A', 'bb') | truncate(2000) | wordwrap(79) | indent(4) }}",
    "joined": "{{ source.split() | join(', ') }}{{ ', '.join(source.split()) }}{{ 'a' ~ 1 ~ none }}",
    "a macro": "{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m(source) }}"
    "{% macro n() %}{{ caller() }}{% endmacro %}{% call n() %}x{% endcall %}",
    "numbers": "{{ source }}{{ 7 // 2 }}{{ 2 ** 10 }}{{ 3 * '=' }}{{ '%05.1f' % 2.25 }}{{ '{:>8}'.format('x') }}",
}


def with_prompt(folder: Path, text: str) -> Yard:
    yard = Yard(folder)
    yard.edit("- bare\n", f"- {{name: bad, text: {json.dumps(text)}}}\n")
    return yard


@pytest.mark.parametrize("case", cases(REFUSED))
def test_a_prompt_is_refused_in_a_sentence(case: str, tmp_path: Path) -> None:
    said = see(with_prompt(tmp_path, REFUSED[case]).run("check", "study.yaml"), 2)
    assert "study.yaml:9: " in said


@pytest.mark.parametrize("case", cases(ACCEPTED))
def test_a_prompt_of_every_day_is_not(case: str, tmp_path: Path) -> None:
    see(with_prompt(tmp_path, ACCEPTED[case]).run("check", "study.yaml"), 0)
