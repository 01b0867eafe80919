"""Predictions of blocks of text, whose likelihood is scored: a few are continued, to be looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.core.example import Prediction
from harness.data.tokenization import Row
from harness.training.evaluation import Likelihood

__all__ = ["CONTINUED", "text_predictions"]

CONTINUED = 8
"""Blocks that are continued from their beginning."""

Answered = Callable[[Sequence[Row], Sequence[Likelihood]], list[Prediction]]
"""Rows and the likelihoods of their targets -> a prediction for each."""


def text_predictions(
    ids: Sequence[str], rows: Sequence[Row], nlls: Sequence[Likelihood], answered: Answered | None
) -> list[Prediction]:
    """Return each block's likelihood as a prediction, a few of them with what follows their beginning.

    Args:
        ids: What the blocks are called.
        rows: What they are read as.
        nlls: Of each block.
        answered: Continues some; ``None``: none is continued, as of a masked model, which has one row for each token.
    """
    predictions = [Prediction(id, "", *likelihood) for id, likelihood in zip(ids, nlls, strict=True)]
    if answered is None:
        return predictions
    places = sorted({number * len(rows) // CONTINUED for number in range(CONTINUED)})
    continued = answered([rows[place] for place in places], [nlls[place] for place in places])
    for place, prediction in zip(places, continued, strict=True):
        predictions[place] = prediction
    return predictions
