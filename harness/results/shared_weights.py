"""Cells whose final runs answer with the same weights, by other settings of generation: what training these took."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from harness.results.cell_result import CellResult, Final
from harness.study.further_axes import GENERATION

__all__ = ["with_shared_training"]


def with_shared_training(cells: Iterable[CellResult]) -> tuple[CellResult, ...]:
    """Return cells each of whose final runs says how long its weights trained, whichever run that was counted for."""
    cells = tuple(cells)
    trained = defaultdict[tuple[frozenset[tuple[str, str]], str], float](float)
    for cell in cells:
        for final in cell.finals:
            key = _weights(cell), final.seed
            trained[key] = max(trained[key], final.training_seconds)

    def shared(cell: CellResult, final: Final) -> Final:
        return replace(final, shared_training=trained[_weights(cell), final.seed])

    return tuple(replace(cell, finals=tuple(shared(cell, final) for final in cell.finals)) for cell in cells)


def _weights(cell: CellResult) -> frozenset[tuple[str, str]]:
    """Return the levels of a cell but its setting of generation."""
    return frozenset((axis, level) for axis, level in cell.factors.items() if axis != GENERATION)
