"""What of a study's facts is a cell's own: the training rows that it uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from harness.core.example import Example, Split, fingerprint
from harness.study.check import Checked
from harness.study.grid import Cell
from harness.tracking.schema import Tags

__all__ = ["CellFacts", "facts_of_cells"]


class CellFacts(NamedTuple):
    """What takes the place of a study's facts in one cell; nothing where all cells use the same rows."""

    identity: Mapping[str, Any]
    """Of those that its digest is made of."""
    tags: Mapping[str, str]
    """Of those that its runs carry."""
    train: Sequence[Example] | None
    """The training rows that it uses."""


def facts_of_cells(checked: Checked, data: Mapping[Split, str]) -> dict[str, CellFacts]:
    """Return the facts of each cell, by its id.

    Args:
        checked: The study.
        data: The digests of its splits.
    """
    return {cell.id: _facts(cell, checked, data) for cell in checked.cells}


def _facts(cell: Cell, checked: Checked, data: Mapping[Split, str]) -> CellFacts:
    if not checked.parts:
        return CellFacts({}, {}, None)
    train = checked.used_by(cell)["train"]
    content = fingerprint(train)
    return CellFacts({"data": {**data, "train": content}}, {Tags.data_digest("train"): content}, train)
