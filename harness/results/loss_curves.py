"""Losses by epoch: how a cell learned, and how far train and validation came apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from harness.tracking.schema import Metrics
from harness.tracking.store_protocols import RunStore
from harness.tracking.stored_run import Run

__all__ = ["Losses", "read_losses"]


class Losses(NamedTuple):
    """One training run, epoch by epoch; nats a token."""

    run: str
    """``seed 11`` or ``trial 3``."""
    train: Mapping[int, float]
    """By epoch, from 1: the mean over its steps."""
    validation: Mapping[int, float]
    """By epoch: after it."""


def read_losses(tracker: RunStore, runs: Mapping[str, Sequence[Run]]) -> dict[str, tuple[Losses, ...]]:
    """Return the losses of some runs of each cell, by its id; what was not logged by epoch is left out."""
    ids = [run.id for own in runs.values() for run in own if Metrics.TRAIN_LOSS in run.metrics]
    found = tracker.histories(ids, (Metrics.TRAIN_LOSS, Metrics.VALIDATION_LOSS))
    return {
        cell: tuple(_losses(run.name, found[run.id]) for run in own if run.id in found) for cell, own in runs.items()
    }


def _losses(run: str, found: Mapping[str, Mapping[int, float]]) -> Losses:
    train = found[Metrics.TRAIN_LOSS]  # a run that goes back to an earlier epoch scores it once more, past its last one
    return Losses(run, train, {epoch: loss for epoch, loss in found[Metrics.VALIDATION_LOSS].items() if epoch in train})
