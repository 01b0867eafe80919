"""What a study looks like in a terminal while it runs, and its results afterwards."""

from __future__ import annotations

import math
import os
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness.core.heartbeat import heartbeat
from harness.core.progress import CellWork, Progress
from harness.report import number_format
from harness.runner.time_left import TimeLeft

__all__ = ["PlainProgress", "ProgressTable", "progress_on", "quiet_libraries"]

BEAT = 30.0
"""Seconds without a line after which a log says how far the work is."""

MARGIN = 5
"""Lines of a terminal that are kept free of cells."""


@contextmanager
def progress_on(console: Console) -> Iterator[Progress]:
    """Watch a study on a console: a table that is drawn anew in a terminal, a line for each finished run elsewhere."""
    if console.is_terminal:
        table = ProgressTable(console)
        with Live(console=console, get_renderable=table.render, refresh_per_second=2, transient=True):
            yield table
        return
    lines = PlainProgress(console)
    with lines.beating():
        yield lines


class PlainProgress(TimeLeft):
    """One line per finished run, and one where nothing else is said, each with the time; for logs and pipes."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console, self._stage, self._said = console, "", time.monotonic()

    def start(self, cells: Mapping[str, CellWork]) -> None:
        """Print how much there is to do."""
        super().start(cells)
        done, total = self.runs()
        there = f", {done} of {total} are there" if done else ""
        self.say(f"{len(cells)} cells, {total - done} runs to do{there}")

    def done(self, job: str, what: str, *, score: float, best: float, seconds: float) -> None:
        """Print a finished run."""
        cell = self.under_way[job].cell
        super().done(job, what, score=score, best=best, seconds=seconds)
        done, total = self.runs()
        result = f"validation {number_format.score(score)} ({seconds:.1f} s; {self.left_in_words()})"
        self._print(f"[{done}/{total}] {cell}: {what}: {result}")

    def stage(self, text: str) -> None:
        """Print it, now and while it lasts."""
        self._stage = text
        self._print(text)

    def say(self, text: str) -> None:
        """Print it."""
        self._print(text)

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Say how far the work is whenever nothing was said for a while, also while one step takes long."""
        with heartbeat(self._keep_beating):
            yield

    def _keep_beating(self, over: threading.Event) -> None:
        while not over.wait(max(0.1 * BEAT, self._said + BEAT - time.monotonic())):
            if time.monotonic() - self._said >= BEAT:
                self._beat()

    def _beat(self) -> None:
        jobs = "; ".join(f"{job}: {under_way.step or 'begun'}" for job, under_way in list(self.under_way.items()))
        self._print(f"{jobs or self._stage or 'at work'} ({self.summary})")

    def _print(self, text: str) -> None:
        self._said = time.monotonic()
        self._console.print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}", soft_wrap=True)


class ProgressTable(TimeLeft):
    """A table of cells; of more than the terminal has lines for, those under way and the next ones."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console, self._stage = console, ""

    def start(self, cells: Mapping[str, CellWork]) -> None:
        """Show all cells."""
        super().start(cells)
        self._stage = ""

    def stage(self, text: str) -> None:
        """Show it below the table while no run is under way."""
        self._stage = text

    def say(self, text: str) -> None:
        """Print it above the table, where it stays."""
        self._console.print(text, soft_wrap=True)

    def render(self) -> RenderableType:
        """Return the table as it now is."""
        table = Table("cell", "runs", "now, or last", "best so far", box=None, header_style="bold")
        steps: dict[str, str] = {}
        for name, job in list(self.under_way.items()):
            one = f"{name.removeprefix(job.cell).strip()}: {job.step or 'begun'}"
            steps[job.cell] = f"{steps[job.cell]}; {one}" if job.cell in steps else one
        shown = self._shown(steps)
        for cell in shown:
            done, total = self.runs(cell)
            style = "bold" if cell in steps else "dim" if done >= total else ""
            state = steps.get(cell) or self.last.get(cell) or ("done before" if done >= total else "waiting")
            table.add_row(
                cell, f"{done}/{total}", state, number_format.score(self.best.get(cell, math.nan)), style=style
            )
        others = [f"{len(self.cells) - len(shown)} more cells"] if len(shown) < len(self.cells) else []
        lines = [*others, f"{self.summary}  {'' if steps else self._stage}"]
        return Group(table, *(Text(line, style="cyan") for line in lines))

    def _shown(self, steps: Mapping[str, str]) -> list[str]:
        """Return the cells that there is room for, in the grid's order."""

        def rank(cell: str) -> int:
            done, total = self.runs(cell)
            return 0 if cell in steps else 1 if done < total else 2

        chosen = set(sorted(self.cells, key=rank)[: max(1, self._console.height - MARGIN)])
        return [cell for cell in self.cells if cell in chosen]


def quiet_libraries() -> None:
    """Keep libraries' progress bars and advice off the screen; what matters is checked and reported here.

    Those that are not imported yet, and may never be, are told by the variables that they read when they are.
    """
    warnings.filterwarnings("ignore", module=r"mlflow\..*")
    os.environ |= {"HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    if "datasets" in sys.modules:
        sys.modules["datasets"].disable_progress_bars()
    if "transformers.utils.logging" in sys.modules:
        sys.modules["transformers.utils.logging"].disable_progress_bar()
        sys.modules["transformers.utils.logging"].set_verbosity_error()
