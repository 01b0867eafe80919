"""What cells said to the same examples, and what each prediction contributes to a metric: what claims are made from."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

from harness.core.example import Example, Prediction
from harness.metrics.base import Metric, Statistic
from harness.metrics.likelihood import OF_LIKELIHOODS

__all__ = ["Answered", "Answers", "Scored", "StoredScores", "groups_of", "score_answers", "units"]


class StoredScores(NamedTuple):
    """A run's scores as they were when it was made."""

    run: str
    """Its name."""
    metrics: Mapping[str, float]
    """``validation/<metric>`` and ``test/<metric>``, among others."""


class Answered(NamedTuple):
    """What the final runs of one cell said to the examples."""

    runs: tuple[tuple[Prediction, ...], ...]
    """One for each final run, in the order of its seeds; predictions in the order of the examples."""
    seeded: bool
    """Whether another seed would give another run; not so where nothing trains."""
    stored: tuple[StoredScores, ...] = ()
    """What the store says of each of the runs; empty of runs that no store holds."""
    weights: tuple[str, ...] = ()
    """Digest of each run's weights; empty where one is not known. Cells with the same are paired by seed."""


class Answers(NamedTuple):
    """What all cells said to the same examples."""

    examples: tuple[Example, ...]
    cells: Mapping[str, Answered]
    """By cell id, in grid order."""
    references: Mapping[str, Answered]
    """By name: rows that need no model."""

    @property
    def kept_off(self) -> bool:
        """Whether some texts were kept off the store, which has what they contribute to metrics instead."""
        return any(said.statistics is not None for said in self._first_ones())

    def lacks(self, metric: Metric) -> bool:
        """Return whether a metric needs texts that were kept off the store."""
        reads_texts = metric.name not in OF_LIKELIHOODS
        return reads_texts and any(metric.name not in (said.statistics or {metric.name}) for said in self._first_ones())

    def _first_ones(self) -> list[Prediction]:
        return [run[0] for said in (*self.cells.values(), *self.references.values()) for run in said.runs if run]


Scored = Mapping[str, Sequence[Sequence[Statistic]]]
"""Per cell or reference row, per run, per example: what that prediction contributes to the metric."""


def score_answers(answers: Answers, metric: Metric) -> Scored:
    """Return what every stored prediction contributes to a metric; texts are read here and nowhere else."""
    return {
        name: [
            [metric.contribution(said, example) for said, example in zip(run, answers.examples, strict=True)]
            for run in cell.runs
        ]
        for name, cell in {**answers.cells, **answers.references}.items()
    }


def groups_of(examples: Sequence[Example]) -> list[Hashable] | None:
    """Return each example's group, None where every example stands by itself."""
    groups: list[Hashable] = [place if one.group is None else one.group for place, one in enumerate(examples)]
    return groups if len(set(groups)) < len(groups) else None


def units(examples: Sequence[Example]) -> int:
    """Return how many units tests resample: groups, and examples that belong to none; below two there are no tests."""
    return len(set(groups_of(examples) or range(len(examples))))
