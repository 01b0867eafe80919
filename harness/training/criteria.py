"""Criteria: the losses that may train a model in cross entropy's place, each label's by itself.

A criterion is a function of logits, labels and weights; see `Criterion`. Validation is scored by cross entropy all the
same, so that cells compare.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot
from torch.overrides import TorchFunctionMode

from harness.study.training_keys import Training

__all__ = ["CRITERIA", "GAMMA", "Criterion", "Function", "criterion_of", "nlls_and_softmax"]

Function = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Logits, shape (labels, vocabulary), float32; labels, shape (labels,), token ids; weights, shape (labels,), of the
labels in the mean, 1 for each of them -> the loss of each label, shape (labels,)."""

GAMMA = 2.0
"""The power of the focal loss, as Lin et al. found it best."""


@dataclass(frozen=True)
class Criterion:
    """A loss with its gradient by the logits; a step minimizes its mean over the labels."""

    function: Function
    by_token: bool = True
    """Whether a label's loss is its own affair, so that labels may be computed some at a time."""

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of each label, differentiable, shape (labels,)."""
        return self.function(logits, labels, logits.new_ones(len(labels)))

    def slopes(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of each label, shape (labels,), and the gradient of their sum by the logits, of their shape.

        Torch's cross entropy is computed in it as `harness.training.loss_at_labels` does without a criterion, so that
        one that is nothing else trains the same weights to the last bit.
        """
        with torch.enable_grad(), _OneCrossEntropy():
            leaf = logits.detach().requires_grad_()
            losses = self.losses(leaf, labels)
            (slope,) = torch.autograd.grad(losses.sum(), leaf)
        return losses.detach().clone(), slope.contiguous()  # what they are views of may be used up


def _focal(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Return the focal loss: what is known already weighs little (Lin et al. 2017, "Focal Loss ...", equation 4)."""
    nlls = cross_entropy(logits, labels, reduction="none")
    return (1 - torch.exp(-nlls)) ** GAMMA * nlls


def _squared_error(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Return the squared distance of the probabilities from the target's, over the vocabulary (Brier 1950)."""
    shares = torch.softmax(logits, dim=-1)
    return (shares - one_hot(labels, logits.size(-1))).square().sum(-1)


def _smoothed(logits: Tensor, labels: Tensor, weights: Tensor, *, share: float) -> Tensor:
    """Return cross entropy with a share of the target spread evenly (Szegedy et al. 2016, "Rethinking ...", section 7).

    That share goes to all tokens of the vocabulary, the label among them.
    """
    return cross_entropy(logits, labels, reduction="none", label_smoothing=share)


CRITERIA: Mapping[str, Criterion] = {"focal": Criterion(_focal), "mse": Criterion(_squared_error)}
"""By their names in a study file, cross entropy apart."""


def criterion_of(training: Training, own: Criterion | None) -> Criterion | None:
    """Return what a training run minimizes, ``None`` for plain cross entropy.

    Args:
        training: The run's settings.
        own: The study's loss of one's own, if it has one.
    """
    if training.loss != "cross_entropy":
        return CRITERIA.get(training.loss, own)
    return Criterion(partial(_smoothed, share=training.label_smoothing)) if training.label_smoothing else None


def nlls_and_softmax(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return each label's negative log-likelihood (nats), shape (labels,), and the softmax, in the logits' place."""
    largest, of_labels = logits.amax(1), logits.gather(1, labels[:, None])[:, 0]  # (labels,)
    shares = torch.softmax(logits, dim=1, out=logits)
    # The largest share is exp(0) over the sum: its logarithm brings the sum back, and is never one of zero.
    # What all logits have in common goes first: it may be large, and rounding it would hide the rest.
    return (largest - of_labels) - shares.amax(1).log(), shares


PLAIN = {"size_average": None, "ignore_index": -100, "reduce": None, "reduction": "none", "label_smoothing": 0.0}
"""How torch's cross entropy of each label is called, with what it takes where nothing is said."""


class _OneCrossEntropy(TorchFunctionMode):
    """Answers torch's cross entropy of each label by `nlls_and_softmax`; with anything more to it, it is torch's."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        call = _each if func is cross_entropy else func
        return call(*args, **(kwargs or {}))


def _each(input: Tensor, target: Tensor, weight: Tensor | None = None, **options: Any) -> Tensor:
    is_plain = weight is None and {**PLAIN, **options} == PLAIN and input.dtype == torch.float32
    if is_plain and (input.ndim, target.ndim) == (2, 1) and bool((target >= 0).all()):
        losses: Tensor = _CrossEntropy.apply(input, target)  # type: ignore[no-untyped-call]
        return losses
    return cross_entropy(input, target, weight, **options)


class _CrossEntropy(torch.autograd.Function):
    """Cross entropy of each label, with the gradient that softmax minus one-hot is."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor) -> Tensor:
        nlls, shares = nlls_and_softmax(logits.detach().clone(), labels)
        ctx.save_for_backward(shares, labels)
        return nlls

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        shares, labels = ctx.saved_tensors
        slope = shares.clone()
        slope[torch.arange(len(labels), device=labels.device), labels] -= 1.0
        return slope * gradients[0][:, None], None
