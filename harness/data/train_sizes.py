"""Training sizes: the parts of a training split that a study compares, each of them within the next larger one.

A split is drawn in one order, whose beginning a smaller size takes, so that two sizes differ by rows that are added and
by none that is exchanged. What is dropped from train, duplicates and groups that stand in a later split, is dropped
from every part: a part is what a study of that size alone trains on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from harness.core.errors import DataError
from harness.core.example import Example
from harness.data.data_keys import Data
from harness.data.sources import Source, SourceRow, split_rows
from harness.data.text_blocks import TextBlocks

__all__ = ["ids_by_size", "parts_of", "text_part"]


def ids_by_size(
    source: Source, data: Data, rows: Sequence[SourceRow], examples: Sequence[Example]
) -> dict[int, tuple[str, ...]]:
    """Return, by size, the ids of the examples that it has, in its own order; nothing where sizes are not compared.

    Args:
        source: Where rows come from; keeps what it has read.
        data: Names the sizes.
        rows: Of the training split at its largest.
        examples: Made of these rows, in their order.
    """
    ids = {(row.part, row.place): example.id for row, example in zip(rows, examples, strict=True)}
    return {
        size: tuple(ids[row.part, row.place] for row in split_rows(source, "train", data.of_size(size)))
        for size in data.sizes
    }


def parts_of(examples: Sequence[Example], ids: Mapping[int, Sequence[str]]) -> dict[int, Sequence[Example]]:
    """Return, by size, the examples of a training split that it has, in the order of a study of that size alone.

    Args:
        examples: The split at its largest, without what is dropped.
        ids: From `ids_by_size`.

    Raises:
        DataError: All rows of a size were dropped.
    """
    by_id = {example.id: example for example in examples}
    parts = {size: [by_id[id] for id in own if id in by_id] for size, own in ids.items()}
    for size, part in parts.items():
        _refuse_empty(size, part)
    return dict(parts)


def text_part(size: int, blocks: TextBlocks, whole: Sequence[Example]) -> TextBlocks:
    """Return those blocks of a smaller size that are left of a training split of text.

    Args:
        size: How many there were to be.
        blocks: As they were drawn.
        whole: The split at its largest, without what is dropped.

    Raises:
        DataError: All of them were dropped.
    """
    assert isinstance(whole, TextBlocks)
    part = whole.chosen(np.intersect1d(blocks.numbers, whole.numbers))
    _refuse_empty(size, part)
    return part


def _refuse_empty(size: int, part: Sequence[Example]) -> None:
    if not part:
        raise DataError(
            f"of the {size} training rows of data.train none is left: each has a duplicate, or its group, in a later "
            "split; take more rows, or correct the data"
        )
