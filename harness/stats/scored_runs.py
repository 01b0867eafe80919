"""Final runs of a study made ready to be resampled, and how many resamples of them a report can afford."""

from __future__ import annotations

import numpy as np

from harness.metrics.base import Metric
from harness.stats.answers import Answers, Scored, groups_of
from harness.stats.resampling import RESAMPLES
from harness.stats.trained_cells import Runs
from harness.stats.trained_cells import runs as ready

__all__ = ["affordable", "are_stacked", "prepared_runs"]

BUDGET = 150_000
"""Scores of resamples that a report may take, all runs together: some seconds for a corpus metric."""

FEWEST = 500
"""Resamples where runs are many; standard errors then wander by about 3%, quantiles by about twice that."""

LISTED = 500
"""Resamples for a metric whose statistics are no vectors of one length: each is scored from its texts."""


def prepared_runs(answers: Answers, scored: Scored, metric: Metric) -> dict[str, Runs]:
    """Return the runs of every cell and reference row, by name."""
    groups, everyone = groups_of(answers.examples), {**answers.cells, **answers.references}
    return {
        name: ready(scored[name], metric.reduce, seeded=one.seeded, groups=groups, weights=one.weights)
        for name, one in everyone.items()
    }


def affordable(scored: Scored) -> int:
    """Return how many resamples to score: fewer where there are many runs, or where each is scored from texts."""
    runs = sum(len(cell) for cell in scored.values())
    return max(FEWEST, min(RESAMPLES, BUDGET // runs)) if are_stacked(scored) else LISTED


def are_stacked(scored: Scored) -> bool:
    """Return whether statistics are vectors of one length, so that resamples are scored by arithmetic alone."""
    every = (one for cell in scored.values() for run in cell for one in run)
    shapes = {one.shape if isinstance(one, np.ndarray) else None for one in every}
    return len(shapes) == 1 and None not in shapes
