"""Workers that are processes on this machine."""

from __future__ import annotations

import pickle
from collections.abc import Collection, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from typing import cast

from harness.runner.executors.crew import Crew
from harness.runner.executors.side_by_side import NotSent
from harness.runner.executors.worker import Worker
from harness.runner.executors.worker_engine import Member
from harness.runner.executors.worker_memory import fitting
from harness.runner.executors.worker_messages import Footprint, Setup
from harness.study.load_study import StudyFile

__all__ = ["LocalWorkers"]

LISTENING = 1.0
"""Seconds after which it is looked whether a worker hangs."""


class LocalWorkers:
    """The engine of `harness.runner.executors.side_by_side` for one machine: workers read the study themselves.

    Args:
        study: The study.
        crew: How many workers, where.

    Raises:
        NotSent: The study cannot be sent to a process.
    """

    def __init__(self, study: StudyFile, crew: Crew) -> None:
        self.study, self._crew = study, crew
        try:
            pickle.dumps(study)
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            raise NotSent(f"this study cannot be sent to a worker: {error}") from error

    @property
    def workers(self) -> int:
        """How many there are to be."""
        return self._crew.workers

    def share(self, number: int) -> int:
        """Return how many workers are on a worker's device."""
        return self._crew.beside(number)

    def begin(self, number: int, setup: Setup, log: Path) -> Worker:
        """Start a process."""
        return Worker(number, setup, log, self._crew.environment(number))

    def make_room(self, taken: Footprint) -> None:
        """Take as many workers as memory has room for, or refuse."""
        self._crew = fitting(taken, self._crew)

    def wait(self, members: Sequence[Member]) -> Collection[Member]:
        """Wait for a message on a socket; to look at each costs more than to wait for all."""
        heard = set(wait([cast(Worker, member).connection for member in members], LISTENING))
        return [member for member in members if cast(Worker, member).connection in heard]

    def close(self) -> None:
        """Do nothing: a worker stands on nothing but its process."""
