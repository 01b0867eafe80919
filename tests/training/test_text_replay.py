"""Blocks of text, every position a label: replay equals the live model, and batches are made one by one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.data.plain_text import PlainText, TextBlock
from harness.data.text_blocks import BlockRows
from harness.models.apply_tuning import apply, reset
from harness.models.find_blocks import blocks
from harness.models.frozen.replay import Trunk, first_trained
from harness.models.load import Loaded, load
from harness.study.axes import Tuning
from harness.study.spec import Training
from harness.training.activation_cache.cache import ActivationCache
from harness.training.activation_cache.memory import ActivationMemory
from harness.training.batching import loss_batches
from harness.training.evaluation import likelihoods
from harness.training.loop import fit
from harness.training.loss import ForwardPass

TUNINGS = {"head": Tuning(kind="head"), "last": Tuning(kind="last_blocks", blocks=1)}
LAST_TWO = Tuning(kind="last_blocks", blocks=2)


def rows_of(count: int, size: int, seed: int) -> BlockRows:
    ids = np.random.default_rng(seed).integers(4, 300, (count, size))
    made = [TextBlock(f"block-{n}", {"source": ""}, "", ids=tuple(row.tolist())) for n, row in enumerate(ids)]
    return BlockRows(made, PlainText(block_tokens=size))


def opened(loaded: Loaded, rows: BlockRows, cut: int, batch: int) -> Trunk:
    said: list[str] = []
    cache = ActivationCache(loaded, ActivationMemory(2**28, None), batch, "fp32", said.append)
    found = cache.open(("text", "train"), rows, cut, cuts=[cut])
    assert isinstance(found, Trunk), found
    assert said == []
    return found


def trained(
    loaded: Loaded, rows: BlockRows, tuning: Tuning, batch: int, *, replay: bool
) -> tuple[list[float], list[float], dict[str, torch.Tensor]]:
    """Return the losses of two epochs, those of every block afterwards, and the tensors that trained."""
    trainable = apply(loaded.model, tuning)
    try:
        trunk = opened(loaded, rows, first_trained(loaded.model), batch) if replay else None
        forward = ForwardPass(loaded.model, trunk)
        epochs = fit(
            forward,
            trainable,
            batches=lambda epoch: loss_batches(rows, loaded, batch_size=batch, order=np.random.default_rng([3, epoch])),
            spec=Training(epochs=2),
            learning_rate=1e-3,
            seed=0,
        )
        steps = [loss for epoch in epochs for loss in epoch.losses]
        nlls = [one.nll for one in likelihoods(forward, loss_batches(rows, loaded, batch_size=batch))]
        tensors = {name: loaded.model.get_parameter(name).detach().clone() for name in trainable.names}
    finally:
        reset(loaded.model, trainable)
    return steps, nlls, tensors


@pytest.mark.parametrize("family", ["gpt2", "llama", pytest.param("mistral", marks=pytest.mark.slow)])
@pytest.mark.parametrize("tuning", [*TUNINGS.values(), LAST_TWO], ids=lambda tuning: tuning.name)
@settings(max_examples=5)
@given(count=st.integers(1, 9), size=st.sampled_from([8, 24, 33]), batch=st.integers(1, 4), seed=st.integers(0, 99))
def test_replay_is_the_live_model_to_the_last_bit(
    tiny_folder: Callable[..., Path], family: str, tuning: Tuning, count: int, size: int, batch: int, seed: int
) -> None:
    loaded, rows = load(str(tiny_folder(family))), rows_of(count, size, seed)
    live = trained(loaded, rows, tuning, batch, replay=False)
    replayed = trained(loaded, rows, tuning, batch, replay=True)
    assert replayed[:2] == live[:2]
    assert replayed[2].keys() == live[2].keys()
    assert all(torch.equal(replayed[2][name], tensor) for name, tensor in live[2].items())


def test_the_loss_is_what_transformers_says(tiny_folder: Callable[..., Path]) -> None:
    loaded, rows = load(str(tiny_folder("gpt2"))), rows_of(5, 24, 1)
    found = likelihoods(ForwardPass(loaded.model), loss_batches(rows, loaded, batch_size=2))
    with torch.no_grad():
        for row, likelihood in zip(rows, found, strict=True):
            ids = torch.tensor([row.prompt + row.target])
            loss = loaded.model(input_ids=ids, labels=ids).loss.item()
            assert likelihood.tokens == 23
            assert likelihood.nll / 23 == pytest.approx(loss, rel=1e-6)


@cache
def loaded_once(folder: str) -> Loaded:
    return load(folder)


@given(count=st.integers(1, 20), batch=st.integers(1, 7), seed=st.none() | st.integers(0, 99))
def test_batches_are_those_of_a_list(
    tiny_folder: Callable[..., Path], count: int, batch: int, seed: int | None
) -> None:
    loaded, rows = loaded_once(str(tiny_folder("gpt2"))), rows_of(count, 20, 0)
    lazy, eager = (
        loss_batches(some, loaded, batch_size=batch, order=None if seed is None else np.random.default_rng(seed))
        for some in (rows, list(rows))
    )
    assert isinstance(eager, list)
    assert not isinstance(lazy, list)
    assert [one.indices for one in lazy] == [one.indices for one in eager]
    for one, other in zip(lazy, eager, strict=True):
        assert all(torch.equal(one.inputs[name], other.inputs[name]) for name in other.inputs)
    assert [one.indices for one in lazy[1:3]] == [one.indices for one in eager[1:3]]


def test_a_recording_that_has_no_room_is_known_before_a_pass(tiny_folder: Callable[..., Path]) -> None:
    loaded, rows, said = load(str(tiny_folder("gpt2"))), rows_of(9, 24, 0), list[str]()
    cache = ActivationCache(loaded, ActivationMemory(1000, None), 4, "fp32", said.append)
    calls: list[object] = []
    handle = loaded.model.register_forward_hook(lambda *args: calls.append(args))
    found = cache.open(("text", "train"), rows, len(blocks(loaded.model)), cuts=[])
    handle.remove()
    assert isinstance(found, str)
    assert "fits neither engine.memory_mib nor engine.disk_mib" in found
    assert len(calls) <= 2, "a few tokens to look at the model, and no pass over the rows"
