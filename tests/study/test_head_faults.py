"""Prompts that are answered by a classification head: their labels, and what is refused beside them."""

from __future__ import annotations

import json

import pytest

from harness.core.errors import StudyError
from harness.data.choice_rows import ChoiceRows
from harness.data.encode_split import encode_split
from harness.data.label_words import Label, head_labels, labels_of
from harness.study.cell_digests import cell_digests
from harness.study.check import check
from harness.study.checked_study import Checked
from harness.study.load_study import read_study
from harness.study.settings import token_limits
from harness.study.tokenizer_without_model import light_reader
from tests.support.labelled_study import LABELS, labelled_place
from tests.support.study_fixture import Place, Places

PLAIN = "{name: plain, text: '{{ source }}', answers: head}"


@pytest.fixture
def place(places: Places, monkeypatch: pytest.MonkeyPatch) -> Place:
    made = labelled_place(places, store=False)
    monkeypatch.chdir(made.folder)
    return made


def checked(place: Place, *overrides: str) -> Checked:
    return check(read_study(place.study, (f"prompts=[bare, {PLAIN}]", *overrides)))


def refused(place: Place, *overrides: str) -> str:
    with pytest.raises(StudyError) as caught:
        checked(place, *overrides)
    return str(caught.value)


def test_a_head_has_the_labels_of_the_study_and_none_of_their_words(place: Place) -> None:
    made = checked(place, "data.labels={early: [noon], late: [dinner, guests], cold: [room]}")
    bare, plain = made.prompts
    assert labels_of(plain) == tuple(Label(name, (name,)) for name in LABELS)
    assert (head_labels(bare), head_labels(plain)) == ((), LABELS)
    other = checked(place, "data.labels={early: [train], late: [came], cold: [boxes]}")
    one, two = (cell_digests(each.cells, each.study, {}) for each in (made, other))
    assert {id for id, digest in one.items() if two[id] == digest} == {id for id in one if id.startswith("plain/")}


def test_each_resident_is_a_study_of_its_own_prompts(place: Place) -> None:
    made = checked(place)
    assert {name: [form.name for form in one.prompts] for name, one in made.residents.items()} == {
        "": ["bare"],
        "with a classification head": ["plain"],
    }
    language, headed = made.residents.values()
    assert (language.head, headed.head, made.head) == ((), tuple(sorted(LABELS)), ())
    assert [fit.prompt for fit in headed.fits] == ["plain"]
    assert bool(language.general)
    assert not headed.general
    assert list(checked(place, f"prompts=[{PLAIN}]").residents) == ["with a classification head"]
    assert list(checked(place, "prompts=[bare]").residents) == [""]


def test_a_row_is_the_text_alone(place: Place) -> None:
    made = checked(place)
    reader, limits = light_reader(made.description), token_limits(made.study, made.task)
    rows = encode_split(made.examples["train"], made.prompts[1], reader, limits=limits, of_train=True).rows
    assert isinstance(rows, ChoiceRows)
    names = [label.name for label in labels_of(made.prompts[1])]
    for choice, example in zip(rows.choices, made.examples["train"], strict=True):
        (row,) = choice.rows
        assert (row.target, choice.words, names[choice.right]) == ((), (), example.target)
        assert list(row.prompt) == reader.tokenizer(example.fields["source"])["input_ids"]


def test_what_a_head_cannot_be_beside_is_refused(place: Place) -> None:
    assert "prompt 'plain' is answered by a classification head, whose model is held in float32" in refused(
        place, "model.frozen=bfloat16"
    )
    said = refused(place, "tuning=[none, {prompt_tuning: {tokens: 4}}]")
    assert "tuning prompt_tuning-4: prompt 'plain' is answered by a classification head, and virtual tokens" in said
    said = refused(place, "prompts=[{name: gap, text: '{{ source }} {{ sentinel }}', answers: head}]")
    assert "prompt 'gap' is answered by a head, but has a place to fill" in said
    assert "answers" in refused(place, "answers=heads")


def test_a_merged_adapter_is_refused(place: Place) -> None:
    folder = place.folder / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": "model"}))
    (folder / "adapter_model.safetensors").write_bytes(b"")
    assert "store the merged model and name that, or set answers: likelihood" in refused(place, "model.adapter=adapter")
