"""Draws of training rows: the parts of a training split that a study compares, each size within the next larger one.

A split is drawn in one order, whose beginning a smaller size takes, so that two sizes differ by rows that are added and
by none that is exchanged; another seed is another order. What is dropped from train, duplicates and groups that stand
in a later split, is dropped from every part: a part is what a study of that draw alone trains on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from harness.core.errors import DataError
from harness.core.example import Example
from harness.data.data_keys import Data, Draw
from harness.data.sources import Source, SourceRow, split_rows
from harness.data.text_blocks import TextBlocks

__all__ = ["parts_of", "refuse_equal", "rows_of_draws", "text_part"]


def rows_of_draws(source: Source, data: Data) -> tuple[list[SourceRow], dict[Draw, list[int]]]:
    """Return the training rows that any draw has, and by draw the places of its own among them, in its own order.

    Args:
        source: Where rows come from; keeps what it has read.
        data: Names sizes and seeds.

    Raises:
        DataError: From `split_rows`.
    """
    own = {draw: split_rows(source, "train", data, draw) for draw in data.draws}
    every = {(row.part, row.place): row for rows in sorted(own.values(), key=len, reverse=True) for row in rows}
    places = {key: place for place, key in enumerate(every)}
    return list(every.values()), {draw: [places[row.part, row.place] for row in rows] for draw, rows in own.items()}


def parts_of(examples: Sequence[Example], ids: Mapping[Draw, Sequence[str]]) -> dict[Draw, Sequence[Example]]:
    """Return, by draw, the examples of a training split that it has, in the order of a study of that draw alone.

    Args:
        examples: All that are in some draw, without what is dropped.
        ids: Of each draw, in its order.

    Raises:
        DataError: All rows of a draw were dropped.
    """
    by_id = {example.id: example for example in examples}
    parts = {draw: [by_id[id] for id in own if id in by_id] for draw, own in ids.items()}
    for draw, part in parts.items():
        _refuse_empty(draw, part)
    return dict(parts)


def text_part(draw: Draw, blocks: TextBlocks, whole: Sequence[Example]) -> TextBlocks:
    """Return those blocks of a draw that are left of a training split of text.

    Args:
        draw: How many there were to be.
        blocks: As they were drawn.
        whole: All that are in some draw, without what is dropped.

    Raises:
        DataError: All of them were dropped.
    """
    assert isinstance(whole, TextBlocks)
    part = whole.chosen(np.intersect1d(blocks.numbers, whole.numbers))
    _refuse_empty(draw, part)
    return part


def refuse_equal(ids: Mapping[Draw, Sequence[str | int]]) -> None:
    """See that seeds draw different rows.

    Args:
        ids: Of the rows of each draw.

    Raises:
        DataError: Two have the same ones: all that there are.
    """
    known: dict[frozenset[str | int], Draw] = {}
    for draw, own in ids.items():
        other = known.setdefault(frozenset(own), draw)
        if other.seed != draw.seed:
            rule = "set data.train to fewer than there are, or name one seed"
            raise DataError(f"data.seed {other.seed} and {draw.seed} draw the same {len(own)} training rows; {rule}")


def _refuse_empty(draw: Draw, part: Sequence[Example]) -> None:
    if not part:
        raise DataError(
            f"of the training rows that are drawn, {draw}, none is left: each has a duplicate, or its group, in a "
            "later split; take more rows, or correct the data"
        )
