"""Prompts that are calibrated: what of a cell it is, and where it is refused because it means nothing."""

from __future__ import annotations

import pytest

from harness.data.label_words import calibration_of
from harness.data.prompt_forms import restored, stored_fields
from harness.study.cell_digests import cell_digests
from tests.support.labelled_study import checked, data, labelled_place, refused, rows
from tests.support.study_fixture import SIZES, Place, Places, write_rows

CUE = "text: '{{ source }}\\nIt was', calibration: contextual"


@pytest.fixture
def place(places: Places, monkeypatch: pytest.MonkeyPatch) -> Place:
    made = labelled_place(places, store=False)
    monkeypatch.chdir(made.folder)
    return made


def test_it_is_part_of_a_cell_where_it_is_set_and_nowhere_else(place: Place) -> None:
    def digests(prompts: str) -> list[str]:
        made = checked(place, f"prompts=[{prompts}]")
        return list(cell_digests(made.cells, made.study, {}).values())

    plain = digests("bare, {name: cue, text: '{{ source }}\\nIt was'}")
    found = digests(f"bare, {{name: cue, {CUE}}}")
    assert [a == b for a, b in zip(plain, found, strict=True)] == [True] * 3 + [False] * 3
    (bare, cue) = checked(place, f"prompts=[bare, {{name: cue, {CUE}}}]").prompts
    assert "calibration" not in stored_fields(bare)
    assert stored_fields(cue)["calibration"] == "contextual"
    assert restored(stored_fields(cue)) == cue


def test_a_named_prompt_and_a_chat_can_be_calibrated(place: Place) -> None:
    (bare,) = checked(place, "prompts=[{name: bare, calibration: contextual}]").prompts
    assert (bare.name, calibration_of(bare)) == ("bare", "contextual")
    text = (place.folder / "task.py").read_text()
    own = text.replace('shorten="source"', 'shorten="source", answers="likelihood", calibration="contextual"')
    (place.folder / "task.py").write_text(own)
    assert calibration_of(checked(place, "prompts=[bare]").prompts[0]) == "contextual"


def test_a_prompt_that_reads_as_another_is_no_double_of_it(place: Place) -> None:
    made = checked(place, f"prompts=[{{name: plain, text: '{{{{ source }}}}\\nIt was'}}, {{name: cue, {CUE}}}]")
    assert not [line for line in made.cautions if "read the same" in line]


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        (
            "text: '{{ source }} was', answers: generate",
            "prompt 'cue' has calibration: contextual, which is of the likelihoods of labels' words, and it is "
            "answered by a text; set answers: likelihood with it, or leave calibration out",
        ),
        ("text: '{{ source }}', answers: head", "it is answered by a classification head; set answers: likelihood"),
        (
            "text: '{{ source }} was', shots: 2, pick: bm25",
            "which is of demonstrations that all rows share, but picks others for each (pick: bm25); take pick: fixed",
        ),
        (
            "text: '{{ source.split()[2] }}, {{ source }} was'",
            "cannot be filled in with an input without content (example",
        ),
        ("text: '{{ source.split()[2] }}, {{ source }} was'", "let its text take any text, or leave calibration out"),
        ("mixture: [bare, bare2]", "prompt 'cue' is written by mixture, which knows no calibration; leave it out"),
    ],
)
def test_where_it_means_nothing_it_is_refused(place: Place, keys: str, told: str) -> None:
    assert told in refused(place, f"prompts=[bare, {{name: cue, {keys}, calibration: contextual}}]")


def test_another_calibration_is_none(place: Place) -> None:
    assert "calibration" in (told := refused(place, "prompts=[{name: bare, calibration: isotonic}]"))
    assert "contextual" in told


def test_the_turns_of_rows_cannot_be_replaced(place: Place) -> None:
    for split in SIZES:
        own = [
            {"messages": [{"role": "user", "content": row["source"]}], "target": row["target"]} for row in rows(split)
        ]
        write_rows(data(place, split), own)
    told = refused(place, "prompts=[{name: cue, text: '{{ messages[0].content }} was', calibration: contextual}]")
    assert "takes the turns of rows, in whose place no input without content can stand; show a field" in told
