"""``training:`` in a study file: how every trial and final run trains, and which of its keys a search may draw."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, model_validator

from harness.core.closest_match import closest
from harness.core.named_path import OF_FILE, MayBePath
from harness.core.number_types import Amount, Count, Decay, Factor, Share
from harness.core.yaml_section import Section
from harness.study.checkpoint_keys import Checkpointing

__all__ = ["COMPUTED", "LOSSES", "UNSEARCHED", "Precision", "Training", "training_identity"]

Precision = Literal["fp32", "bf16"]

UNSEARCHED = {
    "max_source_tokens": "it says what the model reads, and so makes other data",
    "max_target_tokens": "it says which rows are trained on, and so makes other data",
    "block_tokens": "it says where text is cut, and so makes other data",
    "scored_tokens": "it says what is scored, not what is learnt",
    "patience": "it says which epoch counts, by what the search itself goes by",
    "keep": "it says which epoch counts, by what the search itself goes by",
    "evaluate_every": "it says when a run is scored, not what is learnt",
    "precision": "it says how numbers are computed, not what is learnt",
    "device": "it says where numbers are computed, not what is learnt",
    "gradient_checkpointing": "it says what is kept in memory, not what is learnt",
    "checkpoint": "it says what a kill costs, not what is learnt",
}
"""The keys that no search draws, and why."""

LOSSES = ("cross_entropy", "focal", "mse")
"""The losses of the harness; `harness.training.criteria` has them."""


def _known_loss(loss: str) -> str:
    """Refuse what is neither a loss of the harness nor a function of a Python file."""
    if loss not in LOSSES and not OF_FILE.fullmatch(loss):
        hint = closest(loss, LOSSES)
        raise ValueError(
            f"training.loss is {loss!r}; {hint}; one of your own is a file and its function: losses.py:mine"
        )
    return loss


LossName = Annotated[str, AfterValidator(_known_loss), MayBePath(lambda text: text not in LOSSES)]


class Training(Section):
    """How every trial and final run trains."""

    epochs: Count | None = 3
    """Passes over the training split, where no ``steps`` are said."""
    steps: Count | None = None
    """Optimizer steps, in place of epochs: those beyond an epoch go into the next one's batches."""
    evaluate_every: Count | None = None
    """How many optimizer steps lie between two scores on validation, which the curve, the pruner, ``patience`` and
    ``keep`` go by; there is one behind the last step in any case. Left out: one behind each epoch."""
    batch_size: Count = 16
    """Examples per forward pass; a length bucket's last batch may hold fewer."""
    accumulation: Count = 1
    """Forward passes per optimizer step."""
    max_source_tokens: Count | None = None
    """The most tokens of a rendered prompt; left out: the task's. Beyond, its shortened field is cut."""
    max_target_tokens: Count | None = None
    """The most tokens of a training target; left out: the task's. Longer rows are dropped and counted."""
    block_tokens: Count | None = None
    """Of a task of plain text: the tokens of a block that text is cut into; left out: 128."""
    scored_tokens: Count | None = None
    """Of plain text with a masked model: how many tokens of each block are scored, a pass of the block for each; drawn
    once, the same in all cells. Left out: all."""
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    """How the learning rate falls after warm-up."""
    warmup: Share = 0.0
    """Share of the steps over which the learning rate rises from zero."""
    weight_decay: Decay = 0.0
    """The optimizer's, on matrices alone: norms and biases are left out."""
    optimizer: Literal["adamw", "adafactor", "sgd"] = "adamw"
    """``adafactor`` takes the learning rate as its step, as AdamW does; ``sgd`` has momentum 0.9, and needs far larger
    learning rates."""
    block_decay: Factor = 1.0
    """What the learning rate of each block is multiplied by, beginning below the last one; embeddings learn at the
    first block's times this, the head and the final norm at the last one's."""
    loss: LossName = "cross_entropy"
    """What is minimized: ``cross_entropy``, ``focal``, ``mse`` (of the probabilities: Brier's score), or a function of
    your own, ``losses.py:mine``. Validation is scored by cross entropy all the same."""
    label_smoothing: Share = 0.0
    """Of cross entropy: the share of each target's probability that is spread evenly over the vocabulary."""
    clip: Amount | None = 1.0
    """The largest gradient norm; ``null``: no clipping."""
    patience: Count | None = None
    """A run stops after so many scores in a row, one an epoch or as ``evaluate_every`` says, without a better objective
    on validation; left out: never."""
    keep: Literal["last", "best"] = "last"
    """Whose value and weights are a run's: those of its last epoch or step, or of the best by the objective on
    validation."""
    precision: Precision = "fp32"
    """Arithmetic of training and scoring: ``fp32`` the reference; ``bf16`` float32 weights, bfloat16 products."""
    device: Literal["auto", "cuda", "mps", "cpu"] = "auto"
    """``auto`` takes the first of cuda, mps and cpu that is there."""
    gradient_checkpointing: Literal["auto", True, False] = "auto"
    """Whether training keeps no values inside of blocks, and computes them again: less memory, more time, the same
    numbers. ``auto``: where a step would not fit the free memory."""
    checkpoint: Checkpointing | None = Checkpointing()
    """How often a run that is under way is put by, to be gone on with after a kill; ``null``: never."""

    @model_validator(mode="after")
    def _has_one_length(self) -> Training:
        if self.steps is None:
            if self.epochs is None:
                raise ValueError("training.epochs is null; set it, or training.steps in its place")
            return self
        if self.epochs is not None and "epochs" in self.model_fields_set:
            raise ValueError(
                f"training.epochs {self.epochs} and training.steps {self.steps} both say how long a run trains; leave "
                "one of them out"
            )
        object.__setattr__(self, "epochs", None)  # the default is none of a run that is counted in steps
        if self.evaluate_every is not None and self.evaluate_every > self.steps:
            raise ValueError(
                f"training.evaluate_every {self.evaluate_every} is more than the {self.steps} steps of a run; lower it "
                "or leave it out"
            )
        return self

    @model_validator(mode="after")
    def _can_stop(self) -> Training:
        if self.patience is not None and (most := self.scores()) and self.patience >= most:
            unit = "scores" if self.counts_steps else "epochs"
            raise ValueError(
                f"training.patience {self.patience} could stop no run of {most} {unit}; lower it or leave it out"
            )
        return self

    @model_validator(mode="after")
    def _smooths(self) -> Training:
        if self.label_smoothing and self.loss != "cross_entropy":
            raise ValueError(
                f"training.label_smoothing {self.label_smoothing} is of cross entropy alone, but training.loss is "
                f"{self.loss!r}; leave one of the two out"
            )
        return self

    @property
    def unsaid(self) -> frozenset[str]:
        """The keys about a run's length that say nothing of it."""
        return frozenset(key for key in ("epochs", "steps", "evaluate_every") if getattr(self, key) is None)

    @property
    def counts_steps(self) -> bool:
        """Whether a run's curve is drawn by optimizer steps, and not by epochs."""
        return self.steps is not None or self.evaluate_every is not None

    def scores(self, steps: int | None = None) -> int | None:
        """Return how often a run is scored; ``None`` where only an epoch's steps tell.

        Args:
            steps: Of an epoch, where they are known.
        """
        total = self.length(steps) if steps else self.steps
        if self.evaluate_every is not None:
            return None if total is None else math.ceil(total / self.evaluate_every)
        if self.steps is None:
            return self.epochs
        return math.ceil(self.steps / steps) if steps else None

    def length(self, steps: int) -> int:
        """Return how many optimizer steps a run has, given those of an epoch."""
        return self.steps if self.steps is not None else (self.epochs or 0) * steps


COMPUTED = {"device", "gradient_checkpointing", "checkpoint"}
"""Keys that say where numbers are computed, and what of them is kept meanwhile; the numbers are the same."""

LATER = (
    "optimizer",
    "block_decay",
    "loss",
    "label_smoothing",
    "steps",
    "evaluate_every",
    "block_tokens",
    "scored_tokens",
)
"""Keys that came when there were studies, whose cells stay what they are."""


def training_identity(training: Training) -> dict[str, Any]:
    """Return what of a study's training section its results depend on; of a loss of one's own no path, but its name."""
    said = training.model_dump(exclude=COMPUTED)
    own = OF_FILE.fullmatch(training.loss)
    if own:
        said["loss"] = own["function"]
    return {key: value for key, value in said.items() if key not in LATER or value != _default(key)}


def _default(key: str) -> Any:
    return Training.model_fields[key].default
