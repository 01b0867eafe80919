"""What `show` says of a prompt that is answered by a label: what is read, and the words that are chosen from."""

from __future__ import annotations

import json

import pytest
from transformers import AutoTokenizer

from tests.support.labelled_study import labelled_place
from tests.support.study_fixture import Place, Places

LABELS = "data.labels={early: [noon, in time], late: [late], cold: [cold]}"


@pytest.mark.parametrize("family", ["gpt2", "bert"])
def test_words_of_labels_are_shown_and_nothing_that_is_not_read(places: Places, family: str) -> None:
    place = labelled_place(places, family, store=False)
    done = place.command("show", "study.yaml", LABELS, "prompts=[bare]", "tuning=[head]", "generality=none")
    assert done.status == 0, done.err
    assert "</s>=2" not in done.out.partition("label early: ")[2]
    assert "max_new_tokens" not in done.out
    assert ("<mask>" in done.out) == (family == "bert")
    assert_ids(place, done.out)


def assert_ids(place: Place, shown: str) -> None:
    done = place.command("show", "study.yaml", LABELS, "prompts=[bare]", "tuning=[head]", "generality=none", "--json")
    said = json.loads(done.out)
    assert said["generation"] == []
    (prompt,) = said["prompts"]
    assert prompt["target"] == "early"
    assert set(prompt) == {"prompt", "text", "target", "prompt_tokens", "labels"}
    tokenizer = AutoTokenizer.from_pretrained(place.folder / "model")
    assert {name: [tokenizer.decode(ids).strip() for ids in words] for name, words in prompt["labels"].items()} == {
        "early": ["noon", "in time"],
        "late": ["late"],
        "cold": ["cold"],
    }
    for ids in prompt["labels"]["early"]:
        assert " ".join(f"{tokenizer.convert_ids_to_tokens(i)}={i}" for i in ids) in " ".join(shown.split())
