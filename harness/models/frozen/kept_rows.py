"""Values of rows, kept one by one under a capture point's name, and given back for any batch of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from harness.core.errors import ModelError

__all__ = ["Fetch", "Keep", "Rows", "get", "put", "shape"]

Keep = Callable[[str, Tensor], object]
"""Takes a recorded tensor by capture point, item and row, ``model.layers.4/0/17``; a dictionary's ``__setitem__``."""

Fetch = Callable[[str], Tensor]
"""Returns it again; raises `KeyError` where nothing was kept under that name."""


class Rows(NamedTuple):
    """Some rows of one padded shape, as the model takes them."""

    indices: tuple[int, ...]
    """Which rows of their list these are."""

    inputs: Mapping[str, Tensor]
    """For ``model(**inputs)``, each of shape (rows, positions); no labels."""

    wanted: Tensor
    """Where logits are used, a mask of shape (rows, positions of the logits)."""


def put(keep: Keep, name: str, rows: Rows, values: Sequence[Tensor]) -> None:
    """Keep one value per row."""
    if len(values) != len(rows.indices):
        raise ModelError(f"{name} holds {len(values)} values for {len(rows.indices)} rows: rows are not its first axis")
    for index, value in zip(rows.indices, values, strict=True):
        keep(f"{name}/{index}", value)


def get(fetch: Fetch, name: str, rows: Rows, *, joined: Callable[[list[Tensor]], Tensor] = torch.stack) -> Tensor:
    """Return the values of some rows, where the rows are: joined first, then moved, in one transfer."""
    return joined([fetch(f"{name}/{index}") for index in rows.indices]).to(rows.wanted.device)


def shape(rows: Rows) -> str:
    """Return the padded shape, which is no row's index."""
    return "x".join(["shape", *(str(rows.inputs[name].size(1)) for name in sorted(rows.inputs))])
