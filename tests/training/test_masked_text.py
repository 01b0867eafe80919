"""Continued pretraining of masked models: pseudo-perplexity by a loop of ten lines, training as the Trainer does it."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM

from harness.data.masked_blocks import MaskedBlocks, OneByOne
from harness.data.plain_text import PlainText, TextBlock
from harness.models.apply_tuning import apply, reset
from harness.models.frozen.replay import Trunk, first_trained
from harness.models.load import Loaded, load
from harness.study.axes import Tuning
from harness.study.spec import Training
from harness.testing import MASKED_FAMILIES
from harness.training.activation_cache.cache import ActivationCache
from harness.training.activation_cache.memory import ActivationMemory
from harness.training.batching import Batch, loss_batches
from harness.training.evaluation import joined, likelihoods, mean_loss
from harness.training.loop import Resumed, fit
from harness.training.loss import ForwardPass
from harness.training.run_state import Captured, RunState
from tests.support.first_of_kind import first_of_kind
from tests.support.transformers_trainer import trainer_losses

FORM = PlainText(block_tokens=24)
FULL, HEAD, LAST = Tuning(kind="full"), Tuning(kind="head"), Tuning(kind="last_blocks", blocks=1)


def blocks(count: int) -> list[TextBlock]:
    ids = np.random.default_rng(1).integers(5, 300, (count, FORM.block_tokens))
    ids[:, 0], ids[:, -1] = 1, 2
    return [TextBlock(f"block-{n}", {"source": ""}, "", ids=tuple(row.tolist())) for n, row in enumerate(ids)]


def pseudo_perplexity(folder: Path, some: list[TextBlock]) -> float:
    """Salazar et al. 2020, equation 1 and section 2, token by token."""
    model = AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float32).eval()
    total, count = 0.0, 0
    for block in some:
        for place in range(1, len(block.ids) - 1):
            ids = torch.tensor([block.ids])
            ids[0, place] = 4
            with torch.no_grad():
                logits = model(input_ids=ids).logits[0, place]
            total -= torch.log_softmax(logits, -1)[block.ids[place]].item()
            count += 1
    return math.exp(total / count)


@pytest.mark.parametrize("family", first_of_kind(MASKED_FAMILIES))
@pytest.mark.parametrize("tuning", [HEAD, LAST], ids=lambda tuning: tuning.name)
def test_pseudo_perplexity_is_that_of_the_loop_live_and_replayed(
    tiny_folder: Callable[..., Path], family: str, tuning: Tuning
) -> None:
    folder, some = tiny_folder(family), blocks(3)
    loaded = load(str(folder))
    rows = OneByOne(some, FORM, loaded)
    expected = pseudo_perplexity(folder, some)
    trainable = apply(loaded.model, tuning)
    cache = ActivationCache(loaded, ActivationMemory(2**28, None), 8, "fp32", print)
    trunk = cache.open(("text", "validation"), rows, first_trained(loaded.model), cuts=[])
    assert isinstance(trunk, Trunk), trunk
    for replayed in (None, trunk):
        found = likelihoods(ForwardPass(loaded.model, replayed), loss_batches(rows, loaded, batch_size=7))
        by_block = joined(found, rows.counts)
        assert [one.tokens for one in by_block] == [FORM.block_tokens - 2] * 3
        assert math.exp(mean_loss(by_block)) == pytest.approx(expected, rel=1e-5)
    reset(loaded.model, trainable)


def hidden(loaded: Loaded, count: int, epochs: int = 2) -> Callable[[int], Any]:
    rows = MaskedBlocks(blocks(count), FORM, loaded)

    def batches(epoch: int) -> Any:
        order = np.random.default_rng([7, epoch])
        return loss_batches(rows.drawn(7, epoch), loaded, batch_size=4, order=order)

    return batches


@pytest.mark.parametrize("family", first_of_kind(MASKED_FAMILIES))
@pytest.mark.parametrize("tuning", [FULL, LAST, HEAD], ids=lambda tuning: tuning.name)
def test_losses_are_the_trainer_s_given_the_same_masks(
    tiny_folder: Callable[..., Path], family: str, tuning: Tuning, tmp_path: Path
) -> None:
    spec, losses, seen = Training(epochs=2), [], list[Batch]()
    loaded = load(str(tiny_folder(family)))
    batches = hidden(loaded, 10)
    trainable = apply(loaded.model, tuning)
    for epoch in fit(ForwardPass(loaded.model), trainable, batches=batches, spec=spec, learning_rate=1e-3, seed=7):
        losses += epoch.losses
    seen = [*batches(1), *batches(2)]
    oracle = load(str(tiny_folder(family)))
    apply(oracle.model, tuning)
    once = Training(epochs=1)
    expected = trainer_losses(oracle, once, seen, rate=1e-3, folder=tmp_path)
    assert len(losses) == len(expected) == 6
    assert losses == pytest.approx(expected, rel=1e-5)
    for name in trainable.names:
        one, other = loaded.model.get_parameter(name), oracle.model.get_parameter(name)
        if not name.endswith("key.bias"):  # its true gradient is zero, and Adam scales rounding up
            assert torch.allclose(one, other, atol=2e-5), name


def test_a_run_that_is_gone_on_with_hides_the_same_tokens(tiny: Callable[..., Loaded]) -> None:
    held: list[tuple[Captured, bool]] = []

    def trained(
        resumed: Resumed | None = None, offer: Callable[[RunState, bool], None] = lambda state, is_last: None
    ) -> dict[str, torch.Tensor]:
        loaded = tiny("bert", hidden_dropout_prob=0.2)
        trainable = apply(loaded.model, FULL)
        run = fit(
            ForwardPass(loaded.model),
            trainable,
            batches=hidden(loaded, 10),
            spec=Training(epochs=2),
            learning_rate=1e-3,
            seed=7,
            resumed=resumed,
            offer=offer,
        )
        for _ in run:
            torch.rand(3)
        return {name: loaded.model.get_parameter(name).detach().clone() for name in trainable.names}

    whole = trained(offer=lambda state, is_last: held.append(deepcopy((state.capture(), not state.results))))
    for state, is_told in (held[1], held[3], held[5]):
        again = trained(Resumed(state, is_told))
        assert all(torch.equal(again[name], tensor) for name, tensor in whole.items()), state.step
