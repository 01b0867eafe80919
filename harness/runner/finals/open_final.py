"""A final run that was taken, and those of other cells that the same weights answer for while they are in memory."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from harness.runner.executors.protocol import Ended, Reply, Scored
from harness.runner.finals.test_answers import TestAnswers
from harness.study.grid import Cell
from harness.tracking.stored_run import OWN_SECONDS

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
    error: str = ""
    """Of one along: why it failed by itself."""
    lasted: float = 0.0
    """Of one along: how many seconds it answered."""
    heard: float = 0.0
    """When an answer was last heard of."""

    def hear(self, event: Scored) -> OpenFinal:
        """Take note of what was answered, and return the one whose answers these are: itself, or one along."""
        final, now = self.of(event.cell), time.perf_counter()
        if final is not self:
            final.lasted += now - self.heard
        self.heard = now
        final.values |= event.metrics
        final.costs, final.error = event.costs, event.error
        return final

    def ended(self, event: Ended, final: OpenFinal) -> Ended:
        """Return how the job's end is that of itself, or of one along, whose costs and failure are its own."""
        tags = {**event.tags, OWN_SECONDS: f"{final.seconds:.6f}"} if self.along else event.tags
        if final is self:
            return event._replace(tags=tags)
        if final.error:
            event = event._replace(outcome="diverged", error=final.error)
        return event._replace(costs=final.costs, tags=tags)

    @property
    def seconds(self) -> float:
        """What it took so far: of one along how long it answered, of any other all but that."""
        return self.lasted or time.perf_counter() - self.began - sum(other.lasted for other in self.along)

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
