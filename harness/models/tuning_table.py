"""The table of a tuning: what a model is made of, how much of each part trains, and what the numbers do not show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import nn
from transformers import PreTrainedModel

from harness.models.find_blocks import Anatomy

__all__ = ["Row", "inner_paths", "table_rows"]


class Row(NamedTuple):
    """One line of the table that ``harness show`` prints."""

    part: str
    """``embeddings``, ``head``, ``other``, or the dotted path of a block or a final norm."""

    parameters: int
    """How many numbers it holds; a tensor that two parts share counts in the first."""

    trainable: int
    """How many of them train."""


def table_rows(model: PreTrainedModel, parts: Anatomy) -> tuple[Row, ...]:
    """Return the rows of a model that is under a tuning, in the order of the computation."""
    modules: list[tuple[str, list[nn.Module]]] = [("embeddings", [part.module for part in parts.embeddings])]
    for stack in dict.fromkeys(block.stack for block in parts.blocks):
        modules += [(block.name, [block.module]) for block in parts.blocks if block.stack == stack]
        modules += [(norm.name, [norm.module]) for norm in parts.final_norms if norm.stack == stack]
    modules += [("head", [part.module for part in (*parts.transform, parts.head)]), ("other", [model])]
    rows, seen = [], set[int]()
    for name, roots in modules:
        own = {id(tensor): tensor for root in roots for tensor in root.parameters() if id(tensor) not in seen}
        seen |= own.keys()
        trains = sum(tensor.numel() for tensor in own.values() if tensor.requires_grad)
        rows.append(Row(name, sum(tensor.numel() for tensor in own.values()), trains))
    return tuple(row for row in rows if row.parameters or row.part == "head")


def inner_paths(parts: Anatomy, paths: Sequence[str], what: str = "train") -> tuple[str, ...]:
    """Return a line for each set of blocks in which the same parts train, and the rest does not.

    Args:
        parts: Of the model.
        paths: What trains.
        what: What these parts do, if not train.
    """
    below: dict[tuple[str, ...], list[str]] = {}
    for block in parts.blocks:
        start = f"{block.name}."
        inner = tuple(path.removeprefix(start) for path in paths if path.startswith(start))
        if inner:
            below.setdefault(inner, []).append(block.name)
    return tuple(f"in {_named(blocks)} {what} {', '.join(inner)}" for inner, blocks in below.items())


def _named(blocks: Sequence[str]) -> str:
    """Return blocks by their names, or their number with the first and the last.

    >>> _named(["h.0", "h.1"]), _named(["h.0", "h.1", "h.2", "h.4"])
    ('h.0, h.1', '4 blocks, h.0 to h.4,')
    """
    return ", ".join(blocks) if len(blocks) < 4 else f"{len(blocks)} blocks, {blocks[0]} to {blocks[-1]},"
