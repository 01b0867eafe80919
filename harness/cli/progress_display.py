"""What a study looks like in a terminal while it runs, and its results afterwards."""

from __future__ import annotations

import math
import os
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from statistics import fmean

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness.core.progress import Progress
from harness.report import number_format

__all__ = ["PlainProgress", "progress_on", "quiet_libraries"]


@contextmanager
def progress_on(console: Console) -> Iterator[Progress]:
    """Watch a study on a console: a table that is drawn anew in a terminal, a line for each finished run elsewhere."""
    if not console.is_terminal:
        yield PlainProgress(console)
        return
    table = _ProgressTable()
    with Live(console=console, get_renderable=table.render, refresh_per_second=2, transient=True):
        yield table


class _Estimate(Progress):
    """Counts work done and left, per cell, and guesses the time left from cells alike but for the prompt."""

    def __init__(self) -> None:
        self._work: dict[str, int] = {}
        self._finished: dict[str, int] = {}
        self._best: dict[str, float] = {}
        self._last: dict[str, str] = {}
        self._kinds: dict[str, tuple[str, ...]] = {}
        self._seconds: dict[tuple[str, ...], list[float]] = {}

    def start(self, work: Mapping[str, int], factors: Mapping[str, Mapping[str, str]]) -> None:
        """Hear of the cells."""
        self._work, self._finished = dict(work), dict.fromkeys(work, 0)
        self._kinds = {
            cell: tuple(level for axis, level in levels.items() if axis != "prompt") for cell, levels in factors.items()
        }

    def done(self, cell: str, what: str, *, score: float, best: float, seconds: float) -> None:
        """Count a finished run."""
        self._finished[cell] += 1
        self._work[cell] = max(self._work[cell], self._finished[cell])  # final runs are repeated on other test rows
        self._last[cell] = what
        if not math.isnan(best):
            self._best[cell] = best
        self._seconds.setdefault(self._kinds[cell], []).append(seconds)
        self._seconds.setdefault((), []).append(seconds)

    @property
    def left(self) -> str:
        """The time left, which nobody knows before the first run ended."""
        seconds = math.nan
        if () in self._seconds:
            means = {cell: fmean(self._seconds.get(self._kinds[cell]) or self._seconds[()]) for cell in self._work}
            seconds = sum((work - self._finished[cell]) * means[cell] for cell, work in self._work.items())
        return number_format.duration(seconds)

    @property
    def total(self) -> tuple[int, int]:
        """Runs done, and runs in all."""
        return sum(self._finished.values()), sum(self._work.values())


class PlainProgress(_Estimate):
    """One line per finished run; for logs and pipes."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def start(self, work: Mapping[str, int], factors: Mapping[str, Mapping[str, str]]) -> None:
        """Print how much there is to do."""
        super().start(work, factors)
        self.say(f"{len(work)} cells, {sum(work.values())} training runs to do")

    def done(self, cell: str, what: str, *, score: float, best: float, seconds: float) -> None:
        """Print a finished run."""
        super().done(cell, what, score=score, best=best, seconds=seconds)
        done, total = self.total
        result = f"validation {number_format.score(score)} ({seconds:.1f} s; about {self.left} left)"
        self.say(f"[{done}/{total}] {cell}: {what}: {result}")

    def say(self, text: str) -> None:
        """Print a stage."""
        self._console.print(text, soft_wrap=True)


class _ProgressTable(_Estimate):
    """A table of cells."""

    def __init__(self) -> None:
        super().__init__()
        self._stage, self._start = "", time.monotonic()

    def start(self, work: Mapping[str, int], factors: Mapping[str, Mapping[str, str]]) -> None:
        """Show all cells."""
        super().start(work, factors)
        self.say("")

    def say(self, text: str) -> None:
        """Show a stage below the table."""
        self._stage = text

    def render(self) -> RenderableType:
        """Return the table as it now is."""
        table = Table("cell", "runs", "last", "best so far", box=None, header_style="bold")
        for cell, work in self._work.items():
            done = self._finished[cell]
            style = "dim" if done >= work else "bold" if done else ""
            best = number_format.score(self._best.get(cell, math.nan))
            table.add_row(cell, f"{done}/{work}", self._last.get(cell, "waiting"), best, style=style)
        done, total = self.total
        elapsed = number_format.duration(time.monotonic() - self._start)
        line = f"{done}/{total} runs, {elapsed} so far, about {self.left} left" if total else elapsed
        return Group(table, Text(f"{line}  {self._stage}", style="cyan"))


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
