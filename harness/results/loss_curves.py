"""Losses by epoch or step: how a cell learned, and how far train and validation came apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from harness.tracking.schema import Metrics
from harness.tracking.store_protocols import RunStore
from harness.tracking.stored_run import Run

__all__ = ["Losses", "curve_unit", "read_losses"]


class Losses(NamedTuple):
    """One training run, epoch by epoch, or by the optimizer steps behind which it was scored; nats a token."""

    run: str
    """``seed 11`` or ``trial 3``."""
    train: Mapping[int, float]
    """By epoch, from 1: the mean over its steps; by step: over those since the score before."""
    validation: Mapping[int, float]
    """By epoch or step: after it."""


def curve_unit(settings: Mapping[str, Any]) -> str:
    """Return what a study counts its curves by, ``epoch`` or ``step``, given the whole of it as it was stored."""
    training = settings.get("training", {})
    return "step" if training.get("steps") or training.get("evaluate_every") else "epoch"


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
