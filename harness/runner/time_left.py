"""How much of a study is done, and how long the rest takes: from what its runs took, and the one under way so far."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
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


Kind = tuple[tuple[str, str], ...]
"""A cell's levels but for its prompt: cells of one kind take as long."""


class _Sum(NamedTuple):
    """Runs, added up."""

    runs: int = 0
    weight: float = 0.0
    """Of their cells."""
    seconds: float = 0.0
    """That they took, or were found to take."""

    def plus(self, weight: float, seconds: float = 0.0, runs: int = 1) -> _Sum:
        """Return it with so many runs more of a cell; ``seconds`` of all of them."""
        return _Sum(self.runs + runs, self.weight + runs * weight, self.seconds + seconds)


Sums = dict[Kind, _Sum]


class _Seen:
    """What runs took, by their kind and phase: how long those will take that are left.

    Args:
        trials: Sums of trials.
        finals: Of final runs.
    """

    def __init__(self, trials: Sums, finals: Sums) -> None:
        self._finals, self._trials = finals, trials or finals
        self._rate = _rate(self._trials)
        # What a final run does beside a trial, such as scoring test, hardly depends on what trains.
        more = sum(one.seconds - self._by_trials(kind, one) for kind, one in finals.items())
        self._more = more / sum(one.runs for one in finals.values()) if finals else 0.0

    def seconds(self, kind: Kind, runs: _Sum, *, final: bool) -> float:
        """Return what runs of a kind will take."""
        if not final or not self._finals:
            return self._by_trials(kind, runs)
        if alike := self._finals.get(kind):
            return runs.runs * alike.seconds / alike.runs
        return max(0.0, self._by_trials(kind, runs) + runs.runs * self._more)

    def _by_trials(self, kind: Kind, runs: _Sum) -> float:
        """Return it by trials of their kind, else by their weight."""
        alike = self._trials.get(kind)
        return runs.runs * alike.seconds / alike.runs if alike else runs.weight * self._rate


def _rate(sums: Sums) -> float:
    """Return the seconds of a weight of 1."""
    weight = sum(one.weight for one in sums.values())
    return sum(one.seconds for one in sums.values()) / weight if weight else math.nan


class TimeLeft(Progress):
    """Counts the runs of a study, done and left, and estimates the time that is left.

    A run takes as long as others of its phase whose cells differ in the prompt alone. Where there are none yet, a trial
    is measured by its cell's weight, and a final run by trials of its kind and what others took more. Before any run
    ended, the one under way stands for all. Runs are added up as they end, so that a study of thousands is told of in
    the time of a small one.
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
        self._kinds: dict[str, Kind] = {}
        self._total = 0
        """Runs of all cells, those that ended among them."""
        self._waits: dict[bool, Sums] = {False: {}, True: {}}
        """Those that have not, by whether they are final."""
        self._took: dict[bool, Sums] = {False: {}, True: {}}
        self._abreast = 1
        """How many jobs are done side by side."""

    def start(self, cells: Mapping[str, CellWork]) -> None:
        """Hear of the cells."""
        self._kinds = {name: _kind(cell) for name, cell in cells.items()}
        self._total = sum(map(_runs_of, cells.values()))
        self._left, self._waits = {}, {False: {}, True: {}}
        for name, cell in cells.items():
            for final, runs in ((False, cell.trials), (True, cell.finals)):
                self._leave(name, cell.weight, runs, final=final)
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
        weight, kind, took = self.cells[ended.cell].weight, self._kinds[ended.cell], self._took[ended.final]
        self._leave(ended.cell, weight, self._left[ended.cell, ended.final] - 1, final=ended.final)
        took[kind] = took.get(kind, _Sum()).plus(weight, seconds)
        self.last[ended.cell] = what
        if not math.isnan(best):
            self.best[ended.cell] = best

    def more(self, cell: str, trials: int) -> None:
        """Count further trials, of a cell that was heard of."""
        if cell in self.cells:
            self._leave(cell, self.cells[cell].weight, self._left[cell, False] + trials, final=False)
            self._total += trials
            self.cells = {**self.cells, cell: self.cells[cell]._replace(trials=self.cells[cell].trials + trials)}

    def settle(self, cell: str, finals: int) -> None:
        """Count final runs that stand as done; the cell's search is over."""
        for final, runs in ((False, 0), (True, finals)):
            self._leave(cell, self.cells[cell].weight, runs, final=final)

    def _leave(self, cell: str, weight: float, runs: int, *, final: bool) -> None:
        """Take note of how many runs of a cell have not ended."""
        kind, waits = self._kinds[cell], self._waits[final]
        before, self._left[cell, final] = self._left.get((cell, final), 0), runs
        waits[kind] = waits.get(kind, _Sum()).plus(weight, runs=runs - before)

    def runs(self, *cells: str) -> tuple[int, int]:
        """Return how many runs of some cells are done, and how many they take in all, which only grows.

        Args:
            cells: All of them, if none is named.
        """
        if not cells:
            left = sum(one.runs for sums in self._waits.values() for one in list(sums.values()))
            return self._total - left, self._total
        total = sum(_runs_of(self.cells[cell]) for cell in cells)
        return total - sum(self._left[cell, final] for cell in cells for final in (False, True)), total

    @property
    def summary(self) -> str:
        """Runs done, time so far, time left."""
        now = self._clock()
        so_far = f"{number_format.duration(now - self._start)} so far"
        if not self.cells:
            return so_far
        done, total = self.runs()
        return f"{done}/{total} runs, {so_far}, {self.left_in_words()}"

    def left_in_words(self) -> str:
        """Return the time left, ``at least`` while scores have not been seen to take theirs."""
        seconds = self.seconds_left()
        if math.isnan(seconds):
            return "time left not known yet"
        is_seen = any(self._took.values()) or any(job.is_scored for job in list(self.under_way.values()))
        return f"{'about' if is_seen else 'at least'} {number_format.duration(seconds)} left"

    def seconds_left(self) -> float:
        """Return the time left, nan where nothing was seen yet; the report and the model's storing apart."""
        now, cells = self._clock(), self.cells
        under_way = [job for job in list(self.under_way.values()) if job.cell in cells]
        ended = any(self._took.values())
        seen = self._seen() if ended else self._seen_so_far(under_way, now)
        waits = {final: dict(sums) for final, sums in self._waits.items()}
        rests = []
        for job in under_way:
            kind, weight = self._kinds[job.cell], cells[job.cell].weight
            waits[job.final][kind] = waits[job.final][kind].plus(weight, runs=-1)
            whole = job.seconds(now)
            if math.isnan(whole) or (ended and not job.is_scored):
                whole = seen.seconds(kind, _Sum(1, weight), final=job.final)
            rests.append(max(0.0, whole - (now - job.began)))
        seconds = sum(rests) + sum(
            seen.seconds(kind, runs, final=final)
            for final, sums in waits.items()
            for kind, runs in sums.items()
            if runs.runs
        )
        return max([seconds / self._abreast, *rests])

    def _seen(self) -> _Seen:
        return _Seen(dict(self._took[False]), dict(self._took[True]))

    def _seen_so_far(self, under_way: Iterable[UnderWay], now: float) -> _Seen:
        """Return what jobs under way were found to take, where none ended."""
        sums: dict[bool, Sums] = {False: {}, True: {}}
        for job in under_way:
            if not math.isnan(seconds := job.seconds(now)):
                kind, of = self._kinds[job.cell], sums[job.final]
                of[kind] = of.get(kind, _Sum()).plus(self.cells[job.cell].weight, seconds)
        return _Seen(sums[False], sums[True])


def _kind(cell: CellWork) -> Kind:
    return tuple(sorted((axis, level) for axis, level in cell.factors.items() if axis != "prompt"))


def _runs_of(cell: CellWork) -> int:
    return cell.there + cell.trials + cell.finals
