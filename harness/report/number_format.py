"""Numbers as people read them, one function for each kind; a hyphen stands for what is not defined.

Terminal, Markdown and MLflow's notes take them as they are, the page with the signs of print: see `typeset`.
"""

from __future__ import annotations

import math
import re

from harness.results.collect import Results
from harness.stats import Estimate, Interval

__all__ = [
    "UNDEFINED",
    "amount",
    "difference",
    "duration",
    "interval",
    "interval_of",
    "learning_rate",
    "percent",
    "places",
    "probability",
    "score",
    "significant",
    "study_places",
    "typeset",
]

UNDEFINED = "-"


def places(value: float) -> int:
    """Return the decimals of a score of this size: scores up to 1 get four, scores up to 100 two."""
    return 4 if abs(value) < 1.5 else 2


def study_places(results: Results) -> int:
    """Return the decimals that tables show all scores of a study with, by the largest of them."""
    names = [f"{split}/{results.lead}" for split in ("validation", "test")]
    scores = [abs(cell.score(name)) for cell in results.cells for name in names]
    return places(max((score for score in scores if not math.isnan(score)), default=0.0))


def score(value: float, decimals: int | None = None) -> str:
    """Return a score, with the decimals of its size unless some are given."""
    return UNDEFINED if math.isnan(value) else f"{value:.{places(value) if decimals is None else decimals}f}"


def difference(value: float, decimals: int) -> str:
    """Return a difference, always with its sign, which of one that rounds to 0 is a plus.

    >>> [difference(value, 2) for value in (-0.001, 0.0, -0.5)]
    ['+0.00', '+0.00', '-0.50']
    """
    return UNDEFINED if math.isnan(value) else f"{round(value, decimals) + 0.0:+.{decimals}f}"


def interval(estimate: Estimate | None, decimals: int | None = None, *, signed: bool = False) -> str:
    """Return the ends of an interval, with the decimals of its middle unless some are given; ends may have signs."""
    if estimate is None or math.isnan(estimate.low):
        return "no spread seen" if estimate and estimate.error == 0 else UNDEFINED
    decimals = places(estimate.value) if decimals is None else decimals
    return " to ".join(f"{end:{'+' * signed}.{decimals}f}" for end in (estimate.low, estimate.high))


def interval_of(told: Interval, decimals: int, *, signed: bool = False) -> str:
    """Return the ends of an interval that is no estimate's, with commas between thousands; ends may have signs."""
    return " to ".join(f"{end:{'+' * signed},.{decimals}f}" for end in (told.low, told.high))


def probability(value: float) -> str:
    """Return a p-value."""
    return UNDEFINED if math.isnan(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"


def learning_rate(rate: float | None, digits: int = 2) -> str:
    """Return a learning rate; ``None`` where nothing trains."""
    return UNDEFINED if rate is None else f"{rate:.{digits}g}"


def amount(value: float | None, decimals: int = 0) -> str:
    """Return how much of something there is, with commas between thousands."""
    return UNDEFINED if value is None or math.isnan(value) else f"{value:,.{decimals}f}"


def significant(value: float) -> str:
    """Return three digits of a number that may be of any size, all digits before the point from 1000 on."""
    return amount(value) if math.isnan(value) or value >= 1000 else f"{value:.3g}"


def percent(share: float) -> str:
    """Return a share; small ones keep a digit that is not 0.

    >>> [percent(share) for share in (0.0, 0.0004, 0.0123, 0.996, 1.0)]
    ['0%', '0.04%', '1.2%', '99.6%', '100%']
    """
    if math.isnan(share):
        return UNDEFINED
    return f"{100 * share:.1g}%" if 0 < share < 0.01 else f"{100 * share:.1f}%".replace(".0%", "%")


def duration(seconds: float) -> str:
    """Return a time in the two largest of its units.

    >>> [duration(seconds) for seconds in (7, 61, 3720)]
    ['7 s', '1 min 01 s', '1 h 02 min']
    """
    if math.isnan(seconds):
        return UNDEFINED
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def typeset(text: str) -> str:
    """Return a number with a real minus sign, and a dash for what is not defined.

    >>> [typeset(text) for text in ("-0.5 to +0.5", "1e-05", "-")]
    ['−0.5 to +0.5', '1e-05', '–']
    """
    return "–" if text == UNDEFINED else re.sub(r"(?<![\w.])-(?=\d)", "−", text)
