"""What the command line sets: keys, entries of lists, and what is said of those that are not there."""

from __future__ import annotations

from typing import Any

import pytest

from harness.core.errors import StudyError
from harness.study.overrides import apply_overrides


def tree() -> dict[str, Any]:
    return {"name": "a", "prompts": ["bare", {"name": "own", "text": "x"}], "tuning": ["head", {"last_blocks": 2}]}


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("prompts[1].text={{ source }}", "prompts", ["bare", {"name": "own", "text": "{{ source }}"}]),
        ("prompts[1].text='{{ source }}'", "prompts", ["bare", {"name": "own", "text": "{{ source }}"}]),
        ("prompts[1].text={{ a }}: \n", "prompts", ["bare", {"name": "own", "text": "{{ a }}: \n"}]),
        ("prompts[0].text='y'", "prompts", [{"name": "bare", "text": "y"}, {"name": "own", "text": "x"}]),
        ("prompts[0]=cue", "prompts", ["cue", {"name": "own", "text": "x"}]),
        ("tuning[1].last_blocks=3", "tuning", ["head", {"last_blocks": 3}]),
        ("search.trials=2", "search", {"trials": 2}),
        ("search.ranges.head.low=0.1", "search", {"ranges": {"head": {"low": 0.1}}}),
    ],
)
def test_what_is_set(override: str, key: str, value: object) -> None:
    changed = tree()
    apply_overrides(changed, [override])
    assert changed == tree() | {key: value}


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("prompts[2].text=x", ": prompts has 2 entries, prompts[0] to prompts[1]"),
        ("tuning[9]=full", ": tuning has 2 entries, tuning[0] to tuning[1]"),
        ("promts[0].text=x", ": the study file has no list 'promts'; did you mean 'prompts'? Known: prompts, tuning"),
        ("final.seeds[0]=3", ": the study file has no list 'final.seeds'; set the whole list: final.seeds=[...]"),
        ("name[0]=x", ": 'name' holds 'a', no list"),
        ("name.sub=x", ": 'name' holds 'a', no section with keys"),
        ("prompts.text=x", ": 'prompts' holds ['bare', {name: 'own', text: 'x'}], no section with keys"),
        ("prompts[x].text=1", " must have the form key.sub=value, an entry of a list key[0].sub=value"),
        ("prompts[0]text=1", " must have the form key.sub=value, an entry of a list key[0].sub=value"),
        ("[0]=1", " must have the form key.sub=value, an entry of a list key[0].sub=value"),
        ("a..b=1", " must have the form key.sub=value, an entry of a list key[0].sub=value"),
        ("trials", " must have the form key.sub=value, an entry of a list key[0].sub=value"),
        ("a.a.a.a.a.a.a.a.a.a=1", ": no key lies more than 8 sections deep"),
    ],
)
def test_what_cannot_be_set(override: str, words: str) -> None:
    with pytest.raises(StudyError) as caught:
        apply_overrides(tree(), [override])
    (problem,) = caught.value.problems
    assert problem.message == f"{override!r}{words}"
