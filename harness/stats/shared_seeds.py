"""Seeds that cells share: the runs of such cells have the same weights, and answer by other settings with them.

Another seed moves the scores of all these cells at once, so that seeds are crossed with the cells, not nested in each:
readers who read under several treatments (Obuchowski & Rockette 1995). The variance over seeds of a weighted sum of
them is that of single seeds' sums, which in a difference leaves out what a seed does to both, as a paired t-test does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.stats.resampling import Floats
from harness.stats.seed_variance import SeedVariance

__all__ = ["SharedSeeds", "shared_seeds"]


@dataclass(frozen=True, eq=False)
class SharedSeeds:
    """Two cells or more with the same weights, each with two runs or more."""

    scores: Floats
    """Of each run on all examples, shape (cells, seeds)."""
    by_examples: Floats
    """The part of the scores' covariance over seeds that is examples moving runs apart, shape (cells, cells)."""

    def weighed(self, weights: Floats) -> SeedVariance:
        """Return the variance over seeds of one seed's weighted sum, the weights of shape (cells,)."""
        with np.errstate(invalid="ignore"):  # an infinite perplexity has no variance
            square = float(np.var(weights @ self.scores, ddof=1))
            by_examples = max(0.0, float(weights @ self.by_examples @ weights))
        return SeedVariance(max(0.0, square - by_examples), square, self.scores.shape[1] - 1.0)

    @property
    def interaction(self) -> tuple[SeedVariance, float]:
        """What a cell and a seed do to a score together, beyond what each does; and the part of it by examples.

        The mean square of a two-way layout. Of two cells it is half the variance of their differences.
        """
        cells, seeds = self.scores.shape
        with np.errstate(invalid="ignore"):
            moved = self.scores - self.scores[0]  # alike cells are 0 to the last bit
            rest = moved - moved.mean(axis=0) - moved.mean(axis=1, keepdims=True) + moved.mean()
            degrees = (cells - 1.0) * (seeds - 1.0)
            square = float(np.sum(rest**2)) / degrees
            within = float(np.trace(self.by_examples) - self.by_examples.sum() / cells) / (cells - 1)
        by_examples = max(0.0, within)
        return SeedVariance(max(0.0, square - by_examples), square, degrees), by_examples


def shared_seeds(scores: Sequence[Sequence[float]], drawn: Sequence[Floats]) -> SharedSeeds:
    """Return what cells with the same weights share.

    Args:
        scores: By cell, of each run on all examples; the runs in one order.
        drawn: By cell, of each run on each resample of the examples, shape (runs, resamples).
    """
    with np.errstate(invalid="ignore"):
        apart = np.stack([cell - cell.mean(axis=0) for cell in drawn])  # (cells, runs, resamples)
        apart -= apart.mean(axis=2, keepdims=True)
        _, runs, resamples = apart.shape
        by_examples = np.einsum("irs,jrs->ij", apart, apart) / ((resamples - 1) * (runs - 1))
    return SharedSeeds(np.array(scores, dtype=np.float64), by_examples)
