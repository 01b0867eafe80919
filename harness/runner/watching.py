"""Who watches a run that Python started: nobody, a terminal, a cell of a notebook, or whoever is named."""

from __future__ import annotations

import importlib
import io
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console

from harness.core.logged_progress import LoggedProgress
from harness.core.progress import CellWork, Progress, Step
from harness.report.console_page import as_html
from harness.runner.progress_display import ProgressTable, progress_on, quiet_libraries

__all__ = ["NotebookTable", "watching"]

BETWEEN = 0.5
"""Seconds between two drawings in a notebook."""


@contextmanager
def watching(progress: Progress | bool) -> Iterator[Progress]:
    """Yield who watches, and has it logged; who is told what matters is spared the bars and advice of libraries.

    Args:
        progress: ``True``: the cell of a notebook that this runs in, else the terminal. ``False``: nobody.
    """
    with _watcher(progress) as watcher:
        yield watcher if isinstance(watcher, LoggedProgress) else LoggedProgress(watcher)


@contextmanager
def _watcher(progress: Progress | bool) -> Iterator[Progress]:
    quiet_libraries()
    if isinstance(progress, Progress):
        yield progress
    elif not progress:
        yield Progress()
    elif _in_notebook():
        table = NotebookTable(importlib.import_module("IPython.display").display)
        try:
            yield table
        finally:
            table.draw()
    else:
        with progress_on(Console(width=None if sys.stdout.isatty() else 120)) as watcher:
            yield watcher


def _in_notebook() -> bool:
    """Return whether this runs in a cell, without importing what is there in notebooks alone."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None


class NotebookTable(ProgressTable):
    """The table of cells in a notebook, drawn anew where it stands; what is said stays above it.

    Args:
        display: IPython's.
    """

    def __init__(self, display: Any) -> None:
        super().__init__(Console(file=io.StringIO(), height=1000))  # room for all cells; nothing is printed there
        self._said: list[str] = []
        self._drawn = time.monotonic()
        self._handle = display(self, display_id=True)

    def start(self, cells: Mapping[str, CellWork]) -> None:
        """Show all cells."""
        super().start(cells)
        self.draw()

    def at(self, job: str, step: Step) -> None:
        """Show how far a job is."""
        super().at(job, step)
        if time.monotonic() - self._drawn >= BETWEEN:
            self.draw()

    def done(self, job: str, what: str, *, score: float, best: float, seconds: float) -> None:
        """Show a finished run."""
        super().done(job, what, score=score, best=best, seconds=seconds)
        self.draw()

    def stage(self, text: str) -> None:
        """Show it below the table while no run is under way."""
        super().stage(text)
        self.draw()

    def say(self, text: str) -> None:
        """Show it above the table, where it stays."""
        self._said.append(text)
        self.draw()

    def draw(self) -> None:
        """Draw it."""
        self._drawn = time.monotonic()
        self._handle.update(self)

    def _repr_html_(self) -> str:
        return as_html([*self._said, self.render()])

    def __repr__(self) -> str:
        return self.summary
