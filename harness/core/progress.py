"""What a running study tells whoever watches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

__all__ = ["STEP", "CellWork", "Progress", "Step", "Tell", "untold"]


class Step(NamedTuple):
    """How far a training run is."""

    stage: str
    """What is done just now, in words; ``step`` is an optimizer step, `STEP`."""
    done: int = 0
    """Of the stage."""
    of: int = 0
    """How much the stage is; 0 where that is not counted."""
    epoch: int = 0
    """Counted from 1; 0 outside of training. Where a study counts steps: which score on validation comes next."""
    epochs: int = 0
    """How many there are; 0 where steps count, which are then those of the whole run."""

    def __str__(self) -> str:
        """Return it in words: ``epoch 2/3, step 14/96``, or ``step 110/288`` where steps count."""
        epoch = f"epoch {self.epoch}/{self.epochs}, " if self.epochs else ""
        return f"{epoch}{self.stage}{f' {self.done}/{self.of}' if self.of else ''}"

    @property
    def trained(self) -> float | None:
        """The share of the run's optimizer steps that are done; ``None`` in other stages."""
        if self.stage != STEP:
            return None
        return (self.epoch - 1 + self.done / self.of) / self.epochs if self.epochs else self.done / self.of


STEP = "step"
"""The stage that is training itself."""

Tell = Callable[[Step], None]
"""Who is told how far a run is."""


def untold(done: int, of: int) -> None:
    """Hear how many parts of a stage are done, and tell nobody."""


class CellWork(NamedTuple):
    """What a command does of a cell."""

    factors: Mapping[str, str]
    """The names of its levels, by axis."""
    trials: int
    """Those that are missing."""
    finals: int
    """Final runs that are missing, or will be if another trial wins."""
    there: int
    """Trials and final runs that stand already."""
    weight: float
    """How long a run takes beside one of another cell, as far as that is known before."""


class Progress:
    """A watcher of a study; this one shows nothing."""

    def start(self, cells: Mapping[str, CellWork]) -> None:
        """Hear of the cells, by id."""

    def began(self, job: str, cell: str, *, final: bool) -> None:
        """Hear that a job, which is a trial or a final run of a cell, was begun."""

    def at(self, job: str, step: Step) -> None:
        """Hear how far a job is; it may be one that `began` did not tell of."""

    def done(self, job: str, what: str, *, score: float, best: float, seconds: float) -> None:
        """Hear that a job ended.

        Args:
            job: Its name.
            what: Such as ``trial 3, learning rate 0.001`` or ``seed 11``.
            score: Its validation score, nan where there is none.
            best: The cell's best trial so far, nan where this is none.
            seconds: What it took.
        """

    def record(self, kind: str, job: str, facts: Mapping[str, Any]) -> None:
        """Hear what came of a job, as plain data, before it is `done`.

        Args:
            kind: ``epoch``, ``trial`` or ``final``.
            job: Its name.
            facts: What docs/json.md says of that kind.
        """

    def more(self, cell: str, trials: int) -> None:
        """Hear that a cell's search, whose trials have ended, was given so many further ones."""

    def settle(self, cell: str, finals: int) -> None:
        """Hear how many final runs a cell takes, now that its winner is known: earlier ones may stand."""

    def stage(self, text: str) -> None:
        """Hear what is done now, beside runs."""

    def say(self, text: str) -> None:
        """Hear what a person should read, now or later."""
