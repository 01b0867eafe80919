"""How many examples would show the smallest difference of interest between the best cell and the baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from harness.stats.multiple_comparisons import Comparison
from harness.stats.power import examples_needed
from harness.stats.trained_cells import Runs, Trained

__all__ = ["Needed", "needed"]

IMAGINED = 500
"""Studies that are drawn at each number of examples, to see how often a difference would show."""


class Needed(NamedTuple):
    """How many examples would show a difference of interest, where what was found is undecided."""

    comparison: Comparison
    """The undecided one, best cell and baseline."""
    difference: float
    """The smallest difference of interest, in the metric's units: asked for, not observed."""
    examples: int | None
    """See `harness.stats.examples_needed`; at the level that this study's correction leaves to one comparison."""


def needed(
    best: str,
    to_baseline: Sequence[Comparison],
    cells: Mapping[str, Runs],
    trained: Mapping[str, Trained],
    smallest: float | None,
    *,
    seed: int,
) -> Needed | None:
    """Return what it takes, ``None`` where the best cell and the baseline are told apart, are one, or were not tested.

    Args:
        best: The best cell.
        to_baseline: All comparisons with the baseline.
        cells: Runs by cell.
        trained: The same cells, resampled.
        smallest: The difference; ``None`` or 0 where none is asked about.
        seed: Of the studies that are drawn.
    """
    comparison = next((one for one in to_baseline if one.a == best), None)
    if not smallest or comparison is None or comparison.verdict != "undecided" or math.isnan(comparison.difference.p):
        return None
    one, other = comparison.a, comparison.b
    examples = examples_needed(
        (cells[one], cells[other]),
        (trained[one], trained[other]),
        smallest,
        generator=np.random.default_rng(seed),
        level=1 - 0.05 / sum(not one.reason for one in to_baseline),
        resamples=IMAGINED,
    )
    return Needed(comparison, smallest, examples)
