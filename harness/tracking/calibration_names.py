"""What final runs say of the labels that they were calibrated by: the names of metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

__all__ = ["LABEL_PRIOR", "prior_metrics"]

LABEL_PRIOR: Final = "label_prior/"
"""What the names of metrics begin with that are probabilities of labels behind inputs that say nothing."""


def prior_metrics(prior: Sequence[float]) -> dict[str, float]:
    """Return the probability of each label by the name of its metric, which has its place among a prompt's labels.

    >>> prior_metrics([0.75, 0.25])
    {'label_prior/0': 0.75, 'label_prior/1': 0.25}
    """
    return {f"{LABEL_PRIOR}{place}": share for place, share in enumerate(prior)}
