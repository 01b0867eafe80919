"""Values keep their types on the way into a prompt; what is empty is refused, all of it at once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.example import Example, as_text, fingerprint
from harness.data.template import Template
from tests.support.study_fixture import SIZES, Done, Place, Places, rows, write_rows

json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=5,
)


@given(json_values)
def test_a_value_shows_as_json_writes_it(value: Any) -> None:
    shown = Template("bare", "<{{ value }}>").render({"value": value})
    expected = value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
    assert shown == f"<{expected}>"
    assert as_text(value) == expected


@pytest.mark.parametrize(
    ("text", "fields", "shown"),
    [
        ("{% if flag %}yes{% else %}no{% endif %}", {"flag": False}, "no"),
        ("{% if flag is none %}no{% endif %}", {"flag": None}, "no"),
        ("{% if year > 1999 %}new{% endif %}", {"year": 2001}, "new"),
        ("{{ year + 1 }}", {"year": 2001}, "2002"),
        ("{% for tag in tags %}#{{ tag }} {% endfor %}", {"tags": ["a", 1, None]}, "#a #1 # "),
        ("{{ tags | length }}", {"tags": ["a", "b"]}, "2"),
        ("{{ of.name }}", {"of": {"name": True}}, "true"),
        ("{{ topic | default('none') }}", {}, "none"),
        ("{% if topic is defined %}{{ topic }}{% else %}-{% endif %}", {}, "-"),
        ("{{ topic | trim }}|{{ topic | upper }}|{{ topic ~ '.' }}", {"topic": None}, "||."),
        ("{{ flag ~ '' }} {{ flag | string }} {{ flag | upper }}", {"flag": True}, "true true TRUE"),
        ("{{ tags | join(', ') }}", {"tags": ["a", None, False, 1.5]}, "a, , false, 1.5"),
        ("{{ tags | map('upper') | join(' ') }}", {"tags": ["a", None, True]}, "A  TRUE"),
        ("{{ of | join('-', attribute='name') }}", {"of": [{"name": "a"}, {"name": "b"}]}, "a-b"),
        ("{{ tags | string }}", {"tags": [None, True]}, "[null, true]"),
    ],
)
def test_templates_see_types(text: str, fields: dict[str, Any], shown: str) -> None:
    assert Template("own", text).render(fields) == shown


def test_digests_are_those_of_texts() -> None:
    typed, texts = ({"source": "a", "year": 3}, {"source": "a", "year": "3"})
    assert fingerprint([Example("1", typed, "b")]) == fingerprint([Example("1", texts, "b")])


def checked(place: Place, content: list[dict[str, Any]], *prompts: str) -> Done:
    """Check a study whose splits all begin with some rows."""
    for split in SIZES:
        more = [{**content[-1], **row} for row in rows(split)] if content else rows(split)
        write_rows(place.folder / "data" / f"{split}.jsonl", [*content, *more])
    named = [{"name": f"p{number}", "text": text} for number, text in enumerate(prompts)]
    return place.command("check", "study.yaml", "--set", f"prompts={json.dumps(named)}")


def test_a_field_that_some_rows_lack_may_be_asked_for(places: Places) -> None:
    place = places(store=False)
    some = [{"source": "a b", "target": "c", "topic": "t"}, {"source": "d e", "target": "f"}]
    assert checked(place, some, "{{ source }}{% if topic is defined %} ({{ topic }}){% endif %}:").status == 0
    bare = checked(place, some, "{{ topic }} {{ source }}:")
    assert bare.status == 2
    assert "'topic' is undefined" in bare.err


def test_no_field_has_to_be_called_source(places: Places) -> None:
    place = places(store=False)
    for split in SIZES:
        content = [
            {"text": row["source"], "summary": row["target"], "year": number} for number, row in enumerate(rows(split))
        ]
        write_rows(place.folder / "data" / f"{split}.jsonl", content)
    named = json.dumps([{"name": "own", "text": "{{ year }}: {{ text }} TL;DR:"}])
    settings = ["--set", "data.columns={target: summary}", "--set", f"prompts={named}"]
    for setting in ("tuning=[none, head]", "search.trials=1", "final.seeds=[1]", "training.epochs=1"):
        settings += ["--set", setting]
    place.edit("task: ./task.py", "task: ./own.py")
    (place.folder / "own.py").write_text(
        "from harness import Task, Template\n"
        "task = Task(name='own', data='data', prompts=[Template('bare', '{{ text }}')], metrics=['token_f1'],\n"
        "            max_target_tokens=12)\n"
    )
    done = place.command("run", "study.yaml", *settings)
    assert done.status == 0, done.err


@pytest.mark.parametrize("target", [None, "", "   "])
def test_rows_without_a_target_are_all_named_once(target: str | None, places: Places) -> None:
    place = places(store=False)
    content: list[dict[str, Any]] = [{"id": f"e{n}", "source": f"a {n}", "target": target} for n in range(3)]
    for split in SIZES:
        write_rows(place.folder / "data" / f"{split}.jsonl", [*content, *rows(split)])
    done = place.command("check", "study.yaml")
    assert done.status == 2
    named = "'e0', 'e1', 'e2'"
    assert f"or the end token: 9 rows (train {named}; validation {named}; test {named}); correct" in done.err
    assert done.err.count("without a target") == 1


def test_numbers_may_be_targets(places: Places) -> None:
    place = places(store=False)
    for split in SIZES:
        content = [{"source": row["source"], "target": number % 3} for number, row in enumerate(rows(split))]
        write_rows(place.folder / "data" / f"{split}.jsonl", content)
    assert place.command("check", "study.yaml").status == 0


def test_prompts_that_nothing_is_left_of_are_named_once(places: Places) -> None:
    place = places("t5", store=False)
    for split in SIZES:
        content = [{"id": "e", "source": "a b", "target": "c", "note": None}]
        write_rows(place.folder / "data" / f"{split}.jsonl", [*content, *({**row, "note": "n"} for row in rows(split))])
    named = json.dumps([{"name": "own", "text": "{{ note }}\n"}])
    done = place.command("check", "study.yaml", "--set", f"prompts={named}")
    assert done.status == 2
    assert "of 3 rows (train 'e'; validation 'e'; test 'e') prompt 'own' renders to an empty text" in done.err
    assert done.err.count("renders to an empty text") == 1
