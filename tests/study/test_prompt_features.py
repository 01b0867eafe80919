"""Features: one prompt for every combination of wordings, and their effects estimated from all of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.data.template import Template
from harness.report.text.findings import find
from harness.results.collect import Results
from harness.study.axes import Prompt
from harness.study.key_messages import findings
from harness.study.prompt_features import MOST
from tests.support.made_up_results import html, study

WORDINGS = st.lists(st.text(alphabet="ab {}\\é\n", max_size=6), min_size=2, max_size=3, unique=True)


def prompt(**keys: object) -> Prompt:
    return Prompt.model_validate({"name": "f", "text": "{{ role }}{{ source }}{{- cue }}", **keys})


def test_each_combination_is_a_prompt_of_its_own() -> None:
    features = {"role": ["", "Sum up.\n"], "cue": {"none": "", "tldr": "\nTL;DR:"}}
    made = prompt(features=features, shorten="source", keep="end")
    assert [one.form() for one in made.combinations()] == [
        Template("f_role-0_cue-none", "{{ source }}", "source", "end"),
        Template("f_role-0_cue-tldr", "{{ source }}\nTL;DR:", "source", "end"),
        Template("f_role-1_cue-none", "Sum up.\n{{ source }}", "source", "end"),
        Template("f_role-1_cue-tldr", "Sum up.\n{{ source }}\nTL;DR:", "source", "end"),
    ]
    assert made.feature_levels()["f_role-1_cue-none"] == {"role": "1", "cue": "none"}


@given(role=WORDINGS, cue=WORDINGS)
def test_a_wording_stands_in_the_text_letter_for_letter(role: list[str], cue: list[str]) -> None:
    made = Prompt(name="f", text="{{ role }}|{{ source }}|{{ cue }}", features={"role": role, "cue": cue})
    texts = [f"{one}|{{{{ source }}}}|{other}" for one in role for other in cue]
    assert [one.text for one in made.combinations()] == texts


def test_a_wording_may_use_fields() -> None:
    made = prompt(features={"role": ["", "About {{ topic }}: "], "cue": ["", "!"]})
    form = made.combinations()[3].form()
    assert form is not None
    assert form.render({"topic": "trains", "source": "late"}) == "About trains: late!"


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"features": {"role": ["a"], "cue": ["", "b"]}}, "features.role has one wording"),
        ({"features": {"role": ["a", "a"]}}, "features.role has the same wording twice"),
        ({"features": {"tone": ["a", "b"]}}, "features.tone has no place in the prompt; write {{ tone }}"),
        ({"features": {"tuning": ["a", "b"]}, "text": "{{ tuning }}"}, "a feature called tuning, as an axis is"),
        ({"features": {"role": ["a", "b"]}, "text": None}, "has features and no text"),
        ({"features": {"role": [*map(str, range(MOST + 1))]}}, f"make {MOST + 1} prompts; the most are {MOST}"),
        (
            {"features": {"role": {True: "a", False: "b"}}},
            "a wording of features.role is called true, which is no text",
        ),
        ({"features": {"role": {"a_b": "a", "c": "b"}}}, "a wording of features.role is called 'a_b'; use letters"),
        ({"features": {"a b": ["a", "b"]}}, "a feature is called 'a b'; use letters, digits and _"),
        ({"features": {"a\n": ["a", "b"]}}, "a feature is called"),
        ({"features": {"r" * 41: ["a", "b"]}}, "40 characters at most"),
        ({"features": {"role": "a"}}, "features.role is 'a'; give each its wordings"),
        ({"features": {"role": ["a", 1]}}, "features.role.1 is 1; it must be a text; quote it"),
        ({"features": ["role"]}, "features is ['role']; give each its wordings"),
        ({"features": {"role": ["{{ open", "b"]}, "name": "f" * 100}, "at most"),
    ],
)
def test_what_makes_no_factorial_is_refused(keys: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        prompt(**keys)
    ((_, said),) = findings(caught.value)
    assert told in said


@pytest.mark.parametrize("place", ["{{ cue }}", "{{- cue }}", "{{ cue -}}", "{{-cue-}}"])
def test_a_dash_leaves_white_space_out_as_in_jinja(place: str) -> None:
    written = f"{{{{ source }}}} \n {place} \n:"
    made = prompt(text=written, features={"cue": [" a ", "b"]})
    for one, cue in zip(made.combinations(), [" a ", "b"], strict=True):
        form = one.form()
        assert form is not None
        assert form.render({"source": "S"}) == Template("p", written).render({"source": "S", "cue": cue})


def factorial() -> Results:
    """Return results of the four prompts of two features, of which the last copies most and the first least."""
    plain, features = study(prompts=4, tunings=3, examples=60), {"role": ["", "r"], "cue": ["", "c"]}
    names = dict(
        zip(["prompt0", "prompt1", "prompt2", "prompt3"], prompt(features=features).feature_levels(), strict=True)
    )

    def renamed(cell: str) -> str:
        own, tuning = cell.split("/")
        return f"{names[own]}/{tuning}"

    assert plain.answers is not None
    cells = tuple(
        replace(cell, id=renamed(cell.id), factors={**cell.factors, "prompt": names[cell.prompt]})
        for cell in plain.cells
    )
    answered = {renamed(cell): said for cell, said in plain.answers.cells.items()}
    text = {"name": "f", "text": "{{ role }}{{ source }}{{ cue }}", "features": features}
    return replace(
        plain,
        cells=cells,
        answers=plain.answers._replace(cells=answered),
        baseline=renamed(plain.baseline),
        settings={"prompts": [text]},
    )


def test_effects_are_means_over_all_else() -> None:
    """Held against the arithmetic: the mean score of the cells with a level, less that of those with the other."""
    verdicts = find(factorial()).verdicts
    assert verdicts is not None
    effects = verdicts.features["f"]
    scores = {cell: score.value for cell, score in verdicts.scores.items()}

    def mean(*parts: str) -> float:
        return float(np.mean([score for cell, score in scores.items() if all(part in cell for part in parts)]))

    (role,), (cue,) = effects.main["role"], effects.main["cue"]
    assert role.difference.value == pytest.approx(mean("role-1") - mean("role-0"))
    assert cue.difference.value == pytest.approx(mean("cue-1") - mean("cue-0"))
    assert (role.verdict, cue.verdict) == ("better", "better")
    (both,) = effects.interactions["role", "cue"]
    gains = [mean(f"role-{level}", "cue-1") - mean(f"role-{level}", "cue-0") for level in (0, 1)]
    assert both.difference.value == pytest.approx(gains[1] - gains[0])
    assert effects.main["tuning"]
    assert effects.interactions["role", "tuning"]


def test_without_the_cell_of_the_first_wordings_nothing_is_told() -> None:
    results = factorial()
    assert results.answers is not None
    first = "f_role-0_cue-0/full"
    kept = {cell: said for cell, said in results.answers.cells.items() if cell != first}
    cut = replace(
        results,
        cells=tuple(cell for cell in results.cells if cell.id != first),
        answers=results.answers._replace(cells=kept),
        baseline="f_role-0_cue-1/full",
    )
    verdicts = find(cut).verdicts
    assert verdicts is not None
    assert verdicts.features == {}


def test_the_report_says_what_each_part_does() -> None:
    results = factorial()
    shown = html(results)
    for title in ("The parts of prompt f", "Role, each against 0, averaged over cue and what trains", "Role and cue"):
        assert title in shown
    found = find(results)
    assert any(line.startswith("Does the part role of prompt f matter? Yes: ") for line in found.advice)
