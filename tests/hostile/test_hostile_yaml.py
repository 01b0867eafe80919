"""Study files and values of --set that stand for more, or for something else, than they seem to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.hostile_commands import Yard, cases, see


def bomb(levels: int, width: int = 9) -> str:
    """Return lists of aliases of lists: so many bytes a level, and ``width`` times the values."""
    names = [f"a{number}" for number in range(levels)]
    lines = [f"a0: &a0 [{', '.join(['x'] * width)}]"]
    lines += [
        f"{name}: &{name} [{', '.join([f'*{inner}'] * width)}]" for inner, name in zip(names, names[1:], strict=False)
    ]
    return "\n".join(lines) + "\n"


def merges(levels: int) -> str:
    lines = ["m0: &m0 {k0: 1}"]
    lines += [f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 9)}], k{n}: 1}}" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


ADDED = {
    "aliases of aliases": bomb(9),
    "aliases of aliases, deep": bomb(40, 2),
    "merges of merges": merges(12),
    "an alias inside itself": "extra: &x [*x]\n",
    "an alias inside itself as a key": "extra: &x {? *x : 1}\n",
    "an alias of nothing": "extra: *nothing\n",
    "no whole number": "extra: !!int a\n",
    "no number": "extra: !!float a\n",
    "no date": "extra: !!timestamp a\n",
    "no such day": "extra: !!timestamp 2020-99-99\n",
    "no truth": "extra: !!bool maybe\n",
    "no bytes": "extra: !!binary '*'\n",
    "no null": "extra: !!null something\n",
    "no set": "extra: !!set [a]\n",
    "no mapping": "extra: !!map [a]\n",
    "no pairs": "extra: !!omap {a: b}\n",
    "an object": "extra: !!python/object/apply:os.system ['touch pwned']\n",
    "a tag of nobody": "extra: !mine {a: b}\n",
    "5,000 digits": f"extra: {'9' * 5000}\n",
    "5,000 hexadecimal digits": f"extra: 0x{'f' * 5000}\n",
    "many octal digits": f"extra: 0{'7' * 9000}\n",
    "base 60": f"extra: 1{':59' * 3000}\n",
    "a list as a key": "? [a, b]\n: c\n",
    "a mapping as a key": "? {a: b}\n: c\n",
    "nothing as a key": "~: c\n",
    "a number as a key": "1: c\n",
    "deep lists": "extra: " + "[" * 5000 + "]" * 5000 + "\n",
    "deep mappings": "extra: " + "{a: " * 5000 + "}" * 5000 + "\n",
    "deep lists without an end": "extra: " + "[" * 500_000,
    "many values": "extra: [" + "a, " * 300_000 + "a]\n",
    "many keys": "".join(f"k{number}: 1\n" for number in range(60_000)),
    "a long text": "extra: '" + "a" * 900_000 + "'\n",
    "a long key": "k" * 1000 + ": 1\n",
    "a long question": "? " + "k" * 200_000 + "\n: 1\n",
    "half of a pair": 'extra: "\\ud800"\n',
    "an escape sequence": 'extra: "\\e[2J"\n',
    "a null byte": 'extra: "\\0"\n',
    "a raw null byte": "extra: \0\n",
    "a second document": "---\nname: other\n",
    "a directive": "%YAML 9.9\n---\nname: other\n",
    "more than a mebibyte": "# " + "x" * 2**21 + "\n",
}
"""Added to a sound study file."""

KEYS = {
    "a date for a name": ("name: tiny", "name: 2020-01-01"),
    "a date for a task": ("task: ./task.py", "task: 2020-01-01"),
    "a date for a model": ("{name: model}", "{name: 2020-01-01}"),
    "a date for data": ("{path: data}", "{path: 2020-01-01}"),
    "a date for a prompt": ("- bare", "- 2020-01-01"),
    "a date for a text": ('text: "{{ source }}\\nTL;DR:"', "text: 2020-01-01"),
    "a date for a field": ("shorten: source", "shorten: 2020-01-01"),
    "a date for a tuning": ("[none, head,", "[none, 2020-01-01,"),
    "a date for a number": ("trials: 2", "trials: 2020-01-01"),
    "a date for a column": ("{path: data}", "{path: data, columns: {source: 2020-01-01}}"),
    "a date for a baseline": ("final: {", "final: {baseline: {prompt: 2020-01-01, tuning: none}, "),
    "a list for a name": ("name: tiny", "name: [tiny]"),
    "a name of a name": ("name: tiny", "name: {name: tiny}"),
    "nothing for a name": ("name: tiny", "name:"),
    "bytes for a name": ("name: tiny", "name: !!binary dGlueQ=="),
    "a set for tunings": ("[none, head, {last_blocks: 1}]", "!!set {none, head}"),
    "a mapping for prompts": ("- bare\n", "- {bare: {}}\n"),
    "a list in prompts": ("- bare\n", "- [bare]\n"),
    "nothing in prompts": ("- bare\n", "- ~\n"),
    "a number in prompts": ("- bare\n", "- 1\n"),
    "truth for a number": ("trials: 2", "trials: true"),
    "a text for a number": ("trials: 2", "trials: 'two'"),
    "many digits as text": ("trials: 2", f"trials: '{'9' * 5000}'"),
    "no number at all": ("trials: 2", "trials: .nan"),
    "infinitely many": ("trials: 2", "trials: .inf"),
    "a name as long as a book": ("name: tiny", f"name: {'a' * 500_000}"),
    "blocks without end": ("{last_blocks: 1}", "{last_blocks: 999999999999}"),
    "blocks below none": ("{last_blocks: 1}", "{last_blocks: -1}"),
    "a list of blocks": ("{last_blocks: 1}", "{last_blocks: [1]}"),
}
"""Passages of a sound study file, and what stands in their place."""

VALUES = {
    "aliases of aliases": "extra=" + bomb(9).replace("\n", ", ").join("{}"),
    "an alias inside itself": "extra=&x [*x]",
    "no whole number": "training.epochs=!!int a",
    "5,000 digits": f"training.epochs={'9' * 5000}",
    "5,000 hexadecimal digits": f"training.epochs=0x{'f' * 5000}",
    "a date": "training.epochs=2020-01-01",
    "deep lists": "training.epochs=" + "[" * 5000,
    "deep keys": ".".join(["a"] * 5000) + "=1",
    "deep keys of a section": "training." + ".".join(["a"] * 5000) + "=1",
    "a key inside a value": "name.sub=1",
    "an object": "name=!!python/name:os.system",
    "escape sequences": "na\x1b[2Jme=\x1b]8;;http://x\x07y",
    "many values": "prompts=[" + "a," * 30_000 + "]",
    "no key": "=1",
    "no value": "name=",
    "half of a pair": "name=\udc80",
}
"""Values of --set."""


@pytest.mark.parametrize("case", cases(ADDED))
def test_what_is_added_to_a_study_file(case: str, tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    with yard.study.open("a", encoding="utf-8", errors="surrogatepass") as file:
        file.write(ADDED[case])
    said = see(yard.run("check", "study.yaml"), 2)
    assert "study.yaml" in said


@pytest.mark.parametrize("case", cases(KEYS))
def test_a_value_of_another_kind(case: str, tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    yard.edit(*KEYS[case])
    see(yard.run("check", "study.yaml"))


@pytest.mark.parametrize("case", cases(VALUES))
def test_a_value_of_set(case: str, tmp_path: Path) -> None:
    see(Yard(tmp_path).run("check", "study.yaml", "--set", VALUES[case]), 2)
