"""One cell of a study, its trials and its final runs, as plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from harness.stats import mean
from harness.study.search_space import Hyperparameters, SearchSpace
from harness.tracking.schema import Metrics, Params, score_name

__all__ = ["CellResult", "Final", "Trial"]


@dataclass(frozen=True)
class Trial:
    """One draw from the search space."""

    index: int
    hyperparameters: Hyperparameters
    state: str
    """``complete``, ``pruned`` or ``diverged``, which stands for any failure of one trial alone."""
    value: float
    """The objective; nan unless complete."""
    metrics: Mapping[str, float]
    """``validation/<metric>``, as far as scored."""
    costs: Mapping[str, float]
    warm_start: str | None = None
    """The id of the cell that the hyperparameters were taken from, where they were not drawn."""
    error: str = ""
    """Why it failed."""

    @property
    def learning_rate(self) -> float:
        """The schedule's peak."""
        return self.hyperparameters.learning_rate


@dataclass(frozen=True)
class Final:
    """One retrained winner, or a zero-shot cell's only run."""

    seed: str
    metrics: Mapping[str, float]
    """``validation/<metric>``, ``test/<metric>`` and, where it was measured, ``generality/...``."""
    costs: Mapping[str, float]
    shared_training: float = 0.0
    """Seconds that its weights trained in a run of another cell, which answered with them as well."""

    @property
    def training_seconds(self) -> float:
        """How long its weights trained, nan where it was not measured.

        Making, reading and proving recordings of the frozen part is in it.
        """
        own = self.costs.get("train_seconds", math.nan) + self.costs.get("recording_seconds", 0.0)
        return max(own, self.shared_training)


@dataclass(frozen=True)
class CellResult:
    """A row of the comparison."""

    id: str
    factors: Mapping[str, str]
    """Axes to the names of the cell's levels, ``prompt`` and ``tuning`` first; the same axes for all cells."""
    hyperparameters: Hyperparameters
    """The winner's; empty for zero-shot, or where no trial completed."""
    trials: tuple[Trial, ...]
    """Those that count: the winner is the best of them."""
    finals: tuple[Final, ...]
    params: Mapping[str, str]
    best: Mapping[str, float]
    """The winning trial's ``validation/<metric>``."""
    seconds: float = math.nan
    """Of the trials and final runs that count, from the start to the end of each; of one whose weights answered for
    other cells as well without those, and of these how long they answered."""
    diverged_finals: int = 0
    """How many more winners were retrained, and diverged."""
    space: SearchSpace | None = None
    """What its search drew from; ``None``: the study's."""
    added_trials: int = 0
    """How many of the trials were drawn beyond the range that it began with."""
    further_trials: int = 0
    """How many more trials the store holds, of a larger budget than the one that counts."""
    tokenizer: str = ""
    """Digest of the tokenizer that its runs had; empty where the store does not say."""
    winner: int | None = None
    """The index of the trial that won; ``None`` where none did, or the search is not over."""

    def __repr__(self) -> str:
        rate = f", learning rate {self.learning_rate:.3g}" if self.learning_rate is not None else ""
        return f"CellResult({self.id!r}, trials {len(self.trials)}, final runs {len(self.finals)}{rate})"

    @property
    def prompt(self) -> str:
        """Its prompt's name."""
        return self.factors["prompt"]

    @property
    def tuning(self) -> str:
        """Its tuning's name."""
        return self.factors["tuning"]

    @property
    def learning_rate(self) -> float | None:
        """The winner's, if there is one."""
        return self.hyperparameters.learning_rate if self.hyperparameters else None

    @property
    def all_diverged(self) -> bool:
        """Whether it was searched, and no trial came to an end."""
        return bool(self.trials) and not any(trial.state == "complete" for trial in self.trials)

    def values(self, metric: str) -> list[float]:
        """Return a metric's values over the final runs; those that are missing are left out."""
        return [final.metrics[metric] for final in self.finals if metric in final.metrics]

    def score(self, metric: str) -> float:
        """Return the mean over final runs; for ``validation/...`` without any, the winning trial's; else nan."""
        values = self.values(metric)
        return mean(values) if values else self.best.get(metric, math.nan)

    def ranks_by(self, metric: str) -> bool:
        """Return whether its score on validation is a number, and so is its loss, as far as that was measured."""
        runs = [*(final.metrics for final in self.finals), self.best]
        losses = [run[Metrics.VALIDATION_LOSS] for run in runs if Metrics.VALIDATION_LOSS in run]
        return all(map(math.isfinite, [self.score(score_name("validation", metric)), *losses]))

    @property
    def parameters(self) -> int | None:
        """How many weights its model has; ``None`` where the store does not say, as the next."""
        return _number(self.params.get(Params.PARAMETERS))

    @property
    def trainable(self) -> int | None:
        """How many of them train."""
        return _number(self.params.get(Params.TRAINABLE))

    @property
    def training_seconds(self) -> float:
        """How long the weights of a final run trained, on average; 0 where nothing trains, nan where not measured."""
        if self.tuning == "none":
            return 0.0
        return mean([final.training_seconds for final in self.finals])

    @property
    def generality_kept(self) -> float:
        """How much of its skill on general text it kept: perplexity before over perplexity after.

        1: nothing was lost; 0.5: every token of general text is twice as surprising as before; nan: not measured.
        """
        after = self.score(Metrics.PERPLEXITY)
        return self.score(f"{Metrics.PERPLEXITY}{Metrics.BEFORE}") / after if after else math.nan


def _number(text: str | None) -> int | None:
    return int(text) if text else None
