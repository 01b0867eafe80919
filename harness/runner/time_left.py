"""How much of a study is done, and how long the rest takes: from what its runs took, and the one under way so far."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from statistics import fmean
from typing import NamedTuple

from harness.core.progress import CellWork, Progress, Step
from harness.report import number_format

__all__ = ["TimeLeft", "UnderWay"]


class UnderWay:
    """A job that was begun."""

    def __init__(self, cell: str, began: float, *, final: bool = False) -> None:
        self.cell, self.began, self.final = cell, began, final
        self.step: Step | None = None
        self._first: tuple[float, float] | None = None
        self._last = (0.0, began)

    def at(self, step: Step, now: float) -> None:
        """Hear how far it is."""
        before, self.step = self.step, step
        share = step.trained
        # Later on from epoch to epoch, each with its score.
        if share is not None and (step.epoch == 1 or before is None or step.epoch != before.epoch):
            self._first, self._last = self._first or (share, now), (share, now)

    def seconds(self, now: float) -> float:
        """Return what it takes from its beginning to its end, nan before its second step.

        What comes before the first step, such as recording the frozen part, is there once; all else as often as steps.
        """
        if self._first is None or self._last[0] <= self._first[0]:
            return math.nan
        (share, first), (done, last) = self._first, self._last
        return max(now - self.began, first - self.began + (last - first) * (1 - share) / (done - share))

    @property
    def is_scored(self) -> bool:
        """Whether scores, which take their time too, are among what was seen of it."""
        return self.step is not None and self.step.epoch > 1


class _Took(NamedTuple):
    """A run that ended, or one under way that stands for it."""

    cell: str
    final: bool
    seconds: float


class TimeLeft(Progress):
    """Counts the runs of a study, done and left, and estimates the time that is left.

    A run takes as long as others of its phase whose cells differ in the prompt alone. Where there are none yet, a trial
    is measured by its cell's weight, and a final run by trials of its kind and what others took more. Before any run
    ended, the one under way stands for all.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._start = clock, clock()
        self.cells: Mapping[str, CellWork] = {}
        self.under_way: dict[str, UnderWay] = {}
        """By job."""
        self.best: dict[str, float] = {}
        self.last: dict[str, str] = {}
        """What each cell did last."""
        self._left: dict[tuple[str, bool], int] = {}
        """Runs that have not ended, by cell and whether they are final."""
        self._took: list[_Took] = []
        self._abreast = 1
        """How many jobs are done side by side."""

    def start(self, cells: Mapping[str, CellWork]) -> None:
        """Hear of the cells."""
        missing = {name: {False: cell.trials, True: cell.finals} for name, cell in cells.items()}
        self._left = {(name, final): runs for name, phases in missing.items() for final, runs in phases.items()}
        self.cells = dict(cells)  # last: another thread may read

    def began(self, job: str, cell: str, *, final: bool) -> None:
        """Take note of a job."""
        self.under_way[job] = UnderWay(cell, self._clock(), final=final)
        self._abreast = max(self._abreast, len(self.under_way))

    def at(self, job: str, step: Step) -> None:
        """Take note of how far it is."""
        now = self._clock()
        self.under_way.setdefault(job, UnderWay(job, now)).at(step, now)

    def done(self, job: str, what: str, *, score: float, best: float, seconds: float) -> None:
        """Count a finished run."""
        ended = self.under_way.pop(job)
        self._left[ended.cell, ended.final] -= 1
        self._took.append(_Took(ended.cell, ended.final, seconds))
        self.last[ended.cell] = what
        if not math.isnan(best):
            self.best[ended.cell] = best

    def more(self, cell: str, trials: int) -> None:
        """Count further trials, of a cell that was heard of."""
        if cell in self.cells:
            self._left[cell, False] += trials
            self.cells = {**self.cells, cell: self.cells[cell]._replace(trials=self.cells[cell].trials + trials)}

    def settle(self, cell: str, finals: int) -> None:
        """Count final runs that stand as done; the cell's search is over."""
        self._left[cell, False], self._left[cell, True] = 0, finals

    def runs(self, *cells: str) -> tuple[int, int]:
        """Return how many runs of some cells are done, and how many they take in all, which only grows."""
        total = sum(self.cells[cell].there + self.cells[cell].trials + self.cells[cell].finals for cell in cells)
        return total - sum(self._left[cell, final] for cell in cells for final in (False, True)), total

    @property
    def summary(self) -> str:
        """Runs done, time so far, time left."""
        now = self._clock()
        so_far = f"{number_format.duration(now - self._start)} so far"
        if not self.cells:
            return so_far
        done, total = self.runs(*self.cells)
        return f"{done}/{total} runs, {so_far}, {self.left_in_words()}"

    def left_in_words(self) -> str:
        """Return the time left, ``at least`` while scores have not been seen to take theirs."""
        seconds = self.seconds_left()
        if math.isnan(seconds):
            return "time left not known yet"
        is_seen = bool(self._took) or any(job.is_scored for job in list(self.under_way.values()))
        return f"{'about' if is_seen else 'at least'} {number_format.duration(seconds)} left"

    def seconds_left(self) -> float:
        """Return the time left, nan where nothing was seen yet; the report and the model's storing apart."""
        now = self._clock()
        waiting = dict(self._left)
        rests = []
        for job in list(self.under_way.values()):
            if (key := (job.cell, job.final)) in waiting:
                waiting[key] -= 1
                whole = job.seconds(now)
                if math.isnan(whole) or (self._took and not job.is_scored):
                    whole = self._expected(*key, now)
                rests.append(max(0.0, whole - (now - job.began)))
        seconds = sum(rests) + sum(count * self._expected(*key, now) for key, count in waiting.items() if count)
        return max([seconds / self._abreast, *rests])

    def _expected(self, cell: str, final: bool, now: float) -> float:
        """Return what a run of a cell takes."""
        took = self._took or [
            _Took(job.cell, job.final, seconds)
            for job in list(self.under_way.values())
            if job.cell in self.cells and not math.isnan(seconds := job.seconds(now))
        ]
        trials, finals = [one for one in took if not one.final], [one for one in took if one.final]
        if not final or not finals:
            return self._by_weight(cell, trials or finals)
        if alike := self._alike(cell, finals):
            return fmean(alike)
        # What a final run does beside a trial, such as scoring test, hardly depends on what trains.
        more = fmean(one.seconds - self._by_weight(one.cell, trials or finals) for one in finals)
        return max(0.0, self._by_weight(cell, trials or finals) + more)

    def _by_weight(self, cell: str, took: Iterable[_Took]) -> float:
        if alike := self._alike(cell, took):
            return fmean(alike)
        weights = sum(self.cells[one.cell].weight for one in took)
        return self.cells[cell].weight * sum(one.seconds for one in took) / weights if weights else math.nan

    def _alike(self, cell: str, took: Iterable[_Took]) -> list[float]:
        """Return the seconds of runs whose cells differ in the prompt alone."""
        kind = self._kind(cell)
        return [one.seconds for one in took if self._kind(one.cell) == kind]

    def _kind(self, cell: str) -> dict[str, str]:
        return {axis: level for axis, level in self.cells[cell].factors.items() if axis != "prompt"}
