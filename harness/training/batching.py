"""Batching: from token ids to tensors, with label masks and length buckets.

Together with `harness.data.tokenization` and `harness.models`, the only place that knows a causal model from an
encoder-decoder.

No row is padded to the longest of its batch: for a loss it is padded to the longest row of its bucket of lengths, for
generation to its bucket's ceiling; a prompt that is read alone is not padded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import NamedTuple, overload

import numpy as np
import torch
from torch import Tensor

from harness.data.choice_rows import Choice, ChoiceRows
from harness.data.plain_text import asked
from harness.data.text_blocks import BlockRows
from harness.data.tokenization import Ids, Reader, Row

__all__ = ["Batch", "Prompts", "ceiling", "loss_batches", "prompt_batches", "prompts_together", "rows_together"]

IGNORED = -100
"""The label that torch's cross entropy leaves out."""

STEP = 8
"""Widths are multiples of it, as matrix products like them."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows of one bucket, ready for ``model(**batch.inputs)``."""

    indices: tuple[int, ...]
    """Positions of its rows in the list that the batches were made from."""

    inputs: dict[str, Tensor]
    """``input_ids``, ``attention_mask`` and ``labels``, each of shape (rows, width of its bucket)."""

    tokens: int
    """How many labels count."""

    shift: int
    """How many positions a label stands after the logits that predict it: 1 in a causal model, else 0."""

    halves: bool = False
    """Whether labels have positions of their own, those of a decoder behind an encoder."""

    choices: tuple[Choice, ...] = ()
    """Whose rows they are, one choice after the other, where a loss is of these: then its tokens are as many."""

    @property
    def examples(self) -> int:
        """How many there are in it."""
        return len(self.choices or self.indices)

    @property
    def positions(self) -> int:
        """How many of its positions have a label."""
        return int((self.inputs["labels"] != IGNORED).sum())

    def parts(self, most: int) -> list[Batch]:
        """Return the batch in parts of at most so many examples, padded as it is; itself where it has no more."""
        count = self.examples
        return [self] if count <= most else [self._part(start, start + most) for start in range(0, count, most)]

    def _part(self, start: int, end: int) -> Batch:
        choices = self.choices[start:end]
        if self.choices:
            start, end = (sum(len(choice.rows) for choice in self.choices[:place]) for place in (start, end))
        inputs = {name: tensor[start:end] for name, tensor in self.inputs.items()}
        part = replace(self, indices=self.indices[start:end], inputs=inputs, tokens=len(choices), choices=choices)
        return part if choices else replace(part, tokens=part.positions)

    def alone(self) -> list[Batch]:
        """Return each row as a batch of its own, without padding."""
        return [self._row(place) for place in range(len(self.indices))]

    def _row(self, place: int) -> Batch:
        labels, mask = self.inputs["labels"][place], self.inputs["attention_mask"][place]
        read, counted = int(mask.sum()), int((labels != IGNORED).sum())
        ends = {"input_ids": read, "attention_mask": read, "labels": counted if self.halves else read}
        inputs = {name: self.inputs[name][place : place + 1, :end] for name, end in ends.items()}
        return replace(self, indices=self.indices[place : place + 1], inputs=inputs, tokens=counted, choices=())

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        return replace(self, inputs={name: tensor.to(device) for name, tensor in self.inputs.items()})


class Prompts(NamedTuple):
    """Prompts of one bucket, ready for ``model.generate(**prompts.inputs)``."""

    indices: tuple[int, ...]
    """Positions of its rows in the list that the batches were made from."""

    inputs: dict[str, Tensor]
    """``input_ids`` and ``attention_mask``, each of shape (rows, ceiling)."""

    skip: int
    """How many tokens in front of ``generate``'s output are no prediction."""

    def parts(self, most: int) -> list[Prompts]:
        """Return the batch in parts of at most so many rows, padded as it is."""
        starts = range(0, len(self.indices), most)
        return [self._part(start, start + most) for start in starts]

    def _part(self, start: int, end: int) -> Prompts:
        inputs = {name: tensor[start:end] for name, tensor in self.inputs.items()}
        return Prompts(self.indices[start:end], inputs, self.skip)


def ceiling(length: int, limit: int | None = None) -> int:
    """Return what a length is padded to: 8, 12, 16, 24, 32, 48 and so on, at most the limit.

    >>> [ceiling(length) for length in (1, 9, 16, 100)]
    [8, 12, 16, 128]
    >>> ceiling(100, 120)
    120
    """
    size = 8
    while size < length:
        size = size * 4 // 3 if size % 3 == 0 else size * 3 // 2
    return size if limit is None else max(length, min(size, limit))


def loss_batches(
    rows: Sequence[Row], reader: Reader, *, batch_size: int, order: np.random.Generator | None = None
) -> Sequence[Batch]:
    """Return batches for a loss over the target tokens and the end token alone, padded on the right.

    Of a masked model's rows the labels stand where their targets do, hidden in what is read.

    What a row is padded to depends on all of the rows, not on those that share its batch; the rows of a choice share
    one, and are padded alike. Batches of blocks of text are made one by one, when they are asked for: there may be more
    of them than memory holds.

    Args:
        rows: What `encode` returned.
        reader: The model, or what stands for it.
        batch_size: The most rows of a batch, or choices; each bucket's last may hold fewer, so their number is fixed.
        order: Shuffles within buckets, then the batches. Make it anew from (seed, epoch) for each epoch:
            ``np.random.default_rng([seed, epoch])``. ``None``: sorted by length.
    """
    if isinstance(rows, BlockRows):
        return _BlockBatches(rows, reader, batch_size, order)
    choices = rows.choices if isinstance(rows, ChoiceRows) else ()
    units: Sequence[Sequence[Row]] = [choice.rows for choice in choices] or [(row,) for row in rows]
    each = [[_sizes(row, reader) for row in unit] for unit in units]
    sizes = [(max(read for read, _ in own), max(labels for _, labels in own)) for own in each]
    shapes = [_shape(each, reader) for each in sizes]
    lengths = [len(row.prompt) + len(row.target) for row, *_ in units]
    chunks, widths = _chunks(shapes, lengths, batch_size, order), _widths(shapes, sizes)
    firsts = [0, *accumulate(map(len, units))]
    made: list[Batch] = []
    for chunk in chunks:
        indices = [index for place in chunk for index in range(firsts[place], firsts[place + 1])]
        batch = _batch(indices, [rows[i] for i in indices], reader, widths[shapes[chunk[0]]])
        made.append(replace(batch, choices=tuple(choices[i] for i in chunk), tokens=len(chunk)) if choices else batch)
    return made


class _BlockBatches(Sequence[Batch]):
    """The batches that `loss_batches` makes of rows of one length, without all of them at once."""

    def __init__(self, rows: BlockRows, reader: Reader, size: int, order: np.random.Generator | None) -> None:
        self._rows, self._reader, self._size = rows, reader, size
        count = -(-len(rows) // size)
        self._members = np.arange(len(rows)) if order is None else order.permutation(len(rows))
        self._chunks = np.arange(count) if order is None else order.permutation(count)

    def __len__(self) -> int:
        return len(self._chunks)

    @overload
    def __getitem__(self, place: int) -> Batch: ...
    @overload
    def __getitem__(self, place: slice) -> list[Batch]: ...
    def __getitem__(self, place: int | slice) -> Batch | list[Batch]:
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        start = int(self._chunks[place]) * self._size
        indices = self._members[start : start + self._size].tolist()
        rows = [self._rows[index] for index in indices]
        sizes = _sizes(rows[0], self._reader)
        shape = _shape(sizes, self._reader)
        return _batch(indices, rows, self._reader, _widths([shape], [sizes])[shape])


def rows_together(rows: Sequence[Row], reader: Reader) -> Batch:
    """Return rows of any lengths as one batch for a loss, padded to the ceilings of the longest."""
    sizes, targets = zip(*(_shape(_sizes(row, reader), reader) for row in rows), strict=True)
    return _batch(range(len(rows)), rows, reader, (max(sizes), max(targets)))


def _halves(row: Row, reader: Reader) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return what the model reads, and its labels; an encoder-decoder makes its decoder's input from these."""
    if reader.is_encoder_decoder:
        return row.prompt, row.target
    if reader.is_masked:
        hidden = dict(zip(row.places, row.target, strict=True))
        return row.prompt, tuple(hidden.get(place, IGNORED) for place in range(len(row.prompt)))
    return row.prompt + row.target, (IGNORED,) * len(row.prompt) + row.target


def _sizes(row: Row, reader: Reader) -> tuple[int, int]:
    read, labels = _halves(row, reader)
    return len(read), len(labels)


def _shape(sizes: tuple[int, int], reader: Reader) -> tuple[int, int]:
    read, labels = sizes
    return ceiling(read, reader.context), ceiling(labels, reader.context)


def _widths(
    shapes: Sequence[tuple[int, int]], sizes: Sequence[tuple[int, int]]
) -> dict[tuple[int, int], tuple[int, int]]:
    """Return what each bucket is padded to: its longest row, rounded up to a multiple of `STEP` below its ceiling."""
    longest: dict[tuple[int, int], tuple[int, int]] = {}
    for shape, (read, labels) in zip(shapes, sizes, strict=True):
        most_read, most_labels = longest.get(shape, (0, 0))
        longest[shape] = max(most_read, read), max(most_labels, labels)
    return {
        shape: (min(shape[0], -(-read // STEP) * STEP), min(shape[1], -(-labels // STEP) * STEP))
        for shape, (read, labels) in longest.items()
    }


def _batch(indices: Sequence[int], rows: Sequence[Row], reader: Reader, shape: tuple[int, int]) -> Batch:
    read, labels = zip(*(_halves(row, reader) for row in rows), strict=True)
    size, targets = shape
    inputs = {
        "input_ids": _padded(read, size, reader.tokenizer.pad_token_id),
        "attention_mask": _padded([(1,) * len(ids) for ids in read], size, 0),
        "labels": _padded(labels, targets, IGNORED),
    }
    tokens = sum(len(row.target) for row in rows)
    shift = 0 if reader.is_encoder_decoder or reader.is_masked else 1
    return Batch(tuple(indices), inputs, tokens, shift, halves=reader.is_encoder_decoder)


def prompt_batches(rows: Sequence[Row], reader: Reader, *, batch_size: int, room: int) -> list[Prompts]:
    """Return batches for generation, shortest prompts first; a causal model's are padded on the left.

    Args:
        rows: What `encode` returned.
        reader: The model, or what stands for it.
        batch_size: The most rows of a batch; 1: each row alone, without padding.
        room: The most tokens that will be generated; padding leaves a causal model's context that many.
    """
    causal = not reader.is_encoder_decoder
    limit = reader.context - room if causal and reader.context is not None else reader.context
    lengths = [len(asked(row)) for row in rows]
    shapes = [(length if batch_size == 1 else ceiling(length, limit),) for length in lengths]
    chunks = _chunks(shapes, lengths, batch_size, None)
    return [_prompts(chunk, [asked(rows[i]) for i in chunk], reader, *shapes[chunk[0]]) for chunk in chunks]


def prompts_together(prompts: Sequence[Ids], reader: Reader) -> Prompts:
    """Return prompts of any lengths as one batch for generation, padded to the longest."""
    return _prompts(range(len(prompts)), prompts, reader, max(map(len, prompts)))


def _prompts(indices: Sequence[int], prompts: Sequence[Ids], reader: Reader, size: int) -> Prompts:
    causal = not reader.is_encoder_decoder
    inputs = {
        "input_ids": _padded(prompts, size, reader.tokenizer.pad_token_id, left=causal),
        "attention_mask": _padded([(1,) * len(ids) for ids in prompts], size, 0, left=causal),
    }
    return Prompts(tuple(indices), inputs, skip=size if causal else 1)


def _chunks(
    shapes: Sequence[tuple[int, ...]], lengths: Sequence[int], size: int, order: np.random.Generator | None
) -> list[list[int]]:
    """Split positions into batches of one shape each."""
    buckets: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for index in sorted(range(len(shapes)), key=lambda i: (lengths[i], i)):
        buckets[shapes[index]].append(index)
    chunks = []
    for bucket in buckets.values():
        members = bucket if order is None else [bucket[i] for i in order.permutation(len(bucket))]
        chunks += [members[start : start + size] for start in range(0, len(members), size)]
    return chunks if order is None else [chunks[i] for i in order.permutation(len(chunks))]


def _padded(sequences: Sequence[Sequence[int]], size: int, fill: int, *, left: bool = False) -> Tensor:
    """Return sequences as one tensor of shape (rows, size)."""
    tensor = torch.full((len(sequences), size), fill)
    for row, ids in zip(tensor, sequences, strict=True):
        row[size - len(ids) if left else 0 : size if left else len(ids)] = torch.tensor(ids, dtype=torch.long)
    return tensor
