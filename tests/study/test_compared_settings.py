"""A list under `generation`: its cells, whose search is whose, their digests, and what of a list is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import StudyError
from harness.data.template import Template
from harness.study.cell_digests import cell_digests
from harness.study.check import check
from harness.study.grid import cell_study, expand, neighbor, searched_by, with_neighbors
from harness.study.load_study import read_study
from harness.study.search_faults import search_plan
from harness.study.spec import StudySpec
from harness.study.study_text import study_text
from tests.support.labelled_study import labelled_place
from tests.support.study_fixture import Place, Places

STUDY = {"name": "a", "task": "summarization", "prompts": ["bare", "cue"], "tuning": ["none", "head", "full"]}
PROMPTS = [Template("bare", "{{ source }}"), Template("cue", "{{ source }}:")]
THREE = [{"name": "greedy"}, {"name": "beams", "num_beams": 4}, {"name": "drawn", "sample": True, "temperature": 0.7}]


def read(tmp_path: Path, generation: Any, **more: Any) -> StudySpec:
    file = tmp_path / "study.yaml"
    file.write_text(json.dumps({**STUDY, "generation": generation, **more}))
    return read_study(file).study


def test_a_list_is_an_axis_behind_the_others_and_one_setting_is_none(tmp_path: Path) -> None:
    study = read(tmp_path, THREE, data={"train": [4, 8]})
    cells = expand(study, PROMPTS)
    assert [cell.id for cell in cells][:4] == [
        "bare/none/4/greedy",
        "bare/none/4/beams",
        "bare/none/4/drawn",
        "bare/none/8/greedy",
    ]
    assert [cell_study(study, cell).first_generation.num_beams for cell in cells[:3]] == [1, 4, 1]
    alone = read(tmp_path, THREE[:1])
    assert [cell.id for cell in expand(alone, PROMPTS)][:2] == ["bare/none", "bare/head"]
    assert study_text(study).count("name: beams") == 1
    again = tmp_path / "again.yaml"
    again.write_text(study_text(study))
    assert read_study(again).study == study
    assert (
        StudySpec.model_validate(study.model_dump(mode="json", exclude={"tuning"}) | {"tuning": STUDY["tuning"]})
        == study
    )


def test_the_first_setting_is_searched_for_all(tmp_path: Path) -> None:
    study = read(tmp_path, THREE, search={"warm_start": "neighbor"})
    cells = expand(study, PROMPTS)
    for cell in cells:
        searched = searched_by(cell, cells)
        assert searched.levels == {**cell.levels, "generation": "greedy"}
        assert (search_plan(cell, study, cells).trials > 0) == (searched == cell)
        if searched != cell:
            assert neighbor(cell, study, cells) is None
    beams = next(cell for cell in cells if cell.id == "cue/full/beams")
    assert [cell.id for cell in with_neighbors([beams], study, cells)] == [
        "bare/head/greedy", "bare/full/greedy", "cue/full/greedy", "cue/full/beams"
    ]  # fmt: skip


def test_digests_of_one_setting_are_those_of_none_and_of_a_further_one_hang_on_the_first(tmp_path: Path) -> None:
    def digests(generation: Any) -> dict[str, str]:
        study = read(tmp_path, generation)
        return cell_digests(expand(study, PROMPTS), study, {"data": "x"})

    assert digests({}) == digests(THREE[:1])
    two, three = digests(THREE[:2]), digests(THREE)
    assert two.items() <= three.items()
    assert len({*three.values()}) == len(three) == 18
    study = read(tmp_path, THREE[:2])
    own = {"bare/head/greedy": {"decoding": "other"}}
    moved = cell_digests(expand(study, PROMPTS), study, {"data": "x"}, own=own)
    assert {cell for cell in two if moved[cell] != two[cell]} == {"bare/head/greedy", "bare/head/beams"}


@pytest.mark.parametrize(
    ("generation", "message"),
    [
        ([{"num_beams": 4}, {"name": "a"}], "key 'generation.0.name' is missing; add it"),
        (
            [{"name": "a"}, {"name": "a", "num_beams": 4}],
            "generation calls two settings a; give each a name of its own",
        ),
        ([{"name": "a/b"}], "generation.0.name is 'a/b'; use letters, digits"),
        ([{"name": "a", "num_beam": 4}], "unknown key 'num_beam' in generation.0; did you mean 'num_beams'?"),
        ([{"name": "a", "temperature": 2.0}], "generation.temperature is 2.0; nothing is drawn"),
        ([], "generation is []; it must have at least 1 entry"),
        (["greedy"], "generation.0 is 'greedy'; it must be a section with keys"),
        (3, "generation is 3; it must be a section with keys: max_new_tokens"),
    ],
    ids=str,
)
def test_a_list_that_is_none_is_one_message(tmp_path: Path, generation: Any, message: str) -> None:
    with pytest.raises(StudyError) as caught:
        read(tmp_path, generation)
    (problem,) = caught.value.problems
    assert problem.message.startswith(message)


@pytest.fixture(scope="module")
def place(places: Places) -> Place:
    return places(store=False)


@pytest.mark.parametrize(
    ("generation", "more", "message"),
    [
        (
            [{"name": "a"}, {"name": "b", "num_beams": 1, "batch_size": 2}],
            (),
            "generation a and b are the same, by whatever batch size; leave one of them out",
        ),
        (
            [{"name": "a", "max_new_tokens": 4}, {"name": "b", "max_new_tokens": 9}],
            (),
            "generation b takes 9 tokens, and the first setting 4: prompts leave room for the first's; put the longest",
        ),
        (
            [{"name": "a"}, {"name": "b", "min_new_tokens": 99}],
            (),
            "generation.min_new_tokens is 99; a prediction has at most 12 tokens",
        ),
        (
            [{"name": "a"}, {"name": "b", "num_beams": 2}],
            ("final.seeds=[]",),
            "generation compares a, b by final runs, and final.seeds is empty; name a seed, or keep one",
        ),
        (
            [{"name": "a"}, {"name": "b", "stop": ["the"]}],
            (),
            "train example",
        ),
    ],
    ids=str,
)  # fmt: skip
def test_settings_that_compare_nothing_are_refused(
    place: Place, generation: Any, more: tuple[str, ...], message: str
) -> None:
    with pytest.raises(StudyError) as caught:
        check(read_study(place.study, [f"generation={json.dumps(generation)}", *more]))
    assert [problem.message for problem in caught.value.problems if problem.message.startswith(message)]


def test_ranking_by_a_likelihood_is_refused(place: Place) -> None:
    two = json.dumps([{"name": "a"}, {"name": "b", "num_beams": 2}])
    with pytest.raises(StudyError) as caught:
        check(read_study(place.study, [f"generation={two}", "search.metric=perplexity"]))
    assert "ranks by perplexity, which goes by likelihood" in str(caught.value)


def test_a_prompt_that_is_answered_by_a_label_is_refused(places: Places) -> None:
    labelled = labelled_place(places, store=False)
    two = json.dumps([{"name": "a"}, {"name": "b", "num_beams": 2}])
    with pytest.raises(StudyError) as caught:
        check(read_study(labelled.study, [f"generation={two}"]))
    assert "prompt 'bare' is answered by a label, which nothing is generated for" in str(caught.value)
