"""What Optuna is given of a study: distributions, samplers, pruners."""

from __future__ import annotations

import random
from operator import eq

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import MedianPruner
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from harness.core.example import digest
from harness.study.dimension import Dimension, Value
from harness.study.search_space import Hyperparameters, SearchSpace
from harness.study.spec import Search
from harness.study.written_space import TRAINING

__all__ = ["STARTUP", "apart_from", "distribution_of", "pruner_of", "sampler_of", "startup_points"]

LENGTHS = (f"{TRAINING}epochs", f"{TRAINING}steps")
"""What says how long a run trains; a study counts in one of the two."""

STARTUP = 3
"""Trials before the Gaussian process has a say."""


def distribution_of(dimension: Dimension, value: Value | None = None) -> BaseDistribution:
    """Return what Optuna draws a value from, widened where a given one (another cell's winner) lies outside."""
    is_log = dimension.scale == "log"
    if dimension.choices:
        return CategoricalDistribution(dimension.choices)
    low, high = dimension.low, dimension.high
    if isinstance(value, int | float):
        low, high = min(low, value), max(high, value)
    if dimension.integer:
        return IntDistribution(int(low), int(high), log=is_log)
    return FloatDistribution(low, high, log=is_log)


def sampler_of(spec: Search, index: int) -> BaseSampler:
    """Return a sampler whose randomness is that of one trial alone."""
    seed = int(digest({"seed": spec.seed, "trial": index}), 16) % 2**32
    if spec.sampler == "gp":
        return GPSampler(seed=seed, n_startup_trials=STARTUP)
    if spec.sampler == "tpe":
        return TPESampler(seed=seed)
    return RandomSampler(seed=seed)


def pruner_of(spec: Search, space: SearchSpace) -> optuna.pruners.BasePruner:
    """Return what gives trials up."""
    if spec.pruner == "none":
        return optuna.pruners.NopPruner()
    length = next((name for name in LENGTHS if space.find(name)), None)
    return _OfEqualLength(length) if length else MedianPruner(n_startup_trials=2)


class _OfEqualLength(MedianPruner):
    """Compares a trial with those of its length alone: at one epoch, others stand elsewhere in their schedule."""

    def __init__(self, length: str) -> None:
        super().__init__(n_startup_trials=2)
        self._length = length

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Return whether a trial is below the median."""
        alike = optuna.create_study(direction=study.direction)
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        alike.add_trials([other for other in complete if other.params.get(self._length) == trial.params[self._length]])
        return super().prune(alike, trial)


def apart_from(
    given: list[Hyperparameters], points: list[Hyperparameters], space: SearchSpace
) -> list[Hyperparameters]:
    """Return the points without the one that each given one stands for: the first that shares most thirds with it."""
    left = list(points)
    for start in given[: len(points)]:
        own = space.parts_of(start, STARTUP)
        shared = [sum(map(eq, own, space.parts_of(point, STARTUP))) for point in left]
        del left[shared.index(max(shared))]
    return left


def startup_points(space: SearchSpace, seed: int) -> list[Hyperparameters]:
    """Return what a Gaussian process begins with: a seeded Latin hypercube, one point in each third of each range.

    Three independent draws often leave the end of the range unseen where the best learning rates are;
    `benchmarks/bench_search.py` has the numbers.
    """
    return space.latin_hypercube(STARTUP, random.Random(digest({"seed": seed, "startup": STARTUP})))
