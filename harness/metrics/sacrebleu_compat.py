"""Private parts of sacreBLEU: statistics segment by segment, and the way back to a score.

Its own significance tests stand on the same two methods. Tested with 2.6; without them there is no corpus score of
resampled segments, so there is nothing to fall back to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness.metrics.base import Vector

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric as Scorer

__all__ = ["segment_statistics", "summed_score"]


def segment_statistics(scorer: Scorer, text: str, references: Sequence[str]) -> Vector:
    """Return what one segment adds to the corpus score, shape (k,); each may have its own number of references."""
    statistics = scorer._extract_corpus_statistics([text], [[reference] for reference in references])
    return np.array(statistics[0], dtype=np.float64)


def summed_score(scorer: Scorer, summed: Vector) -> float:
    """Return the corpus score of summed statistics, shape (k,)."""
    return float(scorer._compute_score_from_stats(summed.tolist()).score)
