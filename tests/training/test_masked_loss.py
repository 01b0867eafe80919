"""Losses and log-probabilities at masks against plain transformers, computed live and behind a replayed trunk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForMaskedLM

from harness.core.example import Example
from harness.data.mask_field import filled
from harness.data.template import Template
from harness.data.token_seam import word_ids
from harness.data.tokenization import Limits, Row, encode
from harness.models.apply_tuning import apply, reset
from harness.models.frozen.replay import Trunk, first_trained
from harness.models.last_block import block_asked_at_labels, modules_at_labels
from harness.models.load import Loaded, load
from harness.study.axes import Tuning
from harness.testing import MASKED_FAMILIES
from harness.training.activation_cache.cache import ActivationCache
from harness.training.activation_cache.memory import ActivationMemory
from harness.training.batching import loss_batches, rows_together
from harness.training.loss import ForwardPass

Tiny = Callable[..., Path]

CLOZE = Template("cloze", "{{ source }} It was {{ mask }}.")
SOURCES = (
    "The train left early.",
    "A note",
    "Could you send me the report before noon? Yes, it is on its way.",
    "Is it?",
)
WORDS = ("late", "short", "on its way", "zebra")
TUNINGS = [Tuning(kind="head"), Tuning(kind="last_blocks", blocks=1), Tuning(kind="last_blocks", blocks=2)]


def rows_of(loaded: Loaded) -> list[Row]:
    examples = [
        Example(str(at), {"source": source}, word) for at, (source, word) in enumerate(zip(SOURCES, WORDS, strict=True))
    ]
    return list(encode(examples, CLOZE, loaded, limits=Limits(100, 20)).rows)


def plain(folder: Path, row: Row) -> torch.Tensor:
    """Return the logits of plain transformers where a row's target is hidden, shape (labels, vocabulary)."""
    model = AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        logits: torch.Tensor = model(torch.tensor([row.prompt])).logits[0]
    return logits[list(row.places)]


@pytest.mark.parametrize("family", MASKED_FAMILIES)
def test_losses_at_masks_are_those_of_transformers(tiny_folder: Tiny, family: str) -> None:
    folder = tiny_folder(family)
    loaded = load(str(folder))
    rows = rows_of(loaded)
    expected = torch.cat(
        [cross_entropy(plain(folder, row), torch.tensor(row.target), reduction="none") for row in rows]
    )
    whole = ForwardPass(loaded.model)
    at_labels = replace(
        whole, at_labels=modules_at_labels(loaded.model), asked_at_labels=block_asked_at_labels(loaded.model)
    )
    assert len(at_labels.at_labels) >= 3  # the dense layer of the head's transform is one of them
    for forward in (whole, replace(whole, loss=None), replace(whole, alone=True), at_labels):
        with torch.no_grad():
            found = forward.token_nlls(rows_together(rows, loaded))
        assert torch.allclose(found, expected, rtol=1e-5, atol=1e-6), (found - expected).abs().max()


@pytest.mark.parametrize("family", MASKED_FAMILIES)
@pytest.mark.parametrize("tuning", TUNINGS, ids=lambda tuning: tuning.name)
def test_log_probabilities_at_masks_live_and_replayed(tiny_folder: Tiny, family: str, tuning: Tuning) -> None:
    folder = tiny_folder(family)
    loaded = load(str(folder))
    rows = [filled(row, word_ids(loaded, "was ", "zebra")) for row in rows_of(loaded)]
    expected = torch.stack([torch.log_softmax(plain(folder, row), dim=-1) for row in rows])
    cache = ActivationCache(loaded, ActivationMemory(2**30, None), batch_size=2, precision="fp32", say=print)
    trainable = apply(loaded.model, tuning)
    trunk = cache.open(("cloze", "train"), rows, first_trained(loaded.model), cuts=())
    assert isinstance(trunk, Trunk), trunk
    for replayed in (None, trunk):
        forward = ForwardPass(loaded.model, replayed)
        found = torch.empty_like(expected)
        for batch in loss_batches(rows, loaded, batch_size=3):
            with torch.no_grad():
                found[list(batch.indices)] = forward.log_probabilities(batch)
        assert torch.allclose(found, expected, rtol=0, atol=1e-6 * float(expected.abs().max())), replayed
    reset(loaded.model, trainable)


def test_log_probabilities_have_the_gradient_of_the_loss(tiny: Callable[..., Loaded]) -> None:
    loaded = tiny("bert")
    batch = rows_together(rows_of(loaded)[:1], loaded)
    forward, weight = ForwardPass(loaded.model), loaded.model.get_parameter("cls.predictions.transform.dense.weight")
    (row,) = (batch.inputs["labels"][0] != -100).nonzero().T
    found = forward.log_probabilities(batch)[0].gather(1, batch.inputs["labels"][0, row][:, None]).sum()
    (one,) = torch.autograd.grad(-found, weight)
    (other,) = torch.autograd.grad(forward.total_nll(batch), weight)
    assert torch.allclose(one, other, rtol=1e-4, atol=1e-6)


def test_rows_with_other_numbers_of_masks_are_refused(tiny: Callable[..., Loaded]) -> None:
    loaded = tiny("bert")
    with pytest.raises(ValueError, match="rows of one call must have as many labels each"):
        ForwardPass(loaded.model).log_probabilities(rows_together(rows_of(loaded), loaded))


def test_the_head_sees_masks_alone(tiny: Callable[..., Loaded]) -> None:
    loaded = tiny("bert")
    rows = [filled(row, (9,)) for row in rows_of(loaded)]
    seen: list[tuple[int, ...]] = []
    hook = loaded.model.get_output_embeddings().register_forward_hook(
        lambda module, args, output: seen.append(tuple(args[0].shape)) if output.size(-1) > 32 else None
    )
    forward = ForwardPass(loaded.model)
    seen.clear()
    forward.log_probabilities(rows_together(rows, loaded))
    hook.remove()
    assert seen == [(len(rows), 32)]
