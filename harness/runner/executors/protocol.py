"""Jobs, events and replies: all that passes between the driver of a study and whoever trains.

The driver alone asks and tells Optuna, writes to tracking and decides; an executor takes jobs from its queue, trains,
and yields events, each of which the driver answers. All of it is plain data, so that a job may be done in another
process or on another machine, and nothing depends on where, or on how many are done at once::

    queue.waiting() -> names        what may be done now
    queue.take(name) -> Job         the driver starts its run
    executor.run(queue)             yields events ...
        queue.handle(event)         ... the driver records it, and its reply is sent back
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from types import MappingProxyType
from typing import Literal, NamedTuple, Protocol

from harness.core import interrupts
from harness.core.example import Example, Prediction, Split
from harness.study.search_space import Hyperparameters
from harness.training.model_facts import ModelFacts

__all__ = [
    "Ended",
    "EpochEnded",
    "Event",
    "Executor",
    "Job",
    "JobQueue",
    "Lost",
    "Measured",
    "OneJob",
    "Reply",
    "Scored",
    "Trained",
    "drive",
]


class Job(NamedTuple):
    """One training run to do."""

    name: str
    """Of its run; no two jobs of a study have the same."""
    cell: str
    """A cell's id."""
    hyperparameters: Hyperparameters
    """Empty for zero-shot."""
    seed: int
    """Orders the examples and draws dropout; nothing depends on it for zero-shot."""
    is_trial: bool = False
    """Whether every score is by the objective, to be searched by; else the end of training is what counts."""
    follows: bool = True
    """Whether epochs are scored for their curves, where nothing depends on it."""
    scores: Split | None = None
    """What is scored when training has ended; the driver may ask for more then."""
    predicts: bool = True
    """Whether predictions are made for it, or losses alone."""
    measures: bool = False
    """Whether it is measured what the model still knows."""
    stored: str = ""
    """A folder that holds what training would end with, where there is one; empty: it is trained."""
    identity: str = ""
    """Digest of all that its numbers depend on beside these fields and the code; empty: it is not put by."""


class EpochEnded(NamedTuple):
    """An epoch was trained, or as many steps as ``evaluate_every`` says, and scored on validation."""

    job: str
    epoch: int
    """That of the last step, counted from 1."""
    step: int
    """Optimizer steps of the run that are done."""
    at: int
    """Where the score stands on the run's curve: its epoch, or its step where the study counts those."""
    is_last: bool
    objective: float
    """nan where nothing depends on it."""
    metrics: Mapping[str, float]


class Trained(NamedTuple):
    """Training came to its end; the weights are those of the epoch that counts."""

    job: str
    at: int
    """Where its last score stands on its curve."""
    step: int
    """Where scores of the epoch that counts are logged; see `harness.training.early_stopping`."""
    objective: float
    """Of the epoch that counts."""
    tags: Mapping[str, str]
    metrics: Mapping[str, float]


class Scored(NamedTuple):
    """A split was scored with the weights that count."""

    job: str
    split: Split
    step: int
    metrics: Mapping[str, float]
    """``<split>/<metric>``, and on validation the last epoch's train loss; ``transfer/<prompt>/<metric>`` of another
    prompt."""
    predictions: Sequence[Prediction]
    """Empty where none were made."""
    weights: str
    """Digest of the tensors that trained."""
    trunk: str
    """How the frozen part was computed."""
    under: str = ""
    """Under which other prompt of the study its rows stood; empty: the cell's own."""
    cell: str = ""
    """As which other cell of the same weights it answered; empty: its own."""
    costs: Mapping[str, float] = MappingProxyType({})
    """Of another cell: what answering as it has cost so far."""
    error: str = ""
    """Why answering as another cell failed, which is that cell's alone; empty: it did not."""


class Measured(NamedTuple):
    """All was scored; the weights are about to be given up."""

    job: str
    step: int
    metrics: Mapping[str, float]
    """What the model still knows, ``generality/...``; empty where that is not asked for."""


class Ended(NamedTuple):
    """The run is over, and the model the pretrained one again."""

    job: str
    outcome: Literal["complete", "stopped", "diverged"]
    error: str
    """Why it diverged."""
    trunk: str
    costs: Mapping[str, float]
    """Without those of answers as other cells."""
    memory: Mapping[str, str] = MappingProxyType({})
    """How the run was made to fit the memory, as tags."""
    tags: Mapping[str, str] = MappingProxyType({})
    """What else is to be told of its way."""


class Lost(NamedTuple):
    """Whoever did the job is gone, and with it all that was done; the job waits again, under the same name."""

    job: str
    why: str
    """Such as ``worker 2 was ended by SIGKILL``."""


Event = EpochEnded | Trained | Scored | Measured | Ended | Lost


class Reply(NamedTuple):
    """What the driver answers to an event."""

    stop: bool = False
    """To an epoch: train no further."""
    score: Split | None = None
    """To training's end, or to a score: score this split next."""
    under: str = ""
    """Its rows under this other prompt of the study; empty: under the cell's own."""
    cell: str = ""
    """Answered as this other cell of the same weights, by its settings of generation; empty: as its own."""
    save: str | None = None
    """To what was measured: a folder to save the model in."""


class JobQueue(Protocol):
    """What there is to do, and who is told of it: the driver's side."""

    def waiting(self) -> Sequence[str]:
        """Return the names of the jobs that may be done now, in the order in which one process does them.

        They hold until a job is taken or an event handled.
        """

    def cell(self, name: str) -> str:
        """Return the cell of a job that waits."""

    def take(self, name: str) -> Job:
        """Return a job that waits, which waits no more; its run has been started."""

    def handle(self, event: Event) -> Reply:
        """Record an event of a job that was taken."""


class OneJob:
    """The queue of one job, whose events a function answers; nothing is recorded."""

    def __init__(self, job: Job, handle: Callable[[Event], Reply]) -> None:
        self._job, self._handle, self._waits = job, handle, True

    def waiting(self) -> Sequence[str]:
        """Return its name until it is taken, and again where it was lost."""
        return [self._job.name] if self._waits else []

    def cell(self, name: str) -> str:
        """Return its cell."""
        return self._job.cell

    def take(self, name: str) -> Job:
        """Return it."""
        self._waits = False
        return self._job

    def handle(self, event: Event) -> Reply:
        """Have the function answer."""
        if isinstance(event, Lost):
            self._waits = True
            return Reply()
        return self._handle(event)


class Executor(Protocol):
    """Who trains."""

    def facts(self) -> ModelFacts:
        """Return what the records of the study say of its model."""

    def open_test(self, examples: Sequence[Example]) -> None:
        """Hand the test split in; done once, when the searches are over."""

    def run(self, queue: JobQueue) -> Generator[Event, Reply, None]:
        """Do jobs until none waits and none is under way; yield events, and be sent the driver's replies.

        The events of one job come in their order; those of several may be mixed.
        """

    def recorded(self) -> int:
        """Return the bytes of the recordings that were made or found."""

    def close(self) -> None:
        """End whatever was started for it, at once; nothing is asked of it any more."""


def drive(executor: Executor, queue: JobQueue) -> None:
    """Have all jobs of a queue done."""
    with closing(executor.run(queue)) as events:
        event = next(events, None)
        while event is not None:
            interrupts.check()
            try:
                event = events.send(queue.handle(event))
            except StopIteration:
                return
