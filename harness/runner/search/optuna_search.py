"""One Optuna study per cell: samplers, pruner, storage, seeds.

The draw of trial i depends on the study's seed, on i and on the finished trials alone, never on how often the
search was interrupted, so a killed search goes on as if nothing had happened. A trial's index i counts finished
trials; Optuna's own number also counts interrupted ones.
"""

from __future__ import annotations

import math
import random
import sqlite3
from collections.abc import Callable
from typing import Literal, NamedTuple

import optuna
from optuna.distributions import FloatDistribution
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError

from harness.core.database_urls import create, reach, sqlite_file
from harness.core.errors import StoreError
from harness.core.example import digest
from harness.study.spec import LearningRate, Search

__all__ = ["Best", "CellSearch", "Outcome", "grid_points", "open_storage", "reach_storage", "startup_points"]

Outcome = Literal["complete", "pruned"]
"""How a trial that did not diverge ended."""

DIVERGED = "diverged"

STARTUP = 3
"""Trials before the Gaussian process has a say."""

ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


class Best(NamedTuple):
    """The winner of a cell."""

    learning_rate: float
    value: float
    trial: int
    """Which trial it was."""


def reach_storage(url: str) -> None:
    """See that Optuna's storage answers, without writing to it.

    Raises:
        StoreError: It does not.
    """
    reach("search.storage", url, remedy="check the URL and its server; the default is sqlite:///optuna.db")


def open_storage(url: str) -> optuna.storages.BaseStorage:
    """Open Optuna's storage.

    Raises:
        StoreError: It cannot be reached, or holds something else.
    """
    reach_storage(url)
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it would announce every trial
    try:
        create(url, _make)
        return _quick(url) if sqlite_file(url) else optuna.storages.get_storage(url)
    except (SQLAlchemyError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise StoreError(f"search.storage {url!r} cannot be used: {reason}; name another database") from error


def _make(url: str) -> None:
    storage = optuna.storages.RDBStorage(url)
    storage.remove_session()
    storage.engine.dispose()


def _quick(url: str) -> optuna.storages.BaseStorage:
    """Open a sqlite database that does not wait for the disk.

    A kill loses nothing. A power cut may lose the last trials, of which the tracking store, which waits and is told
    first, still knows: such a trial is drawn again as it was. Only a write-ahead log stays whole without waiting.
    """
    storage = optuna.storages.RDBStorage(url)

    def relax(connection: sqlite3.Connection, _: object) -> None:
        if connection.execute("pragma journal_mode").fetchone() == ("wal",):
            connection.execute("pragma synchronous = normal")

    event.listen(storage.engine, "connect", relax)
    storage.engine.dispose()
    return optuna.storages.get_storage(storage)


class CellSearch:
    """The search for one cell's learning rate.

    Args:
        storage: From `open_storage`.
        name: Unique per cell and search.
        spec: Space, budget, sampler, pruner, seed.
        maximize: Whether a higher objective is better.
    """

    def __init__(self, storage: optuna.storages.BaseStorage, name: str, *, spec: Search, maximize: bool) -> None:
        self.spec = spec
        self._study = optuna.create_study(
            storage=storage,
            study_name=name,
            direction="maximize" if maximize else "minimize",
            pruner=_pruner(spec),
            load_if_exists=True,
        )

    def finished(self) -> list[FrozenTrial]:
        """Return the trials that ended by themselves, in order; one that a kill cut short is none."""
        trials = self._study.get_trials(deepcopy=False)
        return [t for t in trials if t.state in ENDED or (t.state == TrialState.FAIL and DIVERGED in t.user_attrs)]

    def recover(self, ended: Callable[[int], tuple[Outcome, float | None] | None]) -> None:
        """Settle the trials that a killed process left open.

        Args:
            ended: Optuna's number of a trial -> how the tracking store says that it ended, ``None`` if it did not.
        """
        if self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            self._study.ask()  # the kill came between enqueuing a grid point and asking for it
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            known = ended(trial.number)
            if known is None:
                self._study.tell(trial.number, state=TrialState.FAIL)
            else:
                self.tell(trial.number, *known)

    def ask(self, start: float | None = None) -> Trial | None:
        """Return the next trial, ``None`` when the budget is spent. Its one parameter is ``learning_rate``.

        Args:
            start: The learning rate of the first trial, the same at every call; left out: that one is drawn as well.
                A grid then has one point less, and a Gaussian process begins with two other thirds of the range.
        """
        index = len(self.finished())
        if index >= self.spec.trials:
            return None
        space = self.spec.learning_rate
        if (known := self._known(start)[index : index + 1]) != []:
            self._study.enqueue_trial({"learning_rate": known[0]})
        self._study.sampler = _sampler(self.spec, index)
        trial = self._study.ask({"learning_rate": FloatDistribution(space.low, space.high, log=True)})
        trial.set_user_attr("index", index)
        return trial

    def _known(self, start: float | None) -> list[float]:
        """Return the learning rates that no sampler draws, from the first trial on."""
        given, space = [] if start is None else [start], self.spec.learning_rate
        if self.spec.sampler == "grid" and len(given) < self.spec.trials:
            return given + grid_points(space.low, space.high, self.spec.trials - len(given))
        if self.spec.sampler == "gp":
            taken = {_third(rate, space) for rate in given}
            return given + [rate for rate in startup_points(self.spec) if _third(rate, space) not in taken]
        return given

    def tell(self, number: int, outcome: Outcome, value: float | None = None) -> None:
        """Record how a trial ended.

        Args:
            number: Optuna's.
            outcome: How.
            value: The objective; for ``complete`` alone.
        """
        if outcome == "complete":
            self._study.tell(number, value)
        else:
            self._study.tell(number, state=TrialState.PRUNED)

    def fail(self, trial: Trial, reason: str) -> None:
        """Record a trial that diverged; it counts as finished."""
        trial.set_user_attr(DIVERGED, reason)
        self._study.tell(trial, state=TrialState.FAIL)

    def best(self) -> Best | None:
        """Return the winner, the earliest among equals; ``None`` where no trial completed."""
        complete = [t for t in self.finished() if t.state == TrialState.COMPLETE]
        if not complete:
            return None
        winner = max(complete, key=lambda t: (self._merit(t.value), -t.number))
        return Best(winner.params["learning_rate"], float(winner.value or 0.0), int(winner.user_attrs["index"]))

    def among_best(self, value: float, count: int) -> bool:
        """Return whether a trial that ends with this value is among the best few of those that completed so far."""
        complete = [t for t in self.finished() if t.state == TrialState.COMPLETE]
        return sum(self._merit(t.value) >= self._merit(value) for t in complete) < count

    def _merit(self, value: float | None) -> float:
        """Return an objective as a number that is better the higher it is."""
        assert value is not None
        return value if self._study.direction == optuna.study.StudyDirection.MAXIMIZE else -value


def grid_points(low: float, high: float, points: int) -> list[float]:
    """Return log-spaced points, both ends included; the geometric middle where there is one point.

    >>> grid_points(1.0, 100.0, 1)
    [10.0]
    """
    if points == 1:
        return [math.sqrt(low * high)]
    inner = [low * (high / low) ** (i / (points - 1)) for i in range(1, points - 1)]
    return [low, *inner, high]


def startup_points(spec: Search) -> list[float]:
    """Return the learning rates that a Gaussian process begins with: one in each third of the range, by its logarithm.

    A Latin hypercube of one dimension (McKay, Beckman & Conover 1979, "A Comparison of Three Methods for Selecting
    Values of Input Variables"), in a random order. Three independent draws often leave the end of the range unseen
    where the best learning rates are; `benchmarks/bench_search.py` has the numbers.
    """
    draw = random.Random(digest({"seed": spec.seed, "startup": STARTUP}))
    places = [(part + draw.random()) / STARTUP for part in range(STARTUP)]
    draw.shuffle(places)
    low, high = spec.learning_rate.low, spec.learning_rate.high
    return [low * (high / low) ** place for place in places]


def _third(rate: float, space: LearningRate) -> int:
    place = math.log(rate / space.low) / math.log(space.high / space.low)
    return min(int(STARTUP * place), STARTUP - 1)


def _sampler(spec: Search, index: int) -> BaseSampler:
    """Return a sampler whose randomness is that of one trial alone."""
    seed = int(digest({"seed": spec.seed, "trial": index}), 16) % 2**32
    if spec.sampler == "gp":
        return GPSampler(seed=seed, n_startup_trials=STARTUP)
    if spec.sampler == "tpe":
        return TPESampler(seed=seed)
    return RandomSampler(seed=seed)


def _pruner(spec: Search) -> optuna.pruners.BasePruner:
    return optuna.pruners.MedianPruner(n_startup_trials=2) if spec.pruner == "median" else optuna.pruners.NopPruner()
