"""Studies of masked models: how text becomes their blocks, what they are scored by, and what is refused of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from transformers import AutoTokenizer

from harness.data.prompt_forms import stored_fields
from harness.data.text_blocks import TextBlocks
from harness.study.training_keys import training_identity
from tests.support.labelled_study import checked, refused
from tests.support.study_fixture import Place, Places
from tests.support.text_study import plain_place, prose

SIZE = 32


@pytest.fixture
def place(places: Places) -> Place:
    return plain_place(places, family="bert", words=600)


def tokens(place: Place, text: str) -> list[int]:
    tokenizer = AutoTokenizer.from_pretrained(place.folder / "model")
    ids: list[int] = tokenizer(text, verbose=False, add_special_tokens=False)["input_ids"]
    return ids


def ids_of(part: object) -> list[list[int]]:
    assert isinstance(part, TextBlocks)
    return [list(part.ids(number)) for number in range(len(part))]


def cut(ids: list[int]) -> list[list[int]]:
    """Return blocks of the text, each as the tokenizer writes a text."""
    width = SIZE - 2
    return [[1, *ids[start : start + width], 2] for start in range(0, len(ids) - width + 1, width)]


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_each_block_is_a_text_of_its_own(places: Places, family: str) -> None:
    place = plain_place(places, family=family, words=600)
    found = checked(place)
    expected = cut(tokens(place, (place.folder / "train.txt").read_text()))
    held = max(1, round(len(expected) / 10))
    assert ids_of(found.examples["train"]) == expected[: -2 * held]
    assert ids_of(found.examples["validation"]) == expected[-2 * held : -held]
    assert ids_of(found.test_examples()) == expected[-held:]
    assert found.objective == "pseudo_perplexity"
    assert [metric if isinstance(metric, str) else metric.name for metric in found.metrics] == ["pseudo_perplexity"]
    assert not found.general
    assert not [told for told in found.cautions if "twice" in told]


def test_documents_are_parted_by_what_stands_behind_a_text(place: Place) -> None:
    texts = prose(400).splitlines()
    (place.folder / "train.jsonl").write_text("".join(f"{json.dumps({'text': text})}\n" for text in texts))
    place.edit("train.txt", "train.jsonl")
    expected = cut([number for text in texts for number in [*tokens(place, text), 2]])
    found = ids_of(checked(place).examples["train"])
    assert found == expected[: len(found)]


def test_a_text_that_spells_a_mask_has_none(place: Place) -> None:
    text = prose(400).replace(" note ", " <mask> note ")
    (place.folder / "train.txt").write_text(text, encoding="utf-8")
    found = checked(place)
    assert "<mask>" in text
    assert not np.isin(4, ids_of(found.examples["train"]))


def test_what_scoring_takes_is_told(place: Place) -> None:
    (told,) = [note for note in checked(place).notes if note.startswith("pseudo-perplexity")]
    assert told.startswith("pseudo-perplexity: each token is masked in turn, about ")
    assert told.endswith("takes fewer. It is no perplexity: causal models are not compared by it.")
    (told,) = [note for note in checked(place, "training.scored_tokens=4").notes if note.startswith("pseudo")]
    assert "pseudo-perplexity: 4 tokens of each block are masked in turn, about " in told


REFUSALS = {
    "generation.max_new_tokens=8": "generation says nothing here: model",
    "generality.tasks=[summarization]": "generality says nothing here: model",
    "search.metric=perplexity": "is no metric of task 'text_generation'; did you mean 'pseudo_perplexity'?",
    "tuning=[{prompt_tuning: {tokens: 4}}]": "use lora, or weights of its own",
    "training.block_tokens=129": "cannot fit the model's context of 128; set training.block_tokens: 128",
}


@pytest.mark.parametrize(("override", "said"), REFUSALS.items(), ids=list(REFUSALS))
def test_what_a_masked_model_cannot_do_is_refused(place: Place, override: str, said: str) -> None:
    assert said in refused(place, override)


def test_a_task_that_asks_for_texts_is_refused_before_training(places: Places) -> None:
    place = places("bert")
    done = place.command("check", "study.yaml")
    assert done.status == 2
    assert "model 'model' is a masked language model, which fills masks and writes no text" in done.err


def test_what_is_scored_one_by_one_is_of_masked_models(places: Places) -> None:
    place = plain_place(places, words=600)
    assert "training.scored_tokens is of a masked model" in refused(place, "training.scored_tokens=4")
    other = places()
    assert "training.scored_tokens is of a task of plain text" in refused(other, "training.scored_tokens=4")


def test_a_mask_in_a_prompt_of_another_model_is_refused(places: Places) -> None:
    place = places()
    said = refused(place, 'prompts=[{name: cloze, text: "{{ source }} It was {{ mask }}."}]')
    assert "prompt 'cloze' uses {{ mask }}, the place that a masked language model such as BERT fills" in said
    assert "write a cue instead" in said


def test_a_study_of_a_causal_model_is_what_it_was(places: Places) -> None:
    """What came later is in no digest of what was there before."""
    found = checked(plain_place(places, words=600))
    assert stored_fields(found.prompts[0]) == {"name": "text", "block_tokens": 32}
    assert "scored_tokens" not in training_identity(found.study.training)
    masked = checked(plain_place(places, family="bert", words=600), "training.scored_tokens=4")
    assert (
        stored_fields(masked.prompts[0])["scored_tokens"] == training_identity(masked.study.training)["scored_tokens"]
    )
