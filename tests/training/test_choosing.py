"""Labels by the likelihood of their words: plain transformers' numbers, one row or many, live or replayed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from harness.core.example import Example
from harness.data.choice_rows import ChoiceRows, encode_choices
from harness.data.label_words import Label
from harness.data.template import Template
from harness.data.tokenization import Limits, encode
from harness.models.apply_tuning import apply, reset
from harness.models.find_blocks import blocks
from harness.models.frozen.replay import Trunk, first_trained
from harness.models.last_block import block_asked_at_labels, modules_at_labels
from harness.models.load import Loaded
from harness.study.axes import Tuning
from harness.study.spec import Training
from harness.testing import MASKED_FAMILIES
from harness.training.activation_cache.cache import ActivationCache
from harness.training.activation_cache.memory import ActivationMemory
from harness.training.batching import loss_batches
from harness.training.choosing import chosen
from harness.training.criteria import CRITERIA
from harness.training.loop import fit
from harness.training.loss import ForwardPass

LIMITS = Limits(60, 12)
SHORT = (Label("a", ("the",)), Label("b", ("it",)), Label("c", ("was",)))
MIXED = (Label("early", ("early", "in advance")), Label("cold", ("cold", "left early", "left late")))
WORDS = ["the", "train", "left", "early", "and", "dinner", "was", "cold", "so", "guests", "came", "late"]


def prompt(labels: tuple[Label, ...], text: str = "{{ source }}\nIt was") -> Template:
    return Template("t", text, answers="likelihood", labels=labels)


def examples(labels: tuple[Label, ...], count: int = 9) -> list[Example]:
    return [
        Example(str(n), {"source": " ".join(WORDS[n % 5 : 6 + n * 3 % 7])}, labels[n * 5 % len(labels)].name)
        for n in range(count)
    ]


def rows_of(loaded: Loaded, labels: tuple[Label, ...]) -> ChoiceRows:
    rows = encode_choices(examples(labels), prompt(labels), loaded, limits=LIMITS).rows
    assert isinstance(rows, ChoiceRows)
    return rows


def plain_scores(loaded: Loaded, labels: tuple[Label, ...]) -> Tensor:
    """Score every word in a call of its own, as transformers' documentation does; shape (examples, labels)."""
    model, plain, found = loaded.model, Template("t", "{{ source }}\nIt was"), []
    for example in examples(labels):
        scores = []
        for label in labels:
            means = []
            for word in label.words:
                (row,) = encode([replace(example, target=word)], plain, loaded, limits=LIMITS).rows
                ids, said = torch.tensor([row.prompt]), torch.tensor([row.target[:-1]])
                if loaded.is_encoder_decoder:
                    start = torch.full((1, 1), model.config.decoder_start_token_id)
                    logits = model(input_ids=ids, decoder_input_ids=torch.cat([start, said[:, :-1]], 1)).logits
                else:
                    logits = model(torch.cat([ids, said], 1)).logits[:, ids.size(1) - 1 : -1]
                means.append(logits.log_softmax(-1).gather(-1, said[..., None]).mean())
            scores.append(torch.stack(means).max())
        found.append(torch.stack(scores))
    return torch.stack(found)


@pytest.mark.parametrize("labels", [SHORT, MIXED])
@pytest.mark.parametrize("family", ["gpt2", "llama", "t5", "marian"])
def test_probabilities_are_those_of_plain_transformers(
    tiny: Callable[..., Loaded], family: str, labels: tuple[Label, ...]
) -> None:
    loaded = tiny(family)
    rows = rows_of(loaded, labels)
    assert (len(rows) == 9) == (labels is SHORT and not loaded.is_encoder_decoder), "a word of one token costs no row"
    found = chosen(ForwardPass(loaded.model), loss_batches(rows, loaded, batch_size=4), labels)
    with torch.no_grad():
        wanted = plain_scores(loaded, labels).double().log_softmax(-1)
    assert [one.id for one in found] == [str(n) for n in range(9)]
    names = [label.name for label in labels]
    for one, row, example in zip(found, wanted, examples(labels), strict=True):
        assert one.probabilities is not None
        assert list(one.probabilities.values()) == pytest.approx(row.exp().tolist(), abs=1e-6)
        assert one.text == names[int(row.argmax())]
        assert (one.nll, one.tokens) == (pytest.approx(-row[names.index(example.target)].item(), abs=1e-5), 1)


def test_words_of_one_token_share_a_row_and_others_what_they_begin_with(tiny: Callable[..., Loaded]) -> None:
    loaded = tiny("gpt2")
    (choice, *_) = rows_of(loaded, MIXED).choices
    by_word = dict(zip((word for label in MIXED for word in label.words), choice.words, strict=True))
    beginnings = {row.target[:-1] for row in choice.rows}
    assert len(beginnings) == len(choice.rows) < len(by_word)
    for word in choice.words:
        assert choice.rows[word.row].target[:-1] == word.tokens[:-1]


@pytest.mark.parametrize("labels", [SHORT, MIXED])
@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_a_step_descends_the_cross_entropy_of_the_labels(
    tiny: Callable[..., Loaded], family: str, labels: tuple[Label, ...]
) -> None:
    loaded = tiny(family)
    model = loaded.model.train()
    (batch,) = [batch for batch in loss_batches(rows_of(loaded, labels), loaded, batch_size=64) if batch.examples > 2][
        :1
    ]
    loss, nll = ForwardPass(model).training_loss(batch)
    loss.backward()
    found = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad()
    own = [int(choice.id) for choice in batch.choices]
    right = torch.tensor([n * 5 % len(labels) for n in own])
    wanted = cross_entropy(plain_scores(loaded, labels)[own], right, reduction="sum")
    wanted.backward()
    assert (loss.item(), nll.item()) == (pytest.approx(wanted.item(), rel=1e-5), pytest.approx(wanted.item(), rel=1e-5))
    assert batch.tokens == batch.examples == len(own)
    for name, weight in model.named_parameters():
        if weight.grad is not None:
            assert torch.allclose(found[name], weight.grad, rtol=1e-3, atol=2e-6), name


def test_parts_of_a_batch_come_to_the_whole_and_rows_alone_as_well(tiny: Callable[..., Loaded]) -> None:
    loaded = tiny("gpt2")
    forward = ForwardPass(loaded.model)
    (batch, *_) = loss_batches(rows_of(loaded, MIXED), loaded, batch_size=64)
    with torch.no_grad():
        whole = forward.label_scores(batch)
        parts = torch.cat([forward.label_scores(part) for part in batch.parts(2)])
        alone = replace(forward, alone=True).label_scores(batch)
    assert sum(part.examples for part in batch.parts(2)) == sum(part.tokens for part in batch.parts(2)) == len(whole)
    assert torch.allclose(parts, whole, atol=1e-6)
    assert torch.allclose(alone, whole, atol=1e-6)


def test_another_criterion_is_of_the_labels(tiny: Callable[..., Loaded]) -> None:
    loaded = tiny("gpt2")
    (batch, *_) = loss_batches(rows_of(loaded, SHORT), loaded, batch_size=64)
    loss, nll = ForwardPass(loaded.model, criterion=CRITERIA["mse"]).training_loss(batch)
    shares = ForwardPass(loaded.model).label_scores(batch).softmax(-1)
    right = torch.tensor([choice.right for choice in batch.choices])
    assert loss.item() == pytest.approx((shares - torch.eye(3)[right]).square().sum().item(), rel=1e-5)
    assert nll.item() == pytest.approx(-shares[torch.arange(len(right)), right].log().sum().item(), rel=1e-5)


@pytest.mark.parametrize("labels", [SHORT, MIXED])
@pytest.mark.parametrize("tuning", [Tuning(kind="head"), Tuning(kind="last_blocks", blocks=1)])
@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_a_replay_trains_and_scores_as_the_live_model(
    tiny: Callable[..., Loaded], family: str, tuning: Tuning, labels: tuple[Label, ...]
) -> None:
    loaded, found = tiny(family), {}
    rows, model = rows_of(loaded, labels), loaded.model
    for replays in (False, True):
        trainable = apply(model, tuning)
        trunk, cut = None, first_trained(model)
        if replays:
            cache = ActivationCache(loaded, ActivationMemory(2**28, None), 5, "fp32", pytest.fail)
            trunk = cache.open(("t", "train"), rows, cut, cuts=range(cut, len(blocks(model)) + 1))
            assert isinstance(trunk, Trunk), trunk
        forward = ForwardPass(
            model, trunk, at_labels=modules_at_labels(model), asked_at_labels=block_asked_at_labels(model)
        )
        epochs = fit(
            forward,
            trainable,
            batches=lambda n: loss_batches(rows, loaded, batch_size=3, order=np.random.default_rng([1, n])),
            spec=Training(epochs=3),
            learning_rate=1e-2,
            seed=0,
        )
        losses = [loss for epoch in epochs for loss in epoch.losses]
        said = chosen(forward, loss_batches(rows, loaded, batch_size=4), labels)
        found[replays] = losses + [one.nll for one in said]
        reset(model, trainable)
    assert found[True] == pytest.approx(found[False], rel=1e-4)
    assert found[False][-1] != found[False][-2]
    assert np.mean(found[False][-9:]) < np.mean(found[False][:3]), "it learns"


CLOZE = "{{ source }} It was {{ mask }}."


def masked_scores(loaded: Loaded, labels: tuple[Label, ...], text: str) -> Tensor:
    """Score every word at as many masks as it has tokens, by transformers alone; shape (examples, labels)."""
    tokenizer, found = loaded.tokenizer, []
    for example in examples(labels):
        means = []
        for label in labels:
            of_words = []
            for word in label.words:
                said = tokenizer(f" {word}", add_special_tokens=False)["input_ids"]
                whole = text.replace("{{ source }}", example.fields["source"])
                whole = whole.replace("{{ mask }}", tokenizer.mask_token * len(said))
                ids = torch.tensor([tokenizer(whole)["input_ids"]])
                logs = loaded.model(ids).logits[0, ids[0] == tokenizer.mask_token_id].log_softmax(-1)
                of_words.append(logs[torch.arange(len(said)), said].mean())
            means.append(torch.stack(of_words).max())
        found.append(torch.stack(means))
    return torch.stack(found)


@pytest.mark.parametrize("labels", [SHORT, MIXED])
@pytest.mark.parametrize("family", MASKED_FAMILIES)
def test_probabilities_at_masks_are_those_of_plain_transformers(
    tiny: Callable[..., Loaded], family: str, labels: tuple[Label, ...]
) -> None:
    loaded = tiny(family)
    rows = encode_choices(examples(labels), prompt(labels, CLOZE), loaded, limits=LIMITS).rows
    assert isinstance(rows, ChoiceRows)
    lengths = {len(word.tokens) for word in rows.choices[0].words}
    assert len(rows) == 9 * len(lengths), "words of as many tokens share a row"
    found = chosen(ForwardPass(loaded.model), loss_batches(rows, loaded, batch_size=4), labels)
    with torch.no_grad():
        wanted = masked_scores(loaded, labels, CLOZE).double().softmax(-1)
    for one, row in zip(found, wanted, strict=True):
        assert list((one.probabilities or {}).values()) == pytest.approx(row.tolist(), abs=1e-6)


def test_a_prompt_without_a_mask_has_one_at_its_end(tiny: Callable[..., Loaded]) -> None:
    loaded = tiny("bert")
    for text, whole in (("{{ source }} It was", "{{ source }} It was {{ mask }}"), ("{{ source }}\n", None)):
        one, other = (
            encode_choices(examples(MIXED), prompt(MIXED, each), loaded, limits=LIMITS).rows
            for each in (text, whole or f"{text}{{{{ mask }}}}")
        )
        assert list(one) == list(other)


@pytest.mark.parametrize("tuning", [Tuning(kind="head"), Tuning(kind="last_blocks", blocks=1), Tuning(kind="full")])
def test_a_masked_model_learns_labels_live_and_replayed(tiny: Callable[..., Loaded], tuning: Tuning) -> None:
    loaded, found = tiny("bert"), {}
    rows, model = encode_choices(examples(MIXED), prompt(MIXED, CLOZE), loaded, limits=LIMITS).rows, loaded.model
    for replays in (False, True) if tuning.kind != "full" else (False,):
        trainable = apply(model, tuning)
        trunk = None
        if replays:
            cache = ActivationCache(loaded, ActivationMemory(2**28, None), 5, "fp32", pytest.fail)
            trunk = cache.open(("t", "train"), rows, first_trained(model), cuts=())
            assert isinstance(trunk, Trunk), trunk
        forward = ForwardPass(model, trunk)
        epochs = fit(
            forward,
            trainable,
            batches=lambda n: loss_batches(rows, loaded, batch_size=3, order=np.random.default_rng([1, n])),
            spec=Training(epochs=4),
            learning_rate=1e-2,
            seed=0,
        )
        losses = [epoch.train_loss for epoch in epochs]
        said = chosen(forward, loss_batches(rows, loaded, batch_size=4), MIXED)
        found[replays] = losses + [one.nll for one in said]
        reset(model, trainable)
    assert found[False][3] < found[False][0]
    assert found.get(True, found[False]) == pytest.approx(found[False], rel=1e-4)
