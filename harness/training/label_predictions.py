"""Predictions of a prompt that is answered by a label, calibrated where it says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.core.example import Prediction
from harness.data.label_words import calibration_of, labels_of
from harness.study.grid import Cell
from harness.training.batching import Batch, loss_batches
from harness.training.choosing import chosen, label_prior
from harness.training.forward_batch import ForwardBatch
from harness.training.loss import ForwardPass
from harness.training.setup import TrainingSetup

__all__ = ["label_predictions"]


def label_predictions(
    forward: ForwardPass,
    batches: Sequence[Batch],
    setup: TrainingSetup,
    cell: Cell,
    size: ForwardBatch,
    tell: Callable[[int, int], None],
) -> tuple[list[Prediction], tuple[float, ...]]:
    """Return each choice's prediction, and the logarithms of what its probabilities were divided by, if by anything.

    Args:
        forward: The way to the logits of the rows that are chosen for, some of it replayed.
        batches: Of these.
        setup: With the model as it stands, which is asked for its prior now.
        cell: The run's, with the prompt that rows stand under.
        size: How many rows go through it at a time.
        tell: Told how many batches are done, and how many there are.
    """
    prior: tuple[float, ...] = ()
    if calibration_of(cell.prompt):
        free = loss_batches(setup.content_free(cell), setup.loaded, batch_size=setup.study.training.batch_size)
        prior = label_prior(setup.forward, free, size=size)
    return chosen(forward, batches, labels_of(cell.prompt), prior=prior, size=size, tell=tell), prior
