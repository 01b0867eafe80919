"""Prompts that say nothing, or too much: without a field, with the target inside, another text every time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import Example
from harness.data.data_keys import Data
from harness.data.sources import SourceRow
from harness.data.template import Template
from harness.study.row_counts import holds
from harness.study.target_in_prompt import told_targets
from harness.study.task import plain_example
from tests.support.first_of_kind import first_of_kind
from tests.support.study_fixture import SIZES, Done, Place, Places, rows, write_rows

OWN = """
def example(row, id):
    {body}

task = Task(
    name="own", data="data", prompts=[Template("bare", "{{{{ source }}}}")], metrics=["chrf"], max_target_tokens=12,
    example=example,
)
"""


def with_prompt(place: Place, text: str, **keys: Any) -> Done:
    prompt = json.dumps({"name": "cue", "text": text, **keys})
    return place.command(
        "check", "study.yaml", "--set", f"prompts=[bare, {prompt}]", "--set", "training.max_source_tokens=100"
    )


def with_rows(place: Place, **columns: str) -> None:
    """Give all rows more columns, formatted from those they have."""
    for split in SIZES:
        content = [{**row, **{name: text.format(**row) for name, text in columns.items()}} for row in rows(split)]
        write_rows(place.folder / "data" / f"{split}.jsonl", content)


def with_task(place: Place, body: str) -> None:
    text = "import datetime, random, time\nfrom harness import Example, Task, Template\n" + OWN.format(body=body)
    (place.folder / "task.py").write_text(text, encoding="utf-8")


# Without a field.


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("Sum up: {source}", "write {{ source }} instead of {source}"),
        ("Sum up: { source }", "write {{ source }} instead of { source }"),
        ("Sum up: $source", "write {{ source }} instead of $source"),
        ("Sum up: ${source}", "write {{ source }} instead of ${source}"),
        ("Sum up: <source>", "write {{ source }} instead of <source>"),
        ("Sum up: %(source)s", "write {{ source }} instead of %(source)s"),
        ("Sum up: [source]", "write {{ source }} instead of [source]"),
        ('Sum up: {{ "source" }}', 'write {{ source }} instead of {{ "source" }}'),
        ("Sum up.", "write {{ source }} where"),
        ("{# {{ source }} #}Sum up.", "write {{ source }} where"),
        ("{% raw %}{{ source }}{% endraw %}", "write {{ source }} where"),
    ],
)
def test_a_prompt_without_a_field_is_refused(text: str, remedy: str, places: Places) -> None:
    done = with_prompt(places(store=False), text)
    assert done.status == 2
    assert "prompt 'cue' uses no field" in done.err
    assert remedy in done.err
    assert done.err.startswith("override prompts=")


@pytest.mark.parametrize("text", ["{% if source %}Sum up.{% endif %}", "{% set x = source %}Sum up.", "Go{{ mood }}"])
def test_a_prompt_that_shows_nothing_of_the_row_is_refused(text: str, places: Places) -> None:
    place = places(store=False)
    with_rows(place, mood="glad")
    done = with_prompt(place, text)
    assert done.status == 2
    assert "prompt 'cue' renders the same text for every row" in done.err


def test_a_field_that_stays_plain_text_is_told(places: Places) -> None:
    place = places(store=False)
    with_rows(place, mood="glad")
    done = with_prompt(place, "Be {mood}: {{ source }}")
    assert done.status == 0, done.err
    assert "prompt cue holds {mood} as plain text; if the field is meant, write {{ mood }}." in done.out
    assert "as plain text" not in with_prompt(place, "Be {kind}: {{ source }}").out


@pytest.mark.slow
def test_prompts_that_read_alike_are_told_and_not_refused(places: Places) -> None:
    place = places()
    prompt = json.dumps({"name": "cue", "text": "{{ source|trim }}\n"})
    put = ("--set", f"prompts=[bare, {prompt}]", "--set", "tuning=[none]")
    done = place.command("check", "study.yaml", *put)
    assert done.status == 0, done.err
    sentence = "Prompts bare and cue read the same on every row"
    assert sentence in done.out
    place.run(*put)
    assert sentence in (place.folder / "reports" / "tiny" / "report.md").read_text(encoding="utf-8")
    assert sentence not in with_prompt(place, "{{ source }}?").out


# Another text every time.


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("{{ source.split()|random }}", "No filter named 'random'"),
        ("{{ lipsum(n=1) }}{{ source }}", "field 'lipsum' is undefined"),
        ("{{ source.upper }}", "call it with ()"),
        ("{{ source|map('upper') }}", "list its items"),
        ("{{ [source.upper] }}", "address that changes"),
        ("{{ source }}{{ joiner() }}", "address that changes"),
        ("{{ source ~ source.upper }}", "otherwise in each process"),
        ("{{ source }}{{ source.upper|string }}", "otherwise in each process"),
        ("{{ source }}{{ {'a': 1, 'b': 2}.keys() - {'c': 1}.keys() }}", "whose order changes"),
        ("{{ source }}{{ ({'a': 1, 'b': 2}.keys() - {'c': 1}.keys())|join }}", "whose order changes"),
        ("{{ source.__hash__ }}", "unsafe"),
        ("{{ source }}{% for word in source.split() %}{{ loop }}{% endfor %}", "which is a part of the template"),
        (
            "{% macro quoted(text) %}{{ text }}{% endmacro %}{{ source }}{{ quoted }}",
            "part of the template and no text",
        ),
        ("{{ source }}{{ namespace(a=1) }}", "part of the template and no text"),
        ("{{ source }}{{ self }}", "part of the template and no text"),
    ],
)
def test_a_prompt_that_changes_is_refused(text: str, rule: str, places: Places) -> None:
    done = with_prompt(places(store=False), text)
    assert done.status == 2
    assert rule in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    "text",
    first_of_kind(
        [
            "{{ source.upper() }}",
            "{{ source.split()|map('upper')|join(' ') }}",
            "{{ source|length - 2 }} {{ source }}",
            "{{ source.split()|unique|sort|join(' ') }}{% for word in source.split() %}{{ loop.index }}{% endfor %}",
            "{{ source }} at 0x1f",
            "{{ source.split() }}{{ {'a': source} }}",
        ]
    ),
)
def test_a_prompt_that_computes_may(text: str, places: Places) -> None:
    done = with_prompt(places(store=False), text)
    assert done.status == 0, done.err


@pytest.mark.parametrize(
    "expression",
    first_of_kind(
        [
            "str(random.random())",
            "' '.join({*row['source'].split(), *'abcdefgh'})",
            "str(hash(row['source']))",
            "str(object())",
            "str(time.monotonic_ns())",
            "datetime.date.today().isoformat()",
            "f'{datetime.datetime.now():%A}'",
            "time.strftime('%Y')",
            "str(time.gmtime().tm_mon)",
        ]
    ),
)
def test_a_task_that_makes_another_example_each_time_is_refused(expression: str, places: Places) -> None:
    place = places(store=False)
    place.edit("- bare", "- {name: bare, text: '{{ source }}{{ more }}'}")
    with_task(place, f"return Example(id, {{'source': row['source'], 'more': {expression}}}, row['target'])")
    done = place.command("check", "study.yaml")
    assert done.status == 2
    assert "the task's example() makes another example of it in each process" in done.err
    fixed = "' '.join(sorted({*row}))[:9] + f'{datetime.datetime(2020, 1, 2):%y}' + time.strftime('%y', time.gmtime(0))"
    with_task(place, f"return Example(id, {{'source': row['source'], 'more': {fixed}}}, row['target'])")
    assert place.command("check", "study.yaml").status == 0


@pytest.mark.parametrize(("id", "steady"), [("str(random.random())", False), ("f'n{next(COUNT)}'", True)])
def test_ids_that_differ_each_time_are_refused(id: str, steady: bool, places: Places) -> None:
    """By them a store would know no row again; those that are counted are the same whenever a study begins."""
    place = places(store=False)
    with_task(place, f"return Example({id}, {{'source': row['source']}}, row['target'])")
    file = place.folder / "task.py"
    file.write_text("from itertools import count\nCOUNT = count()\n" + file.read_text())
    done = place.command("check", "study.yaml")
    assert (done.status == 0) == steady, done.err
    assert steady or "the task's example() makes another example of it in each process" in done.err


# With the target inside.

COLUMNS = "data.columns={target: summary, source: source}"


@pytest.mark.parametrize(
    "text",
    first_of_kind(
        [
            "{{ source }} {{ summary }}",
            "{{ summary[:3] }} {{ source }}",
            "{{ source }} in {{ summary|length }} letters",
            "{{ source }}{% if 'a' in summary %}!{% endif %}",
            "{% set x = summary %}{{ source }} {{ x|upper }}",
        ]
    ),
)
def test_a_column_mapped_to_target_is_no_field(text: str, places: Places) -> None:
    place = places(store=False)
    with_rows(place, summary="{target} indeed {id}")
    prompt = json.dumps({"name": "cue", "text": text})
    done = place.command("check", "study.yaml", "--set", f"prompts=[bare, {prompt}]", "--set", COLUMNS)
    assert done.status == 2
    assert "prompt 'cue' changes with 'summary', which the target is made of" in done.err
    assert "prompt 'bare'" not in done.err


def test_the_target_by_another_name_is_no_field(places: Places) -> None:
    place = places(store=False)
    with_rows(place, summary="{target} indeed {id}")
    for columns in ("{target: summary, source: summary}", "{target: summary, hint: summary, source: source}"):
        prompt = json.dumps({"name": "cue", "text": "{{ source }}{{ hint }}" if "hint" in columns else "{{ source }}"})
        put = ("--set", f"prompts=[{prompt}]", "--set", f"data.columns={columns}")
        done = place.command("check", "study.yaml", *put)
        assert done.status == 2
        assert "prompt 'cue' changes with 'summary'" in done.err


PROMPT = Template("cue", "{{ source }} {{ hint }}")


def told(body: str, row: Mapping[str, Any], more: Mapping[str, Any]) -> bool:
    """Return whether a task's own function lets a prompt tell the target of rows of two kinds."""
    space: dict[str, Any] = {"Example": Example}
    exec(f"def example(row, id):\n    {body}", space)
    made = [SourceRow(f"row {n}", f"row-{n}", row if n % 2 else more) for n in range(8)]
    return bool(told_targets([PROMPT], made, Data(), space["example"]))


ARTICLES = {"text": "a b c d", "short": "b d", "lang": "en"}, {"text": "e f g h", "short": "f", "lang": "en"}
QUIZ = (
    {"q": "up?", "options": ["sky", "sea"], "right": 0, "all": "up? sky sea => sky"},
    {"q": "down?", "options": ["sun", "mud"], "right": 1, "all": "down? sun mud => mud"},
)
TITLES = {"text": "The Sun Sets"}, {"text": "A Bus Stops"}
PAIRS = {"pair": {"en": "house", "de": "Haus"}}, {"pair": {"en": "cat", "de": "Katze"}}
ANSWERS = {"q": "up?", "answers": ["sky", "the sky"]}, {"q": "down?", "answers": ["mud", "some mud"]}
TALKS = {"turns": ["hi", "who?", "me"]}, {"turns": ["oh", "what?", "that"]}


@pytest.mark.parametrize(
    ("body", "kinds", "tells"),
    [
        ("return Example(id, {'source': row['text'], 'hint': row['short']}, row['short'])", ARTICLES, True),
        ("return Example(id, {'source': row['text'], 'hint': row['short'][:1]}, row['short'].upper())", ARTICLES, True),
        ("return Example(id, {'source': row['text'] + ' ' + row['short'], 'hint': ''}, row['short'])", ARTICLES, True),
        ("return Example(id, {'source': row['text'], 'hint': row['lang']}, row['short'])", ARTICLES, False),
        (
            "return Example(id, {'source': row['q'], 'hint': row['options']}, row['options'][row['right']])",
            QUIZ,
            False,
        ),
        ("return Example(id, {'source': row['q'], 'hint': row['right']}, str(row['right']))", QUIZ, True),
        ("return Example(id, {'source': row['q'], 'hint': row['options']}, row['options'][0])", QUIZ, True),
        ("return Example(id, {'source': row['q'], 'hint': sorted(row['options'])}, row['options'][0])", QUIZ, False),
        (
            "a, b = row['all'].split(' => '); return Example(id, {'source': a, 'hint': ''}, b)",
            QUIZ,
            False,
        ),
        ("a, b = row['all'].split(' => '); return Example(id, {'source': a, 'hint': b}, b)", QUIZ, True),
        ("t = row['text']; return Example(id, {'source': t.lower(), 'hint': ''}, t)", TITLES, False),
        ("t = row['text']; return Example(id, {'source': t.lower(), 'hint': t[:1]}, t)", TITLES, True),
        ("t = row['text']; return Example(id, {'source': f'Read: {t}', 'hint': ''}, t)", TITLES, True),
        ("p = row['pair']; return Example(id, {'source': p['en'], 'hint': ''}, p['de'])", PAIRS, False),
        ("p = row['pair']; return Example(id, {'source': p['en'], 'hint': p['de'][0]}, p['de'])", PAIRS, True),
        ("a = row['answers']; return Example(id, {'source': row['q'], 'hint': a[1]}, a[0], tuple(a))", ANSWERS, True),
        ("a = row['answers']; return Example(id, {'source': row['q'], 'hint': ''}, a[0], tuple(a))", ANSWERS, False),
        ("*a, b = row['turns']; return Example(id, {'source': ' '.join(a), 'hint': ''}, b)", TALKS, False),
        ("*a, b = row['turns']; return Example(id, {'source': ' '.join(a), 'hint': len(b)}, b)", TALKS, True),
    ],
)
def test_a_task_of_ones_own_may_not_tell_the_target_either(
    body: str, kinds: tuple[Mapping[str, Any], Mapping[str, Any]], tells: bool
) -> None:
    assert told(body, *kinds) is tells


WORDS = st.text("abc", min_size=1, max_size=4)


@given(pairs=st.lists(st.tuples(WORDS, WORDS), min_size=2, max_size=8), leak=st.booleans())
def test_what_moves_with_the_target_is_told(pairs: list[tuple[str, str]], leak: bool) -> None:
    made = [
        SourceRow(f"row {n}", f"row-{n}", {"source": f"{n} {source}", "target": target})
        for n, (source, target) in enumerate(pairs)
    ]

    def example(row: Mapping[str, Any], id: str) -> Example:
        plain = plain_example(row, id)
        return Example(plain.id, {**plain.fields, "hint": row["target"] if leak else "none"}, plain.target)

    several = len({target for _, target in pairs}) > 1
    assert bool(told_targets([PROMPT], made, Data(), example)) == (leak and several)


def test_a_prompt_that_merely_holds_its_target_is_told_with_the_share(places: Places) -> None:
    place = places(store=False)
    for split in SIZES:
        answers = [{"source": f"{split} {n} is here", "target": "here" if n % 4 else "gone"} for n in range(20)]
        write_rows(place.folder / "data" / f"{split}.jsonl", answers)
    done = place.command("check", "study.yaml")
    assert done.status == 0, done.err
    assert "prompt bare holds the target word for word on 75% of rows" in done.out


@pytest.mark.parametrize("copy", ["{0}", "{1}", "{2}"], ids=["as it is", "in capitals", "backwards"])
def test_a_copy_of_the_target_is_told_in_any_dress(copy: str, places: Places) -> None:
    place = places(store=False)
    for split in SIZES:
        content = rows(split)
        for row in content:
            row["note"] = copy.format(row["target"], row["target"].upper(), row["target"][::-1])
            row["source"] = f"{split} {row['id']}"
        write_rows(place.folder / "data" / f"{split}.jsonl", content)
    done = with_prompt(place, "{{ source }} {{ note }}")
    assert done.status == 0, done.err
    assert "prompt cue holds the target word for word on" in done.out


@pytest.mark.parametrize(
    ("text", "target", "inside"),
    [
        ("say yes or no", "no", True),
        ("say nothing", "no", False),
        ("nono no", "no", True),
        ("a  b\nc", "b c", True),
        ("a", "", False),
        ("(no)", "no", True),
        ("1 + 1", "+", True),
    ],
)
def test_a_target_is_held_word_for_word(text: str, target: str, inside: bool) -> None:
    assert holds(text, target) is inside
