"""What the values of trials go with, where a study searches over more than the learning rate."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.results.cell_result import CellResult, Trial
from harness.results.collect import Results
from harness.results.search_budget import outcome, rises
from harness.stats.importance import Importance, importances
from harness.study.dimension import Dimension, Value
from harness.study.written_space import RATE

__all__ = ["search_effects", "terms_of"]

Floats = NDArray[np.float64]


def search_effects(results: Results) -> dict[str, Importance]:
    """Return the importance of each hyperparameter over the trials of all cells.

    A range counts by a parabola over its place in it, choices by their levels; the learning rate has a parabola for
    each tuning, since the best one differs with how much trains. Empty where the learning rate is all, or trials are
    too few.
    """
    drawn = [(cell, trial) for cell in results.cells for trial in cell.trials]
    names = [d.name for d in results.space.dimensions if len(d.choices) != 1]
    if len(results.space.names) < 2 or not drawn:
        return {}
    sign = -1.0 if rises(results) else 1.0
    values = [sign * value if math.isfinite(value := outcome(t, results)) else math.inf for _, t in drawn]
    terms = {name: _terms(name, drawn, results) for name in names}
    return importances(values, [cell.id for cell, _ in drawn], terms)


def _terms(name: str, drawn: Sequence[tuple[CellResult, Trial]], results: Results) -> Floats:
    spaces = [results.space_of(cell).find(name) for cell, _ in drawn]
    rows = [
        terms_of(own, trial.hyperparameters[name]) if name in trial.hyperparameters else None
        for own, (_, trial) in zip(spaces, drawn, strict=True)
        if own
    ]
    width = max((len(row) for row in rows if row), default=0)
    rows = [row or [0.0] * width for row in rows]  # of an adapter's option: other tunings have none
    columns = np.array(rows, dtype=np.float64)
    if name != RATE:
        return columns
    tunings = [cell.tuning for cell, _ in drawn]
    own = [np.array([tuning == one for tuning in tunings])[:, None] * columns for one in dict.fromkeys(tunings)]
    return np.hstack(own)


def terms_of(dimension: Dimension, value: Value) -> list[float]:
    """Return what a value is in a linear model: a parabola over its place in a range, or which choice it is."""
    if dimension.choices:
        return [float(value == choice) for choice in dimension.choices[1:]]
    place = dimension.place(value)
    return [place, place**2]
