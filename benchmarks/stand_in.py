"""An executor whose jobs take no time: what is left of a study is the driver's own work, its bookkeeping."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator, Sequence

from harness.core.example import Example
from harness.core.progress import Progress
from harness.core.workspace import Workspace
from harness.runner.executors.crew import Crew
from harness.runner.executors.executor_table import EXECUTORS
from harness.runner.executors.in_process import InProcess
from harness.runner.executors.protocol import Ended, EpochEnded, Event, Job, JobQueue, Measured, Reply, Scored, Trained
from harness.study.check import Checked
from harness.training.model_facts import ModelFacts

__all__ = ["NAME", "StandIn", "quality"]

NAME = "stand-in"
COSTS = {"train_seconds": 1.0, "validation_seconds": 0.5, "flops": 1e12, "peak_memory_mib": 900.0}

Way = Generator[Event, Reply, None]


class StandIn:
    """Does no job, and tells how it went; as many are under way as there are to be workers.

    The events of jobs that are under way come by turns, one of each.
    """

    def __init__(self, checked: Checked, workspace: Workspace, progress: Progress, crew: Crew) -> None:
        self._facts = InProcess(checked, workspace, progress).facts()
        self._objective, self._workers = checked.objective, crew.workers

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
            try:
                under_way.append((way, way.send(reply)))
            except StopIteration:
                pass

    def _do(self, job: Job) -> Way:
        found = quality(job)
        costs = {f"cost/{name}": value for name, value in COSTS.items()}
        if not job.is_trial:
            yield Scored(job.name, "validation", 4, {f"validation/{self._objective}": found}, (), "made up", "whole")
            yield Measured(job.name, 4, {})
            yield Ended(job.name, "complete", "", "whole", costs)
            return
        losses = {"train/loss": 2 - found, "validation/loss": 2 - found}
        yield EpochEnded(job.name, 1, 4, 1, True, found, losses | {f"validation/{self._objective}": found})
        yield Trained(job.name, 1, 4, found, {}, {})
        yield Ended(job.name, "complete", "", "whole", costs)


def quality(job: Job) -> float:
    """Return what a job is said to have scored: the better, the nearer its learning rate is to one of all cells."""
    return 0.5 - 0.1 * abs(math.log10(job.hyperparameters.learning_rate) + 2.5) if job.is_trial else 0.1


EXECUTORS[NAME] = StandIn
