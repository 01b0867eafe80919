"""What a run's curve says of losses beside the scores of a split."""

from __future__ import annotations

from harness.tracking.schema import Metrics

__all__ = ["losses"]


def losses(train: float, minimized: float | None, validation: float) -> dict[str, float]:
    """Return an epoch's train loss and its gap to the validation loss after it, in nats a token, as metrics.

    Both are cross entropy; what is minimized is told beside them where it is something else. The train loss is a mean
    over the epoch, while the weights move: early on the gap is negative. Its growth tells that a model overfits.
    """
    criterion = {} if minimized is None else {Metrics.TRAIN_CRITERION: minimized}
    return {Metrics.TRAIN_LOSS: train, Metrics.TRAIN_GAP: validation - train, **criterion}
