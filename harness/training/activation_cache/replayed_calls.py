"""Replayed calls of a model: the one for a loss, and the first one of generation."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple

from torch import Tensor
from transformers import PreTrainedModel

from harness.models.frozen.capture import CapturePoint, Rows, capture_points
from harness.models.frozen.capture_kv import kv_capture_points
from harness.training.decoding import prefill
from harness.training.loss import label_logits

__all__ = ["ReplayedCall", "generation_start", "loss_call"]


class ReplayedCall(NamedTuple):
    """What a recording is for."""

    name: str
    """Part of the recordings' keys."""
    points: Callable[[PreTrainedModel, int], list[CapturePoint]]
    """What is recorded at a cut."""
    logits: Callable[[Rows, AbstractContextManager[None]], Tensor]
    """Calls the model as it will be called, and enters a context around what is replayed."""

    @property
    def starts_generation(self) -> bool:
        """Whether it is generation's first call, not one for a loss."""
        return self.points is kv_capture_points


def loss_call(model: PreTrainedModel) -> ReplayedCall:
    """Return the call that gives the logits which predict labels."""

    def logits(rows: Rows, replay: AbstractContextManager[None]) -> Tensor:
        with replay:
            return label_logits(model, rows)

    return ReplayedCall("loss", capture_points, logits)


def generation_start(model: PreTrainedModel) -> ReplayedCall:
    """Return the call that reads prompts."""
    # What an encoder makes of a prompt is the same for a loss.
    name = "loss" if model.config.is_encoder_decoder else "prefill"
    return ReplayedCall(name, kv_capture_points, lambda rows, replay: prefill(model, rows.inputs, replay))
