"""Labels of a study: where they come from, and what is refused of them before anything trains."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from harness.data.choice_rows import encode_choices
from harness.data.label_words import Label, answers_of, labels_of
from harness.data.prompt_forms import restored, stored_fields
from harness.data.tokenization import Limits
from harness.study.cell_digests import cell_digests
from tests.support.labelled_study import LABELS, checked, data, labelled_place, refused, rows
from tests.support.study_fixture import Place, Places, write_rows


@pytest.fixture
def place(places: Places, monkeypatch: pytest.MonkeyPatch) -> Place:
    made = labelled_place(places, store=False)
    monkeypatch.chdir(made.folder)
    return made


def words(place: Place, *overrides: str) -> list[tuple[Label, ...]]:
    return [labels_of(form) for form in checked(place, *overrides).prompts]


def test_labels_are_the_targets_of_train_unless_they_are_named(place: Place) -> None:
    own = tuple(Label(name, (name,)) for name in sorted(LABELS))
    assert words(place) == [own, own]
    named = words(place, "data.labels={early: [' noon', left], late: [], cold: [' cold ']}")
    assert named[0] == (Label("early", ("noon", "left")), Label("late", ("late",)), Label("cold", ("cold",)))
    text = (place.folder / "task.py").read_text()
    labels = "labels={'early': ['x'], 'late': ['y'], 'cold': ['z']},\n    answers='likelihood',\n)"
    (place.folder / "task.py").write_text(text.replace("\n)", f"\n    {labels}"))
    assert words(place, "answers=null")[1] == tuple(
        Label(name, (word,)) for name, word in zip(LABELS, "xyz", strict=True)
    )


def test_a_prompt_says_how_it_is_answered_before_the_study_and_the_task(place: Place) -> None:
    made = checked(place, "prompts=[bare, {name: bare2, text: '{{ source }}:', answers: generate}]")
    assert [answers_of(form) for form in made.prompts] == ["likelihood", "generate"]
    assert labels_of(made.prompts[1]) == ()
    made = checked(place, "answers=null", "prompts=[{name: bare, answers: likelihood}]")
    assert answers_of(made.prompts[0]) == "likelihood"


def test_how_a_prompt_is_answered_is_part_of_its_cells_and_of_what_is_stored(place: Place) -> None:
    def digests(*overrides: str) -> list[str]:
        made = checked(place, "data.labels={early: [a], late: [b], cold: [c]}", *overrides)
        return list(cell_digests(made.cells, made.study, {}).values())

    one = digests()
    assert digests() == one
    assert not set(digests("data.labels={early: [d], late: [b], cold: [c]}")) & set(one)
    other = digests("prompts=[bare, {name: cue, text: '{{ source }}\\nIt was', answers: generate}]")
    assert [a == b for a, b in zip(one, other, strict=True)] == [True] * 3 + [False] * 3
    (form, _) = checked(place).prompts
    assert restored(stored_fields(form)) == form
    assert "answers" not in stored_fields(checked(place, "answers=null", "prompts=[bare]").prompts[0])


REFUSED: dict[str, tuple[tuple[str, ...], str]] = {
    "one label": (("data.labels={early: [a]}",), "the labels are 'early'; there must be two at least to choose from"),
    "no label": (("data.labels={}",), "the labels are none; there must be two at least"),
    "an empty word": (("data.labels={early: [' '], late: [b]}",), "label 'early' has an empty word; write one"),
    "one word twice": (
        ("data.labels={early: [a], late: [b, a], cold: [c]}",),
        "the word 'a' stands twice, for labels 'early' and 'late'; keep one of them",
    ),
    "a target that is no label": (
        ("data.labels={early: [a], late: [b]}",),
        "the target 'cold' of 12 rows (train 'train-2' and more) is no label; known: early, late; correct the rows",
    ),
    "a word that is too long": (
        ("training.max_target_tokens=2", "data.labels={early: [strange unheard], late: [b], cold: [c]}"),
        "raise training.max_target_tokens",
    ),
    "labels and no prompt that chooses": (
        ("answers=generate", "data.labels={early: [a], late: [b]}"),
        "data.labels says nothing where all prompts are answered by a text; set answers: likelihood",
    ),
    "a misspelt way to answer": (("answers=likelyhood",), "answers"),
    "two names that differ by white space alone": (
        ("data.labels={early: [a], 'late  on': [b], late on: [c], late: [d], cold: [e]}",),
        "labels 'late  on' and 'late on' differ by white space alone, so that each would count as the other",
    ),
    "a ranking by likelihoods of labels and of texts": (
        ("search.metric=loss", "final.seeds=[]", "prompts=[bare, {name: c, text: '{{ source }}', answers: generate}]"),
        "the study ranks by loss, but some of its prompts are answered by a label and some by a text",
    ),
    "transfer between prompts that are answered otherwise": (
        ("final.transfer=true", "prompts=[bare, {name: c, text: '{{ source }}', answers: generate}]"),
        "and no two of them are answered alike",
    ),
    "a mixture of prompts that are answered by labels": (
        ("prompts=[bare, {name: cue, text: '{{ source }}:'}, {name: mix, mixture: [bare, cue]}]",),
        "mixes 'bare', which has answers: likelihood, and a mixture is of prompts that are answered by texts",
    ),
    "one that no prompt may state": (
        ("prompts=[{name: p, text: '{{ source }}', labels: {a: [b]}}]",),
        "unknown key 'labels'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(place: Place, case: str) -> None:
    overrides, message = REFUSED[case]
    assert message in refused(place, *overrides)


def test_words_that_are_the_same_tokens_are_refused(place: Place) -> None:
    file = place.folder / "model" / "tokenizer.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "normalizer": {"type": "Lowercase"}}))
    said = refused(place, "data.labels={early: [noon], late: [Noon, b], cold: [c]}")
    rule = "are the same tokens to the model's tokenizer; write other words"
    assert f"'noon' of label 'early' and 'Noon' of label 'late' {rule}" in said


def test_few_rows_of_each_label_are_some_of_more(place: Place) -> None:
    used = {}
    for count in (1, 2, 5):
        train = checked(place, f"data.per_label={count}").examples["train"]
        assert Counter(row.target for row in train) == dict.fromkeys(LABELS, count)
        used[count] = {row.id for row in train}
    assert used[1] < used[2] < used[5]
    assert {row.id for row in checked(place, "data.per_label=5", "data.seed=1").examples["train"]} != used[5]
    whole = [row["id"] for row in rows("train")]
    assert [row.id for row in checked(place, "data.per_label=5").examples["train"]] == sorted(used[5], key=whole.index)
    assert "data.per_label is 9, but of the label 'cold' there are 8 training rows" in refused(
        place, "data.per_label=9"
    )
    assert "data names both train and per_label" in refused(place, "data.per_label=2", "data.train=6")
    assert "data.per_label counts rows by label, but all" in refused(place, "data.per_label=2", "answers=generate")


def test_too_many_targets_are_no_labels(place: Place) -> None:
    made = [{**row, "target": f"label {number}"} for number, row in enumerate(rows("train") * 3)]
    write_rows(data(place, "train"), [{**row, "id": str(number)} for number, row in enumerate(made)])
    assert "the targets of train are 72 distinct texts, more than the 50 that can be chosen from" in refused(place)


def test_a_label_that_train_lacks_is_told(place: Place) -> None:
    write_rows(data(place, "train"), [row for row in rows("train") if row["target"] != "cold"])
    rule = "is no label; known: early, late; correct the rows, or name all by data.labels"
    assert f"the target 'cold' of 4 rows (validation 'validation-2' and more) {rule}" in refused(place)
    told = checked(place, "data.labels={early: [a], late: [b], cold: [c]}").cautions
    assert "No row of train has the label 'cold': what is trained can only learn that it is never right." in told


def test_plain_text_has_no_labels(place: Place) -> None:
    (place.folder / "train.txt").write_text("a short note\n" * 400)
    lines = place.study.read_text().replace("./task.py", "text_generation").replace("{path: data}", "{path: train.txt}")
    kept = [line for line in lines.splitlines() if not line.startswith(("prompts", "training"))]
    place.study.write_text("\n".join(kept))
    said = refused(place, "data.labels={a: [b], c: [d]}")
    assert "answers is likelihood: task 'text_generation' is of plain text, which has no labels; leave it out" in said
    assert "data.labels says nothing of plain text; leave it out" in said


def test_a_target_that_a_tokenizer_cannot_write_matters_to_texts_alone(place: Place) -> None:
    assert not any("No prediction can equal" in line for line in checked(place).cautions)


def test_the_length_of_a_label_s_name_matters_to_texts_alone(place: Place) -> None:
    told = "targets beyond training"
    named = "data.labels={early: [a], late: [b], cold: [c]}"
    chosen = checked(place, named, "generation.max_new_tokens=1")
    assert not any(told in line for line in chosen.cautions)
    written = checked(place, "answers=generate", "generation.max_new_tokens=1", "training.max_target_tokens=12")
    assert any(told in line for line in written.cautions)


def test_demonstrations_show_the_word_of_a_label(place: Place, tiny: Callable[..., Any]) -> None:
    made = checked(
        place,
        "data.labels={early: [noon], late: [came], cold: [room]}",
        "prompts=[{name: two, text: '{{ source }}:', shots: 2}]",
    )
    (form,), loaded = made.prompts, tiny("gpt2")
    shown = made.demonstrations.attached(form, made.examples["validation"])
    (text, *_) = encode_choices(shown, form, loaded, limits=Limits(90, 12)).texts
    first, second, own = text.split("\n\n")
    assert first.endswith((": noon", ": came", ": room"))
    assert second.endswith((": noon", ": came", ": room"))
    assert own.endswith(":")


def test_sizes_have_of_each_label_its_share(place: Place) -> None:
    made = checked(place, "data.train=[6, 12]", "data.seed=[0, 1]")
    assert [(str(draw), len(part)) for draw, part in made.parts.items()] == [
        ("6", 6),
        ("6 by seed 1", 6),
        ("12", 12),
        ("12 by seed 1", 12),
    ]
    for draw, part in made.parts.items():
        assert set(Counter(row.target for row in part).values()) == {len(part) // len(LABELS)}
        assert part == checked(place, f"data.train={draw.train}", f"data.seed={draw.seed}").examples["train"]
    assert not [told for told in made.cautions if told.startswith("No row")]
    told = "No row of the 2 training rows has the label"
    assert sum(told in one for one in checked(place, "data.train=[2, 6]").cautions) == 1, "two rows, three labels"
    assert [cell.id for cell in made.cells][:4] == [
        "bare/none/6/0",
        "bare/none/6/1",
        "bare/none/12/0",
        "bare/none/12/1",
    ]
    assert "data.train is 25, but there are 24 rows; lower it" in refused(place, "data.train=[6, 25]")


def test_numbers_of_each_label_are_an_axis(place: Place) -> None:
    made = checked(place, "data.per_label=[5, 1]")
    assert [cell.id for cell in made.cells][:2] == ["bare/none/5", "bare/none/1"]
    assert {draw.per_label: Counter(row.target for row in part) for draw, part in made.parts.items()} == {
        count: dict.fromkeys(LABELS, count) for count in (5, 1)
    }
    few, many = made.parts.values()
    assert {row.id for row in many} < {row.id for row in few}
    told = "data.per_label compares 5, 1 rows of each label, each a part of the next larger; equal epochs"
    assert any(told in note for note in made.notes)
    assert "data names both train and per_label" in refused(place, "data.per_label=[1, 2]", "data.train=6")
    assert "per_label is 9, but of the label 'cold' there are 8" in refused(place, "data.per_label=[1, 9]")


def test_seeds_that_draw_all_rows_are_refused(place: Place) -> None:
    assert "data.seed compares 2 draws of training rows, and all of them are used" in refused(place, "data.seed=[0, 1]")
    assert "data.seed 0 and 1 draw the same 24 training rows" in refused(place, "data.seed=[0, 1]", "data.train=24")
    told = "data.seed compares 0, 1, each of other training rows; validation and test are those of 0."
    assert told in checked(place, "data.seed=[0, 1]", "data.train=9").notes


def test_losses_of_labels_and_of_texts_in_one_study_are_told(place: Place) -> None:
    two_ways = "prompts=[bare, {name: cue, text: '{{ source }}', answers: generate}]"
    assert sum("answered in two ways" in caution for caution in checked(place, two_ways).cautions) == 1
    checked(place, two_ways, "search.metric=loss")  # accuracy ranks: the loss looks for the best of one cell's trials
    assert not any("answered in two ways" in caution for caution in checked(place).cautions)


def test_where_there_are_no_rows_nothing_is_said_of_labels(place: Place) -> None:
    write_rows(data(place, "train"), [{**row, "target": ""} for row in rows("train")])
    assert "label" not in refused(place)
    write_rows(data(place, "train"), [])
    assert "label" not in refused(place)


def test_a_word_that_the_tokenizer_does_not_know_is_refused(place: Place) -> None:
    file = place.folder / "model" / "tokenizer.json"
    content = json.loads(file.read_text())
    known = {
        token.replace("Ġearly", "early").replace("Ġlate", "late"): id for token, id in content["model"]["vocab"].items()
    }
    content |= {"pre_tokenizer": {"type": "Whitespace"}, "decoder": None}
    file.write_text(json.dumps({**content, "model": {"type": "WordLevel", "vocab": known, "unk_token": "<unk>"}}))
    said = refused(place)
    assert "the word 'cold' of label 'cold' has parts that the model's tokenizer knows no token for (<unk>)" in said
    assert "'early'" not in said
