"""A final run that was taken, and those of other cells that the same weights answer for while they are in memory."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from harness.core.cost_names import PREFIX
from harness.runner.executors.protocol import Reply
from harness.runner.finals.test_answers import TestAnswers
from harness.study.grid import Cell

__all__ = ["OpenFinal", "title_of"]


@dataclass
class OpenFinal:
    """A final run that was taken."""

    cell: Cell
    seed: str
    run: str
    test: TestAnswers
    along: list[OpenFinal] = field(default_factory=list)
    """Those of the further settings of generation that its weights answer under, in their order."""
    began: float = field(default_factory=time.perf_counter)
    values: dict[str, float] = field(default_factory=dict)
    saved: str | None = None
    """The key of the checkpoint that is being written."""
    costs: Mapping[str, float] = field(default_factory=dict)
    """Of one along: what its answers took."""

    @property
    def seconds(self) -> float:
        """What it took so far."""
        own = [self.costs[f"{PREFIX}{split}_seconds"] for split in ("validation", "test")] if self.costs else []
        return sum(own) if own else time.perf_counter() - self.began

    @property
    def name(self) -> str:
        """What it is called beside all others."""
        return f"{self.cell.id} {title_of(self.cell, self.seed)}"

    @property
    def all(self) -> Iterator[OpenFinal]:
        """Itself, and those along."""
        yield self
        yield from self.along

    def of(self, cell: str) -> OpenFinal:
        """Return that of a cell; itself for the empty one."""
        return next((other for other in self.along if other.cell.id == cell), self)

    def next_setting(self, cell: str) -> Reply:
        """Return the question that begins what follows a cell's answers, none behind the last."""
        order = ["", *(other.cell.id for other in self.along)]
        following = order[order.index(cell) + 1 :]
        return Reply(score="validation", cell=following[0]) if following else Reply()


def title_of(cell: Cell, seed: str) -> str:
    """Return what a cell's final run is called below it."""
    return f"seed {seed}" if cell.tuning.trains else cell.untrained
