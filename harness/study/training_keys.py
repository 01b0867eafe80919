"""``training:`` in a study file: how every trial and final run trains, and which of its keys a search may draw."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from harness.core.number_types import Amount, Count, Decay, Share
from harness.core.yaml_section import Section

__all__ = ["UNSEARCHED", "Precision", "Training"]

Precision = Literal["fp32", "bf16"]

UNSEARCHED = {
    "max_source_tokens": "it says what the model reads, and so makes other data",
    "max_target_tokens": "it says which rows are trained on, and so makes other data",
    "patience": "it says which epoch counts, by what the search itself goes by",
    "keep": "it says which epoch counts, by what the search itself goes by",
    "precision": "it says how numbers are computed, not what is learnt",
    "device": "it says where numbers are computed, not what is learnt",
}
"""The keys that no search draws, and why."""


class Training(Section):
    """How every trial and final run trains."""

    epochs: Count = 3
    """Passes over the training split."""
    batch_size: Count = 16
    """Examples per forward pass; a length bucket's last batch may hold fewer."""
    accumulation: Count = 1
    """Forward passes per optimizer step."""
    max_source_tokens: Count | None = None
    """The most tokens of a rendered prompt; left out: the task's. Beyond, its shortened field is cut."""
    max_target_tokens: Count | None = None
    """The most tokens of a training target; left out: the task's. Longer rows are dropped and counted."""
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    """How the learning rate falls after warm-up."""
    warmup: Share = 0.0
    """Share of the steps over which the learning rate rises from zero."""
    weight_decay: Decay = 0.0
    """AdamW's, on matrices alone: norms and biases are left out."""
    clip: Amount | None = 1.0
    """The largest gradient norm; ``null``: no clipping."""
    patience: Count | None = None
    """A run stops after so many epochs in a row without a better objective on validation; left out: never."""
    keep: Literal["last", "best"] = "last"
    """The epoch whose value and weights are a run's: its last one, or its best by the objective on validation."""
    precision: Precision = "fp32"
    """Arithmetic of training and scoring: ``fp32`` the reference; ``bf16`` float32 weights, bfloat16 products."""
    device: Literal["auto", "cuda", "mps", "cpu"] = "auto"
    """``auto`` takes the first of cuda, mps and cpu that is there."""

    @model_validator(mode="after")
    def _can_stop(self) -> Training:
        if self.patience is not None and self.patience >= self.epochs:
            raise ValueError(
                f"training.patience {self.patience} could stop no run of {self.epochs} epochs; lower it or leave it out"
            )
        return self
