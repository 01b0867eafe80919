"""An executor that trains nothing and does several jobs at once, their events mixed, some of them lost on the way."""

from __future__ import annotations

import math
import random
from collections.abc import Generator, Sequence

from harness.core.example import Example, digest
from harness.core.progress import Progress
from harness.core.workspace import Workspace
from harness.runner.executors.crew import Crew
from harness.runner.executors.in_process import InProcess
from harness.runner.executors.protocol import Ended, EpochEnded, Event, Job, JobQueue, Lost, Reply, Trained
from harness.study.checked_study import Checked
from harness.training.model_facts import ModelFacts

__all__ = ["MadeUpSideBySide"]

EPOCHS = 2


class MadeUpSideBySide:
    """Makes up the objective of every epoch from the job alone, as training would.

    Args:
        abreast: How many jobs are done at once.
        losing: The chance of each event that the job is lost in its place, once for each job.
        draws: Says whose turn it is, and what is lost.
    """

    def __init__(
        self,
        checked: Checked,
        workspace: Workspace,
        progress: Progress,
        crew: Crew,
        *,
        abreast: int = 1,
        losing: float = 0.0,
        draws: random.Random,
    ) -> None:
        self._facts = InProcess(checked, workspace, progress).facts()
        self._abreast, self._losing, self._draws = abreast, losing, draws
        self.lost = set[str]()
        self.most = 0
        """How many jobs were under way at once."""

    def facts(self) -> ModelFacts:
        return self._facts

    def open_test(self, examples: Sequence[Example]) -> None:
        pass

    def recorded(self) -> int:
        return 0

    def close(self) -> None:
        pass

    def run(self, queue: JobQueue) -> Generator[Event, Reply, None]:
        open_jobs: dict[str, Generator[Event, Reply, None]] = {}
        replies: dict[str, Reply | None] = {}
        while True:
            while len(open_jobs) < self._abreast and (names := queue.waiting()):
                name = names[0] if self._abreast == 1 else self._draws.choice(names)
                open_jobs[name], replies[name] = self._do(queue.take(name)), None
            self.most = max(self.most, len(open_jobs))
            if not open_jobs:
                return
            name = self._draws.choice(list(open_jobs))
            try:
                event = open_jobs[name].send(replies[name])  # type: ignore[arg-type]
            except StopIteration:
                del open_jobs[name], replies[name]
                continue
            if self._draws.random() < self._losing and name not in self.lost:
                self.lost.add(name)
                del open_jobs[name], replies[name]
                yield Lost(name, "it was made up")
                continue
            replies[name] = yield event
            if isinstance(event, Ended):
                del open_jobs[name], replies[name]

    def _do(self, job: Job) -> Generator[Event, Reply, None]:
        if not job.hyperparameters:
            yield Ended(job.name, "complete", "", "whole", {}, {})
            return
        rate = job.hyperparameters.learning_rate
        bend = int(digest([job.cell, repr(rate)]), 16) % 1000 / 1000
        value = math.nan
        for epoch in range(1, EPOCHS + 1):
            value = 2 + abs(math.log10(rate) + 2) + 0.3 * bend / epoch
            metrics = {"validation/loss": value, "validation/perplexity": value, "train/loss": value}
            reply = yield EpochEnded(job.name, epoch, epoch, epoch, epoch == EPOCHS, value, metrics)
            if reply.stop:
                yield Ended(job.name, "stopped", "", "whole", {}, {})
                return
        yield Trained(job.name, EPOCHS, 4 * EPOCHS, value, {}, {})
        if bend > 0.9:
            yield Ended(job.name, "diverged", "it was made up", "whole", {}, {})
        else:
            yield Ended(job.name, "complete", "", "whole", {}, {})
