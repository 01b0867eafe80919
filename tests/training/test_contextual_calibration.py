"""Contextual calibration: probabilities of labels over those behind inputs that say nothing, by plain transformers."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from harness.core.errors import Diverged
from harness.core.example import Example
from harness.data.choice_rows import encode_choices
from harness.data.content_free import CONTENT_FREE, content_free_rows
from harness.data.demonstrations import NO_DEMONSTRATIONS, Demonstrations
from harness.data.label_words import Label
from harness.data.template import Template
from harness.data.tokenization import Limits
from harness.models.load import Loaded
from harness.serving.generator import Generator
from harness.study.check import check
from harness.study.load_study import read_study
from harness.training.batching import loss_batches
from harness.training.choosing import chosen, label_prior
from harness.training.loss import ForwardPass
from harness.training.trainer import Trainer
from tests.support.labelled_study import labelled_place
from tests.support.model_folders import folder_of
from tests.support.search_spaces import rate
from tests.support.study_fixture import Places

LIMITS = Limits(60, 12)
SHORT = (Label("a", ("the",)), Label("b", ("it",)), Label("c", ("was",)))
MIXED = (Label("early", ("early", "in advance")), Label("cold", ("cold", "left early", "left late")))
TEXTS = {"gpt2": "{{ source }}\nIt was", "t5": "{{ source }}\nIt was", "bert": "{{ source }} It was {{ mask }}."}
SOURCES = ["the train left early", "dinner", "the guests came and dinner was cold", "so", "late"]


def prompt(family: str, labels: Sequence[Label], text: str = "") -> Template:
    return Template("t", text or TEXTS[family], answers="likelihood", labels=tuple(labels), calibration="contextual")


def plain_means(loaded: Loaded, text: str, word: str) -> Tensor:
    """Return the mean log-probability of a word's tokens behind a text, or at its mask, by transformers alone."""
    tokenizer, model = loaded.tokenizer, loaded.model.eval()
    word = word if loaded.is_encoder_decoder else f" {word}"
    said = tokenizer(word, add_special_tokens=False)["input_ids"]
    if loaded.is_masked:
        text = text.replace("{{ mask }}", tokenizer.mask_token * len(said))
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    if loaded.is_masked:
        logits = model(ids).logits[0, ids[0] == tokenizer.mask_token_id]
    elif loaded.is_encoder_decoder:
        start = torch.tensor([[model.config.decoder_start_token_id, *said[:-1]]])
        logits = model(input_ids=ids, decoder_input_ids=start).logits[0]
    else:
        logits = model(torch.cat([ids, torch.tensor([said])], 1)).logits[0, ids.size(1) - 1 : -1]
    return logits.log_softmax(-1)[torch.arange(len(said)), said].mean()


def plain_shares(loaded: Loaded, family: str, labels: Sequence[Label], source: str) -> Tensor:
    """Return the softmax over the labels' scores, float64; a mask written into a row is no mask."""
    if loaded.is_masked:
        token = loaded.tokenizer.mask_token
        source = source.replace(token, f"{token[:1]} {token[1:]}")
    text = TEXTS[family].replace("{{ source }}", source)
    best = [torch.stack([plain_means(loaded, text, word) for word in label.words]).max() for label in labels]
    return torch.stack(best).double().softmax(-1)


@pytest.mark.parametrize("labels", [SHORT, MIXED])
@pytest.mark.parametrize("family", ["gpt2", "bert", "t5"])
def test_probabilities_are_those_of_the_paper_by_plain_transformers(
    tiny: Callable[..., Loaded], family: str, labels: tuple[Label, ...], tmp_path: Path
) -> None:
    loaded, form = tiny(family), prompt(family, labels)
    examples = [Example(source, {"source": source}, labels[0].name) for source in SOURCES]
    with torch.no_grad():
        free = torch.stack([plain_shares(loaded, family, labels, text) for text in ("N/A", "", "[MASK]")]).mean(0)
        rows = torch.stack([plain_shares(loaded, family, labels, source) for source in SOURCES])
    wanted = (rows / free) / (rows / free).sum(-1, keepdim=True)
    forward = ForwardPass(loaded.model)
    inputs = content_free_rows(form, loaded, NO_DEMONSTRATIONS, limits=LIMITS)
    prior = label_prior(forward, loss_batches(inputs, loaded, batch_size=2))
    assert np.exp(prior) == pytest.approx(free.tolist(), abs=1e-6)
    encoded = encode_choices(examples, form, loaded, limits=LIMITS).rows
    found = chosen(forward, loss_batches(encoded, loaded, batch_size=2), labels, prior=prior)
    for one, shares, plain in zip(found, wanted, rows, strict=True):
        assert list((one.probabilities or {}).values()) == pytest.approx(shares.tolist(), abs=1e-6)
        assert shares.tolist() != pytest.approx(plain.tolist(), abs=1e-4), "it does something"
        assert one.text == labels[int(shares.argmax())].name
        assert one.nll == pytest.approx(-math.log(shares[0]), abs=1e-5)
    stored = Generator(folder_of(loaded, tmp_path, form))
    answers = stored.probabilities([{"source": source} for source in SOURCES])
    for answer, shares in zip(answers, wanted, strict=True):
        assert list((answer or {}).values()) == pytest.approx(shares.tolist(), abs=1e-6)


def test_a_uniform_prior_changes_nothing_and_a_row_that_says_nothing_new_is_undecided(
    tiny: Callable[..., Loaded],
) -> None:
    loaded, form = tiny("gpt2"), prompt("gpt2", SHORT)
    examples = [Example(source, {"source": source}, "b") for source in SOURCES]
    encoded = encode_choices(examples, form, loaded, limits=LIMITS).rows
    batches, forward = loss_batches(encoded, loaded, batch_size=4), ForwardPass(loaded.model)
    plain = chosen(forward, batches, SHORT)
    for prior in ((math.log(1 / 3),) * 3, (5.0,) * 3):
        for one, other in zip(chosen(forward, batches, SHORT, prior=prior), plain, strict=True):
            assert one.text == other.text
            assert one.probabilities == pytest.approx(other.probabilities, rel=1e-12)
    own = [math.log(share) for share in (plain[0].probabilities or {}).values()]
    (first, *_) = chosen(forward, batches, SHORT, prior=own)
    assert list((first.probabilities or {}).values()) == pytest.approx([1 / 3] * 3)


def test_demonstrations_stand_before_inputs_as_before_rows(tiny: Callable[..., Loaded]) -> None:
    loaded = tiny("gpt2")
    train = Demonstrations([Example(f"{n}", {"source": source}, "a") for n, source in enumerate(SOURCES)])
    form = Template("t", "{{ source }}\nIt", shots=2, answers="likelihood", labels=SHORT, calibration="contextual")
    row = Example("x", {"source": "keys and boxes"}, "a")
    (shown,) = encode_choices(train.attached(form, [row]), form, loaded, limits=LIMITS).texts
    before = shown.removesuffix("keys and boxes\nIt")
    assert before.count("\nIt the\n\n") == 2
    inputs = content_free_rows(form, loaded, train, limits=LIMITS)
    texts = [loaded.tokenizer.decode(choice.rows[0].prompt) for choice in inputs.choices]
    wanted = [loaded.tokenizer.decode(loaded.tokenizer(f"{before}{text}\nIt")["input_ids"]) for text in CONTENT_FREE]
    assert texts == wanted


def test_an_input_that_leaves_nothing_of_a_prompt_is_left_out(tiny: Callable[..., Loaded]) -> None:
    ids = [choice.id for choice in content_free_rows(
        prompt("gpt2", SHORT, "{{ source }}\n"), tiny("gpt2"), NO_DEMONSTRATIONS, limits=LIMITS
    ).choices]  # fmt: skip
    assert [id.rpartition("input ")[2] for id in ids] == ["'N/A'", "'[MASK]'"]
    null = content_free_rows(prompt("bert", SHORT, "{{ source }}"), tiny("bert"), NO_DEMONSTRATIONS, limits=LIMITS)
    assert len(null.choices) == 3, "a mask is left of it"


def test_training_is_as_without_and_a_prior_is_no_explosion(places: Places) -> None:
    place, text = labelled_place(places, store=False), "text: '{{ source }}\\nIt was'"
    prompts = f"prompts=[{{name: plain, {text}}}, {{name: fair, {text}, calibration: contextual}}]"
    with contextlib.chdir(place.folder):
        checked = check(read_study(place.study, (prompts, "tuning=[none, {last_blocks: 1}]")))
        trainer = Trainer(checked)
    losses, scores = {}, {}
    for cell in (cell for cell in checked.cells if cell.tuning.trains):
        with trainer.run(cell) as run:
            losses[cell.prompt.name] = [each for epoch in run.epochs(rate(1e-2), seed=3) for each in epoch.losses]
            scores[cell.prompt.name] = run.score("validation", generate=True)
            if cell.prompt.name == "fair":
                run.refuse_exploded(1e3, 1)
            with pytest.raises(Diverged):
                run.refuse_exploded(math.nan if cell.prompt.name == "fair" else 1e3, 1)
    assert losses["fair"] == losses["plain"]
    prior = np.array(scores["fair"].prior)
    for fair, plain in zip(scores["fair"].predictions, scores["plain"].predictions, strict=True):
        wanted = np.array(list((plain.probabilities or {}).values())) / prior
        assert list((fair.probabilities or {}).values()) == pytest.approx((wanted / wanted.sum()).tolist(), rel=1e-5)
    assert scores["fair"].scores["loss"] != pytest.approx(scores["plain"].scores["loss"], rel=1e-6)
