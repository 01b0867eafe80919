"""Which weights of final runs stay on disk until it is known whose are stored: of cells that may still rank first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from harness.runner.finals.champion import middle_run
from harness.runner.finals.checkpoints import Checkpoints
from harness.runner.objective import Objective
from harness.study.grid import Cell
from harness.tracking.schema import Metrics, Params, score_name
from harness.tracking.stored_run import Run

__all__ = ["KeptWeights"]

_Merit: TypeAlias = tuple[bool, float, float, int]
"""By what a cell ranks, as `harness.results.collect.Results.ranked`, the earlier among equals; higher is better."""


@dataclass
class KeptWeights:
    """Drops weights that will not be stored: of all but the middle runs, and of cells that do not rank first."""

    checkpoints: Checkpoints
    objective: Objective
    cells: Sequence[Cell]
    """Those that are concluded."""
    lead: Callable[[Cell], Cell]
    """The cell whose weights answer for a cell."""
    _alike: dict[str, list[str]] = field(default_factory=dict, init=False)
    """By the cell whose weights they are, the cells that these answer for."""
    _middles: dict[str, str | None] = field(default_factory=dict, init=False)
    """The seed of the middle run of the cells that are complete, if they have one."""
    _merits: dict[str, _Merit] = field(default_factory=dict, init=False)
    """Of the cells that are complete and have a middle run."""
    _first: tuple[_Merit, str] | None = field(default=None, init=False)
    """By their best cell, the weights that rank first so far: the cell whose they are."""

    def __post_init__(self) -> None:
        self._places = {cell.id: place for place, cell in enumerate(self.cells)}
        for cell in self.cells:
            self._alike.setdefault(self.lead(cell).id, []).append(cell.id)

    def concluded(self, cell: Cell, done: Sequence[Run], means: Mapping[str, float], *, is_whole: bool) -> None:
        """Take note of a cell that is complete.

        Args:
            cell: Which.
            done: Its final runs that came to their end.
            means: Of their scores.
            is_whole: Whether none of them diverged.
        """
        middle, lead = middle_run(done, self.objective), self.lead(cell).id
        self._middles[cell.id] = middle.params[Params.SEED] if middle else None
        if middle:
            score, loss = means[score_name("validation", self.objective.lead)], means[Metrics.VALIDATION_LOSS]
            score = score if self.objective.lead_maximize else -score
            self._merits[cell.id] = is_whole, score, -loss, -self._places[cell.id]
        alike = self._alike[lead]
        if not all(other in self._middles for other in alike):
            return
        self.checkpoints.keep(lead, {self._middles[other] for other in alike})
        merits = [self._merits[other] for other in alike if other in self._merits]
        if merits and self.checkpoints.final.models == "best":
            self._keep_first(max(merits), lead)

    def _keep_first(self, merit: _Merit, lead: str) -> None:
        """Drop weights that do not rank first, those that did so far or these."""
        before = self._first or (merit, lead)
        self._first = max(before, (merit, lead))
        for other in {before[1], lead} - {self._first[1]}:
            self.checkpoints.keep(other, ())
