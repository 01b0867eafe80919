"""The executor with several workers, each of which does one job at a time, wherever they are: that says its engine.

The driver, which is this process, loads no model. A worker that dies or hangs is replaced and its job is done again;
one that costs two workers their lives fails. Which worker does a job moves no figure.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Generator, Hashable, Mapping, Sequence
from typing import Any

from harness.core import interrupts
from harness.core.errors import HarnessError, ModelError, UserError
from harness.core.example import Example
from harness.core.progress import Progress
from harness.core.workspace import Workspace
from harness.runner.executors.protocol import Ended, Event, JobQueue, Lost, Reply
from harness.runner.executors.worker_engine import Engine, Member
from harness.runner.executors.worker_messages import (
    Beat,
    Footprint,
    Free,
    Loaded,
    Opened,
    Raised,
    Ready,
    Said,
    Setup,
    Unlike,
)
from harness.runner.executors.worker_process import fingerprints
from harness.study.checked_study import Checked
from harness.study.further_axes import DRAWN_BY
from harness.tracking.schema import Params
from harness.training.model_facts import ModelFacts

__all__ = ["NotSent", "SideBySide"]

LIVES = 2
"""How many workers a job, or the beginning of a worker, may cost."""

FAREWELL = 2.0
"""Seconds in which a worker that is hung up ends."""


class NotSent(HarnessError):
    """A study that workers cannot work on: they read another one, or none."""


class SideBySide:
    """Does jobs side by side; the first worker is there when this is made, others when there is work for them.

    Args:
        checked: The study.
        workspace: Where recordings are kept, and the workers' logs.
        progress: Told how far jobs are, and of what takes time or does not work.
        engine: Who the workers are.

    Raises:
        NotSent: Workers cannot do these jobs.
        UserError: Memory has no room for so many, or the model cannot be used.
    """

    def __init__(self, checked: Checked, workspace: Workspace, progress: Progress, engine: Engine) -> None:
        self._checked, self._workspace, self._progress, self._engine = checked, workspace, progress, engine
        self._rows = fingerprints(checked)
        self._logs = workspace.study(checked.study.name)
        self._logs.mkdir(parents=True, exist_ok=True)
        self._workers: list[Member] = []
        self._test: Sequence[Example] | None = None
        self._said = set[str]()
        self._recordings: dict[str, int] = {}
        self._over = set[str]()
        """Jobs whose end was heard."""
        self._losses = Counter[str]()
        """Workers that a job cost."""
        self._stillborn = Counter[int]()
        """Those that did not come to load their model, by their numbers."""
        self._trunks = {cell.id: _trunk(cell.levels) for cell in checked.cells}
        self._seen = defaultdict[str, set[Hashable]](set)
        """What was worked on, by place."""
        self._models = {cell.id: cell.resident for cell in checked.cells}
        self._manners: dict[str, tuple[object, ...]] = {}
        """How the workers compute with each model."""
        self._facts: ModelFacts | None = None
        try:
            for log in self._logs.glob("worker-*.log"):
                log.unlink()
            self._begin(1)
            while self._facts is None:
                for _ in self._listen():
                    raise AssertionError  # nobody has a job
        except BaseException:
            self.close()
            raise

    def facts(self) -> ModelFacts:
        """Return what the records of the study say of its model, as the first worker found it."""
        assert self._facts is not None
        return self._facts

    def open_test(self, examples: Sequence[Example]) -> None:
        """Hand the test split in."""
        self._test = examples
        for worker in self._workers:
            if worker.is_ready:
                worker.send(Opened(examples))

    def recorded(self) -> int:
        """Return the bytes of the recordings that were made or found, those of several workers once."""
        return sum(self._recordings.values())

    def close(self) -> None:
        """End all workers: those that have a job at once, after a signal the others too."""
        for worker in self._workers:
            worker.hang_up()
        end = time.monotonic() + (0.0 if interrupts.status() else FAREWELL)
        while self._workers:
            self._workers.pop().kill(max(0.0, end - time.monotonic()))
        self._engine.close()

    def run(self, queue: JobQueue) -> Generator[Event, Reply, None]:
        """Do jobs until none waits and none is under way."""
        while True:
            self._assign(queue)
            if not queue.waiting() and not any(worker.job for worker in self._workers):
                return
            yield from self._listen()

    def _assign(self, queue: JobQueue) -> None:
        """Give jobs to workers that are free, and begin workers where jobs are left."""
        for worker in self._workers:
            if worker.is_ready and worker.job is None and queue.waiting():
                name = self._choose(worker, queue)
                worker.trunk = self._trunks[queue.cell(name)]
                self._seen[worker.place].add(worker.trunk)
                worker.job = queue.take(name)
                self._over.discard(worker.job.name)
                worker.send(worker.job)
        coming = sum(not worker.is_ready for worker in self._workers)
        there = {worker.number for worker in self._workers}
        given_up = {number for number, begun in self._stillborn.items() if begun >= LIVES}
        absent = [number for number in range(1, self._engine.workers + 1) if number not in there | given_up]
        for number in absent[: max(0, len(queue.waiting()) - coming)]:
            self._begin(number)

    def _choose(self, worker: Member, queue: JobQueue) -> str:
        """Return the job of a worker: of its own frozen part, else of its model, else of what nobody works on.

        Of several, what its place has worked on comes first.
        """
        busy, seen = [other for other in self._workers if other.job], self._seen[worker.place]
        trunks, models = {other.trunk for other in busy}, {other.model for other in busy}

        def distance(name: str) -> tuple[bool, ...]:
            trunk, model = self._trunks[queue.cell(name)], self._models[queue.cell(name)]
            is_other = trunk != worker.trunk, model != worker.model
            return *is_other, model in models, trunk in trunks, trunk not in seen

        return min(queue.waiting(), key=distance)

    def _begin(self, number: int) -> None:
        """Begin a worker; the first one of all measures what a worker takes, where several share a memory."""
        is_first, share = self._facts is None, self._engine.share(number)
        setup = Setup(
            study=self._engine.study,
            home=self._workspace.home,
            rows=self._rows,
            opens_test=self._checked.test_digest is not None,
            share=share,
            asks_facts=is_first,
            asks_memory=is_first and share > 1,
        )
        self._workers.append(self._engine.begin(number, setup, self._logs / f"worker-{number}.log"))

    def _listen(self) -> Generator[Event, Reply, None]:
        """Wait until somebody says something, or is silent for too long, and hear it."""
        with interrupts.at_once():
            heard = self._engine.wait(self._workers)
        interrupts.check()
        for worker in list(self._workers):
            try:
                for message in worker.messages() if worker in heard else ():
                    if (event := self._heard(message, worker)) is not None:
                        worker.send((yield event))
                if worker.is_silent():
                    yield from self._lose(worker)
            except EOFError:
                yield from self._lose(worker)

    def _heard(self, message: Any, worker: Member) -> Event | None:
        """Take note of what a worker says; return what the driver is to answer."""
        match message:
            case Beat():
                if message.step is not None:
                    self._progress.at(message.job, message.step)
            case Said():
                self._say(message.text)
            case Loaded():
                self._refuse_another(message, worker)
                worker.model = message.model
            case Free():
                worker.job = None
                self._recordings |= message.recordings
            case Footprint():
                self._engine.make_room(message)
            case Ready():
                self._welcome(message, worker)
            case Raised():
                if worker.is_ready or self._facts is None:
                    raise self._error(message, worker)
                self._progress.say(f"worker {worker.number} cannot begin: {message.text}")
                self._stillborn[worker.number] = LIVES
            case Unlike():
                raise NotSent(message.why)
            case _:
                event: Event = message
                return None if self._is_told_twice(event, worker) else event
        return None

    def _is_told_twice(self, event: Event, worker: Member) -> bool:
        """Return whether an event is of a job that the worker has no more: what a network repeats was heard."""
        if worker.job is None or event.job != worker.job.name or event.job in self._over:
            return True
        if isinstance(event, Ended):
            self._over.add(event.job)
        return False

    def _welcome(self, ready: Ready, worker: Member) -> None:
        """Take a worker whose model is loaded."""
        self._facts = self._facts or ready.facts
        worker.is_ready = True
        if self._test is not None:
            worker.send(Opened(self._test))

    def _refuse_another(self, loaded: Loaded, worker: Member) -> None:
        """See that a worker computes with a model as those before it do."""
        if self._manners.setdefault(loaded.model, loaded.manner) != loaded.manner:
            name = loaded.model or self._checked.study.model.name
            raise ModelError(
                f"worker {worker.number} loaded another model {name} than the first one, or computes otherwise; see "
                "that its files stay as they are and that all devices are alike, and the same command goes on"
            )

    def _lose(self, worker: Member) -> Generator[Event, Reply, None]:
        """Replace a worker that is gone or hangs; its job waits again, or has failed."""
        why = f"worker {worker.number} {worker.end()}"
        self._workers.remove(worker)
        if worker.job is None:
            self._replace(worker, why)
            return
        job = worker.job.name
        self._losses[job] += 1
        if self._losses[job] < LIVES:
            self._progress.say(f"{job}: {why}; it is done again ({worker.log} may say more)")
            yield Lost(job, why)
        else:
            yield Ended(job, "diverged", f"it cost {LIVES} workers their lives: {why}", "", {}, {})

    def _replace(self, worker: Member, why: str) -> None:
        """Do without a worker that had no job, or begin it again as it is needed."""
        if worker.is_ready:
            return
        self._stillborn[worker.number] += not worker.is_lost_with_place
        if self._stillborn[worker.number] < LIVES:
            self._begin(worker.number)
            return
        told = f"{why} before its model was loaded; {worker.log} may say more"
        if not self._workers:
            raise UserError(f"{told}; take fewer workers, or none")
        self._progress.say(f"{told}; the study goes on without it")

    def _say(self, text: str) -> None:
        """Tell what every worker may say, once."""
        if text not in self._said:
            self._said.add(text)
            self._progress.say(text)

    @staticmethod
    def _error(raised: Raised, worker: Member) -> HarnessError:
        if raised.is_of_user:
            return UserError(raised.text)
        more = "" if raised.is_known else f"; {worker.log} says where"
        return HarnessError(f"worker {worker.number}: {raised.text}{more}")


def _trunk(levels: Mapping[str, str]) -> Hashable:
    """Return what the frozen part of a cell is computed for: all but what trains, and on which rows."""
    return tuple(sorted((axis, level) for axis, level in levels.items() if axis not in (Params.TUNING, *DRAWN_BY)))
