"""Buckets, orders, padding and label masks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.data.tokenization import Row
from harness.models.load import Loaded
from harness.training.batching import IGNORED, Batch, ceiling, loss_batches, prompt_batches

SIZES = st.lists(st.tuples(st.integers(1, 90), st.integers(1, 38)), min_size=1, max_size=40)
KINDS = pytest.mark.parametrize("family", ["gpt2", "bart"])


def rows_of(sizes: Sequence[tuple[int, int]]) -> list[Row]:
    """Return rows whose ids tell where they are from: prompts count up from 10, targets from 200."""
    return [
        Row(str(i), tuple(range(10, 10 + prompt)), tuple(range(200, 200 + target)), False)
        for i, (prompt, target) in enumerate(sizes)
    ]


def same(ones: Sequence[Batch], others: Sequence[Batch]) -> bool:
    return [b.indices for b in ones] == [b.indices for b in others] and all(
        torch.equal(one.inputs[name], other.inputs[name])
        for one, other in zip(ones, others, strict=True)
        for name in one.inputs
    )


@given(length=st.integers(1, 5000), limit=st.integers(1, 5000))
def test_a_ceiling_is_at_most_half_as_much_again(length: int, limit: int) -> None:
    size = ceiling(length)
    assert length <= size <= max(8, length * 1.5)
    assert ceiling(size) == size
    assert ceiling(length, limit) == max(length, min(size, limit))


@KINDS
@settings(max_examples=40, deadline=None)
@given(sizes=SIZES, batch_size=st.integers(1, 9), seed=st.none() | st.integers(0, 99))
def test_batches_partition_the_rows(
    tiny: Callable[..., Loaded], family: str, sizes: list[tuple[int, int]], batch_size: int, seed: int | None
) -> None:
    loaded, rows = tiny(family), rows_of(sizes)
    order = None if seed is None else np.random.default_rng(seed)
    batches = loss_batches(rows, loaded, batch_size=batch_size, order=order)
    assert sorted(i for batch in batches for i in batch.indices) == list(range(len(rows)))
    assert all(len(batch.indices) <= batch_size for batch in batches)
    assert len(batches) == len(loss_batches(rows, loaded, batch_size=batch_size))
    for batch in batches:
        assert batch.tokens == (batch.inputs["labels"] != IGNORED).sum()
        for position, index in enumerate(batch.indices):
            inputs = {name: tensor[position] for name, tensor in batch.inputs.items()}
            check_row(loaded, rows[index], inputs, widths(loaded, rows, rows[index]))


def widths(loaded: Loaded, rows: Sequence[Row], row: Row) -> tuple[int, int]:
    """Return what the inputs and labels of a row are padded to: the longest of those that share its two ceilings."""
    alike = [
        sizes
        for sizes in (tuple(map(len, halves(loaded, other))) for other in rows)
        if [ceiling(size, 128) for size in sizes] == [ceiling(len(half), 128) for half in halves(loaded, row)]
    ]
    longest = (max(sizes[half] for sizes in alike) for half in range(2))
    read, labels = (min(ceiling(size, 128), math.ceil(size / 8) * 8) for size in longest)
    return read, labels


def halves(loaded: Loaded, row: Row) -> tuple[list[int], list[int]]:
    if loaded.is_encoder_decoder:
        return list(row.prompt), list(row.target)
    return list(row.prompt + row.target), [IGNORED] * len(row.prompt) + list(row.target)


def check_row(loaded: Loaded, row: Row, inputs: dict[str, torch.Tensor], size: tuple[int, int]) -> None:
    """Check one row of a batch by slicing, its padding included."""
    ids, labels = halves(loaded, row)
    pad = loaded.tokenizer.pad_token_id
    assert inputs["input_ids"].tolist() == ids + [pad] * (size[0] - len(ids))
    assert inputs["attention_mask"].tolist() == [1] * len(ids) + [0] * (size[0] - len(ids))
    assert inputs["labels"].tolist() == labels + [IGNORED] * (size[1] - len(labels))


@KINDS
def test_an_epochs_order_depends_on_its_seed_alone(tiny: Callable[..., Loaded], family: str) -> None:
    loaded = tiny(family)
    rows = rows_of([(10 + i % 5, 3 + i % 4) for i in range(40)])

    def epoch(seed: int, number: int) -> list[Batch]:
        return loss_batches(rows, loaded, batch_size=4, order=np.random.default_rng([seed, number]))

    assert same(epoch(0, 1), epoch(0, 1))
    assert not same(epoch(0, 1), epoch(0, 2))
    assert not same(epoch(0, 1), epoch(1, 1))
    fixed = loss_batches(rows, loaded, batch_size=4)
    assert same(fixed, loss_batches(rows, loaded, batch_size=4))
    lengths = [len(rows[i].prompt) + len(rows[i].target) for batch in fixed for i in batch.indices]
    assert lengths == sorted(lengths) or loaded.is_encoder_decoder


@KINDS
@settings(max_examples=40, deadline=None)
@given(sizes=SIZES, batch_size=st.integers(1, 9))
def test_prompts_are_padded_to_their_bucket_on_the_side_that_generation_needs(
    tiny: Callable[..., Loaded], family: str, sizes: list[tuple[int, int]], batch_size: int
) -> None:
    loaded, rows, room = tiny(family), rows_of(sizes), 38
    batches = prompt_batches(rows, loaded, batch_size=batch_size, room=room)
    assert sorted(i for batch in batches for i in batch.indices) == list(range(len(rows)))
    for batch in batches:
        for index, ids, mask in zip(batch.indices, *batch.inputs.values(), strict=True):
            prompt = list(rows[index].prompt)
            padding = ceiling(len(prompt), 128 if loaded.is_encoder_decoder else 128 - room) - len(prompt)
            padding = 0 if batch_size == 1 else padding  # nothing is padded that is read alone
            fill, zeros = [loaded.tokenizer.pad_token_id] * padding, [0] * padding
            left = not loaded.is_encoder_decoder
            assert ids.tolist() == (fill + prompt if left else prompt + fill)
            assert mask.tolist() == (zeros + [1] * len(prompt) if left else [1] * len(prompt) + zeros)
            assert batch.skip == (len(ids) if left else 1)
            assert not left or len(ids) + room <= 128


def test_a_batch_goes_to_a_device() -> None:
    batch = Batch((0,), {"input_ids": torch.tensor([[1]])}, tokens=1, shift=1)
    moved = batch.to(torch.device("meta"))
    assert moved.inputs["input_ids"].is_meta
    assert (moved.indices, moved.tokens, moved.shift) == ((0,), 1, 1)
