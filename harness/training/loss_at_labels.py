"""The loss straight from hidden states, a slice of the labels at a time: cross entropy, or another criterion.

With a vocabulary of tens of thousands the logits, their softmax and its gradient are the largest arrays of a step.
Here they exist for one slice of labels, and the gradient is taken while they are there.
Liger-Kernel (Hsu et al. 2024, section 3.2) does the same on GPUs, fused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from harness.training.criteria import Criterion, nlls_and_softmax
from harness.training.fast_matmul import product

__all__ = ["HeadLoss"]

ROOM = 2**23
"""The most logits at a time: 32 MiB in float32."""


class HeadLoss:
    """The loss behind an output projection whose logits the model uses as they are.

    Args:
        head: Its weight may train; while it does not, it is converted to `dtype` once, unless it is held in less.
        dtype: Of the matrix products; logarithms and sums are float32.
    """

    def __init__(self, head: nn.Linear, dtype: torch.dtype) -> None:
        self.head, self.dtype = head, dtype
        self._frozen: Tensor | None = None

    def nlls(self, hidden: Tensor, labels: Tensor) -> Tensor:
        """Return each label's negative log-likelihood (nats, float32), shape (labels,); not differentiable.

        Args:
            hidden: What the head would be handed, shape (labels, width).
            labels: Token ids, shape (labels,).
        """
        with torch.no_grad():
            return torch.cat(
                [nlls_and_softmax(logits, targets)[0] for logits, targets, _ in self.slices(hidden, labels)]
            )

    def total(self, hidden: Tensor, labels: Tensor) -> Tensor:
        """Return the summed negative log-likelihood (nats, float32), a scalar; see `nlls`."""
        return self.totals(hidden, labels, None)[0]

    def totals(self, hidden: Tensor, labels: Tensor, criterion: Criterion | None) -> tuple[Tensor, Tensor]:
        """Return the sum of what is minimized, and of negative log-likelihoods, which is not differentiable; scalars.

        Args:
            hidden: As `nlls` has it.
            labels: Likewise.
            criterion: What is minimized; ``None``: the negative log-likelihood.
        """
        weight, bias = self.head.weight, self.head.bias
        loss, nll = _Total.apply(hidden, weight, bias, labels, self, criterion)  # type: ignore[no-untyped-call]
        return loss, nll

    def slices(self, hidden: Tensor, labels: Tensor, *, whole: bool = False) -> Iterator[tuple[Tensor, Tensor, slice]]:
        """Yield float32 logits, labels, and where they stand; all at once if they are to be whole."""
        weight, bias = self.weight(), self.head.bias
        hidden = hidden.to(self.dtype)
        step = max(1, len(labels) if whole else ROOM // len(weight))
        for start in range(0, len(labels), step):
            where = slice(start, min(start + step, len(labels)))
            logits = product(self.head, hidden[where], weight)  # (labels, vocabulary)
            if bias is not None:
                logits += bias
            yield logits.float(), labels[where], where

    def weight(self) -> Tensor:
        """Return the head's matrix in `dtype` or what it is held in, shape (vocabulary, width)."""
        weight = self.head.weight.detach()
        if weight.dtype.itemsize < self.dtype.itemsize:
            return weight
        if weight.dtype == self.dtype or self.head.weight.requires_grad:
            return weight.to(self.dtype)
        if self._frozen is None:
            self._frozen = weight.to(self.dtype)
        return self._frozen


class _Total(torch.autograd.Function):
    """The sums, with the gradients of the first made in the forward pass and scaled in the backward one."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        labels: Tensor,
        loss: HeadLoss,
        criterion: Criterion | None,
    ) -> tuple[Tensor, Tensor]:
        low, matrix = hidden.detach().to(loss.dtype), loss.weight()
        need = ctx.needs_input_grad
        by_hidden = torch.empty_like(low) if need[0] else None
        by_weight: Tensor | None = None
        by_bias = torch.zeros_like(bias) if bias is not None and need[2] else None
        total, nll = torch.zeros((), device=hidden.device), torch.zeros((), device=hidden.device)
        whole = criterion is not None and not criterion.by_token
        for logits, own, where in loss.slices(low, labels, whole=whole):
            losses, nlls, slope = _slopes(logits, own, criterion)
            total += losses.sum()
            nll += nlls.sum()
            if by_bias is not None:
                by_bias += slope.sum(0).to(by_bias.dtype)
            slope = slope.to(loss.dtype)
            if by_hidden is not None:
                by_hidden[where] = product(loss.head, slope, matrix.t())
            if need[1]:
                part = product(loss.head, slope.t(), low[where].t()).to(weight.dtype)
                by_weight = part if by_weight is None else by_weight.add_(part)
        ctx.gradients = None if by_hidden is None else by_hidden.to(hidden.dtype), by_weight, by_bias
        ctx.mark_non_differentiable(nll)
        return total, nll

    @staticmethod
    def backward(ctx: Any, *scales: Tensor) -> tuple[Tensor | None, ...]:
        gradients = [None if each is None else each.mul_(scales[0]) for each in ctx.gradients]
        del ctx.gradients  # a second pass would scale them twice
        return (*gradients, None, None, None)


def _slopes(logits: Tensor, labels: Tensor, criterion: Criterion | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return losses and negative log-likelihoods, shape (labels,), and the losses' gradient by the logits.

    The logits' memory is used up.
    """
    if criterion is not None:
        losses, slope = criterion.slopes(logits, labels)
        return losses, nlls_and_softmax(logits, labels)[0], slope
    nlls, slope = nlls_and_softmax(logits, labels)
    slope[torch.arange(len(labels), device=labels.device), labels] -= 1.0  # softmax minus one-hot
    return nlls, nlls, slope
