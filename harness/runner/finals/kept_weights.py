"""Which weights of final runs stay on disk until it is known whose are stored: of cells that may still rank first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from harness.runner.finals.champion import middle_run
from harness.runner.finals.checkpoints import Checkpoints
from harness.runner.objective import Objective
from harness.study.grid import Cell
from harness.tracking.schema import Metrics, Params, score_name
from harness.tracking.stored_run import Run

__all__ = ["KeptWeights"]


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
    _merits: dict[Cell, tuple[bool, float, float]] = field(default_factory=dict, init=False)
    """By what they rank, as `harness.results.collect.Results.ranked`; higher is better."""
    _first: Cell | None = field(default=None, init=False)
    """The one that ranks first so far."""

    def __post_init__(self) -> None:
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
        middle, lead = middle_run(done, self.objective), self.lead(cell)
        self._middles[cell.id] = middle.params[Params.SEED] if middle else None
        alike = self._alike[lead.id]
        if all(other in self._middles for other in alike):
            self.checkpoints.keep(lead.id, {self._middles[other] for other in alike})
        if middle is None or self.checkpoints.final.models != "best":
            return
        score, loss = means[score_name("validation", self.objective.lead)], means[Metrics.VALIDATION_LOSS]
        self._merits[cell] = (is_whole, score if self.objective.lead_maximize else -score, -loss)
        before = self._first or cell
        self._first = max(before, cell, key=lambda other: self._merits[other])
        for other in {self.lead(before), lead} - {self.lead(self._first)}:
            self.checkpoints.keep(other.id, ())
