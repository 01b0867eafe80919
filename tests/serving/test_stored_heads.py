"""Stored models under a classification head: whole ones are transformers' own, others stand on their base."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from harness.data.label_words import Label
from harness.data.template import Template
from harness.data.tokenization import Limits
from harness.models.apply_tuning import apply, reset
from harness.models.classification_head import begin_head
from harness.models.content_digests import architecture_digest
from harness.models.delta import Base, can_be_whole, trained_digest
from harness.models.load import Loaded, load
from harness.serving.generator import Generator
from harness.serving.recipe import Recipe, Store
from harness.serving.stored_model import save_model
from harness.study.axes import Tuning
from harness.training.evaluation import Decoding

NAMES = ("early", "late", "cold")
PROMPT = Template("plain", "{{ source }}", answers="head", labels=tuple(Label(name, (name,)) for name in NAMES))
TEXTS = ["the train left", "dinner", "the guests came and the room is booked", "keys and boxes on their way"]

NONE, LAST, LORA = Tuning(kind="none"), Tuning(kind="last_blocks", blocks=1), Tuning(kind="lora", options={"rank": 2})


def recipe_of(loaded: Loaded, base: Path, tuning: Tuning, store: Store) -> Recipe:
    made_on = Base(str(base), None, None, "float32", False, False, loaded.digest, architecture_digest(loaded.model))
    decoding, weights = Decoding(8, batch_size=3), trained_digest(loaded, tuning)
    return Recipe(PROMPT, Limits(40, 12, 8), decoding, "fp32", tuning, made_on, store, weights)


def plain_shares(folder: Path) -> list[list[float]]:
    """Return what transformers says by itself of each text."""
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert list(model.config.id2label.values()) == list(NAMES)
    with torch.no_grad():
        each = [model(**tokenizer(text, return_tensors="pt")).logits[0] for text in TEXTS]
    return [row.double().softmax(-1).tolist() for row in each]


def said(model: Generator) -> list[list[float]]:
    return [list((row or {}).values()) for row in model.probabilities([{"source": text} for text in TEXTS])]


@pytest.mark.parametrize("family", ["gpt2", "t5", "bert"])
@pytest.mark.parametrize("tuning", [NONE, LAST, LORA], ids=lambda tuning: tuning.name)
def test_a_stored_head_answers_as_the_tuned_one(
    tiny_folder: Callable[..., Path], family: str, tuning: Tuning, tmp_path: Path
) -> None:
    base = tiny_folder(family)
    loaded = load(str(base), labels=NAMES)
    trainable = apply(loaded.model, tuning)
    if tuning.trains:
        begin_head(loaded.model, loaded.drawn, 5)
    stores: tuple[Store, ...] = ("full", "delta") if tuning.trains else ("delta",)
    for store in stores:
        save_model(tmp_path / store, loaded, recipe_of(loaded, base, tuning, store))
    delta = Generator(tmp_path / "delta")
    assert (delta.loaded.digest == loaded.digest) == (not tuning.trains)
    for store in stores[:-1]:
        assert can_be_whole(loaded, tuning)
        for one, other in zip(said(Generator(tmp_path / store)), plain_shares(tmp_path / store), strict=True):
            assert one == pytest.approx(other, abs=1e-6)
        for one, other in zip(said(delta), plain_shares(tmp_path / store), strict=True):
            assert one == pytest.approx(other, abs=1e-6)
    reset(loaded.model, trainable)
