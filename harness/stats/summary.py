"""A handful of values in two numbers."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

__all__ = ["mean", "spread"]


def mean(values: Sequence[float]) -> float:
    """Return the mean, nan of nothing.

    >>> mean([1.0, 2.0])
    1.5
    """
    return statistics.fmean(values) if values else math.nan


def spread(values: Sequence[float]) -> float:
    """Return the sample standard deviation (n - 1), nan of fewer than two values, or where one is infinite.

    >>> spread([1.0, 3.0]) == 2**0.5
    True
    >>> spread([1.0, math.inf])
    nan
    """
    return statistics.stdev(values) if len(values) > 1 and all(map(math.isfinite, values)) else math.nan
