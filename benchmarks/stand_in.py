"""An executor whose jobs take no time: what is left of a study is the driver's own work, its bookkeeping.

And clocks for that work, which say what a trial takes of it, in the beginning of a study and at its end.
"""

from __future__ import annotations

import io
import math
import threading
import time
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple
from unittest import mock

from rich.console import Console
from sqlalchemy import event
from sqlalchemy.engine import Engine

from harness.core.example import Example
from harness.core.progress import CellWork, Progress
from harness.core.workspace import Workspace
from harness.runner.executors.crew import Crew
from harness.runner.executors.executor_table import EXECUTORS
from harness.runner.executors.in_process import InProcess
from harness.runner.executors.protocol import Ended, EpochEnded, Event, Job, JobQueue, Measured, Reply, Scored, Trained
from harness.runner.progress_display import PlainProgress
from harness.study.checked_study import Checked
from harness.training.model_facts import ModelFacts

__all__ = ["Stamp", "StandIn", "growth", "stamped"]

NAME = "stand-in"
COSTS = {"train_seconds": 1.0, "validation_seconds": 0.5, "flops": 1e12, "peak_memory_mib": 900.0}

Way = Generator[Event, Reply, None]


class StandIn:
    """Does no job, and tells how it went; as many are under way as there are to be workers.

    The events of jobs that are under way come by turns, one of each.
    """

    def __init__(self, checked: Checked, workspace: Workspace, progress: Progress, crew: Crew) -> None:
        self._facts = InProcess(checked, workspace, progress).facts()
        self._objective, self._epochs, self._workers = checked.objective, checked.study.training.epochs, crew.workers

    def facts(self) -> ModelFacts:
        return self._facts

    def open_test(self, examples: Sequence[Example]) -> None:
        pass

    def recorded(self) -> int:
        return 0

    def close(self) -> None:
        pass

    def run(self, queue: JobQueue) -> Way:
        under_way = deque[tuple[Way, Event]]()
        while True:
            while len(under_way) < self._workers and (names := queue.waiting()):
                way = self._do(queue.take(names[0]))
                under_way.append((way, next(way)))
            if not under_way:
                return
            way, event = under_way.popleft()
            reply = yield event
            with suppress(StopIteration):
                under_way.append((way, way.send(reply)))

    def _do(self, job: Job) -> Way:
        found = _quality(job)
        costs = {f"cost/{name}": value for name, value in COSTS.items()}
        if not job.is_trial:
            yield Scored(job.name, "validation", 4, {f"validation/{self._objective}": found}, (), "made up", "whole")
            yield Measured(job.name, 4, {})
            yield Ended(job.name, "complete", "", "whole", costs)
            return
        losses = {"train/loss": 2 - found, "validation/loss": 2 - found}
        for epoch in range(1, self._epochs + 1):
            scores = losses | {f"validation/{self._objective}": found}
            yield EpochEnded(job.name, epoch, 4 * epoch, epoch, epoch == self._epochs, found, scores)
        yield Trained(job.name, self._epochs, 4 * self._epochs, found, {}, {})
        yield Ended(job.name, "complete", "", "whole", costs)


def _quality(job: Job) -> float:
    """Return what a job is said to have scored: the better, the nearer its learning rate is to one of all cells."""
    return 0.5 - 0.1 * abs(math.log10(job.hyperparameters.learning_rate) + 2.5) if job.is_trial else 0.1


class Stamp(NamedTuple):
    """How far the clocks were when a trial had ended."""

    wall: float
    busy: float
    """Processor seconds of the driver's thread."""
    asked: float
    """Statements to the databases."""


class Watcher(PlainProgress):
    """Prints what the command does, to nobody; notes the clocks at the start, and at the end of every trial."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.stamps: list[Stamp] = []
        self.asked = 0
        self._thread = threading.get_ident()

    def count(self, *_: Any) -> None:
        """Hear of a statement; the thread that listens for orders asks by the clock, not by the trial."""
        self.asked += threading.get_ident() == self._thread

    def start(self, cells: Mapping[str, CellWork]) -> None:
        super().start(cells)
        self.stamps.append(self._now())

    def record(self, kind: str, job: str, facts: Mapping[str, Any]) -> None:
        if kind == "trial":
            self.stamps.append(self._now())

    def _now(self) -> Stamp:
        return Stamp(time.perf_counter(), time.thread_time(), self.asked)


def stamped(checked: Checked, workspace: Workspace, workers: int) -> list[Stamp]:
    """Run a study in the current folder by the stand-in, so many jobs at a time.

    Returns:
        The clocks at its start and at the end of each of its trials.
    """
    from harness.runner.run_study import run

    watcher = Watcher(Console(file=io.StringIO()))
    event.listen(Engine, "before_cursor_execute", watcher.count)
    try:
        with mock.patch.dict(EXECUTORS, {NAME: StandIn}):
            run(checked, workspace, progress=watcher, executor=NAME, crew=Crew(workers, ("cpu",), 1))
    finally:
        event.remove(Engine, "before_cursor_execute", watcher.count)
    return watcher.stamps


def growth(stamps: Sequence[Stamp], part: int, *, workers: int) -> Stamp:
    """Return how much more a trial takes in the last part of a study than in the first, of so many parts.

    Left out are as many trials at either end as there are workers: the first were all begun before one ended, behind
    the last none was begun. As many end one right after the other, so a part is a multiple of them.
    """
    stamps = stamps[workers:-workers]
    size = -(-(len(stamps) - 1) // part // workers) * workers
    (a, b), (c, d) = (stamps[0], stamps[size]), (stamps[-1 - size], stamps[-1])
    return Stamp(*((d[clock] - c[clock]) / (b[clock] - a[clock]) for clock in range(len(Stamp._fields))))
