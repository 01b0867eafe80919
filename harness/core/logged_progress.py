"""A watcher that writes what happens to the logger ``harness`` as well, which says nothing unless it is asked to."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from harness.core.progress import CellWork, Progress, Step

__all__ = ["LOGGER", "LoggedProgress"]

LOGGER = logging.getLogger("harness")
"""Of the whole package: its modules log below it."""


class LoggedProgress(Progress):
    """Passes on to another watcher what it hears, and logs it as INFO.

    Args:
        watcher: The other one.
    """

    def __init__(self, watcher: Progress) -> None:
        self._watcher = watcher

    def start(self, cells: Mapping[str, CellWork]) -> None:
        """Log the cells, and what is missing of each."""
        for name, cell in cells.items():
            LOGGER.info("%s: %d trials and %d final runs to do, %d there", name, cell.trials, cell.finals, cell.there)
        self._watcher.start(cells)

    def began(self, job: str, cell: str, *, final: bool) -> None:
        """Log a job that begins."""
        LOGGER.info("%s: begun", job)
        self._watcher.began(job, cell, final=final)

    def at(self, job: str, step: Step) -> None:
        """Log nothing: there are many steps."""
        self._watcher.at(job, step)

    def record(self, kind: str, job: str, facts: Mapping[str, Any]) -> None:
        """Log what came of a job."""
        LOGGER.info("%s: %s %s", job, kind, dict(facts))
        self._watcher.record(kind, job, facts)

    def done(self, job: str, what: str, *, score: float, best: float, seconds: float) -> None:
        """Log that a job ended."""
        LOGGER.info("%s: ended, validation %s, after %.1f s", job, score, seconds)
        self._watcher.done(job, what, score=score, best=best, seconds=seconds)

    def more(self, cell: str, trials: int) -> None:
        """Log how many further trials a cell takes."""
        LOGGER.info("%s: %d further trials to do", cell, trials)
        self._watcher.more(cell, trials)

    def settle(self, cell: str, finals: int) -> None:
        """Log how many final runs a cell takes."""
        LOGGER.info("%s: %d final runs to do", cell, finals)
        self._watcher.settle(cell, finals)

    def stage(self, text: str) -> None:
        """Log what is done now."""
        LOGGER.info("%s", text)
        self._watcher.stage(text)

    def say(self, text: str) -> None:
        """Log what a person should read."""
        LOGGER.info("%s", text)
        self._watcher.say(text)
