"""What a study looks like in a terminal while it runs, and its results afterwards."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness.core.progress import Progress
from harness.report import number_format

__all__ = ["LiveProgress", "PlainProgress"]


class _Estimate:
    """Counts work done and left, per cell, and guesses the time left from cells alike but for the prompt."""

    def __init__(self) -> None:
        self.work: dict[str, int] = {}
        self.finished: dict[str, int] = {}
        self.best: dict[str, float] = {}
        self.last: dict[str, str] = {}
        self._kinds: dict[str, tuple[str, ...]] = {}
        self._seconds: dict[tuple[str, ...], list[float]] = {}

    def start(self, work: Mapping[str, int], factors: Mapping[str, Mapping[str, str]]) -> None:
        self.work = dict(work)
        self._kinds = {
            cell: tuple(level for axis, level in levels.items() if axis != "prompt") for cell, levels in factors.items()
        }
        self.finished = dict.fromkeys(work, 0)

    def done(self, cell: str, what: str, seconds: float) -> None:
        self.finished[cell] += 1
        self.work[cell] = max(self.work[cell], self.finished[cell])  # final runs are repeated on other test rows
        self.last[cell] = what
        self._seconds.setdefault(self._kinds[cell], []).append(seconds)
        self._seconds.setdefault((), []).append(seconds)

    def left(self) -> float:
        """Return the seconds left, nan before the first run ended."""
        if () not in self._seconds:
            return math.nan
        return sum(
            max(0, self.work[cell] - self.finished[cell])
            * _mean(self._seconds.get(self._kinds[cell]) or self._seconds[()])
            for cell in self.work
        )

    @property
    def total(self) -> tuple[int, int]:
        """Runs done, and runs in all."""
        return sum(self.finished.values()), sum(self.work.values())


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


class PlainProgress(Progress):
    """One line per finished run; for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._clock = _Estimate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Print nothing more."""

    def start(self, work: Mapping[str, int], factors: Mapping[str, Mapping[str, str]]) -> None:
        """Print how much there is to do."""
        self._clock.start(work, factors)
        self._print(f"{len(work)} cells, {sum(work.values())} training runs to do")

    def done(self, cell: str, what: str, *, score: float, best: float, seconds: float) -> None:
        """Print a finished run."""
        self._clock.done(cell, what, seconds)
        done, total = self._clock.total
        left = number_format.duration(self._clock.left())
        said = f"validation {number_format.score(score)} ({seconds:.1f} s; about {left} left)"
        self._print(f"[{done}/{total}] {cell}: {what}: {said}")

    def say(self, text: str) -> None:
        """Print a stage."""
        self._print(text)

    def _print(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


class LiveProgress(Progress):
    """A table of cells that is drawn anew as runs finish."""

    def __init__(self, console: Console) -> None:
        self._clock = _Estimate()
        self._stage = ""
        self._start = time.monotonic()
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=2, transient=True)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def start(self, work: Mapping[str, int], factors: Mapping[str, Mapping[str, str]]) -> None:
        """Show all cells."""
        self._stage = ""
        self._clock.start(work, factors)

    def done(self, cell: str, what: str, *, score: float, best: float, seconds: float) -> None:
        """Count a finished run."""
        self._clock.done(cell, what, seconds)
        if not math.isnan(best):
            self._clock.best[cell] = best

    def say(self, text: str) -> None:
        """Show a stage below the table."""
        self._stage = text

    def _render(self) -> RenderableType:
        table = Table("cell", "runs", "last", "best so far", box=None, header_style="bold")
        for cell, work in self._clock.work.items():
            done = self._clock.finished[cell]
            style = "dim" if done >= work else "bold" if done else ""
            best = number_format.score(self._clock.best.get(cell, math.nan))
            table.add_row(cell, f"{done}/{work}", self._clock.last.get(cell, "waiting"), best, style=style)
        done, total = self._clock.total
        elapsed = number_format.duration(time.monotonic() - self._start)
        left = number_format.duration(self._clock.left())
        line = f"{done}/{total} runs, {elapsed} so far, about {left} left" if total else elapsed
        return Group(table, Text(f"{line}  {self._stage}", style="cyan"))
