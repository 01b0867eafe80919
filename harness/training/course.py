"""Course of a run: its optimizer steps, the epoch that each belongs to, and behind which of them validation is scored.

What steps have beyond an epoch goes into the next one's batches, in the order in which epochs would; so as many steps
as epochs have are those epochs.
"""

from __future__ import annotations

from typing import NamedTuple

from harness.study.spec import Training

__all__ = ["Course"]


class Course(NamedTuple):
    """What the length of an epoch makes of a study's training section."""

    training: Training
    per_epoch: int
    """Optimizer steps of an epoch."""

    @property
    def total(self) -> int:
        """Steps of the run."""
        return self.training.length(self.per_epoch)

    @property
    def every(self) -> int:
        """Steps between two scores."""
        return self.training.evaluate_every or self.per_epoch

    def place(self, done: int) -> tuple[int, int]:
        """Return the epoch, counted from 1, and the place in it, from 0, of the step behind those that are done."""
        return done // self.per_epoch + 1, done % self.per_epoch

    def mark(self, done: int) -> int:
        """Return how many steps will be done at the next score."""
        return min(self.total, (done // self.every + 1) * self.every)

    def at(self, mark: int) -> int:
        """Return where a score stands on the curve: the step it is taken behind, or the epoch where these count."""
        return mark if self.training.counts_steps else mark // self.per_epoch

    def told(self, done: int, mark: int) -> tuple[int, int, int]:
        """Return how far a run is on its way to a score: the epoch, the steps done of it and those that it has.

        Where steps count: which score is next, the steps done of the run and those that it has.
        """
        part = (mark - 1) // self.every + 1
        if self.training.counts_steps:
            return part, done, self.total
        return part, done - (part - 1) * self.per_epoch, self.per_epoch
