"""Cross entropy straight from hidden states, a slice of the labels at a time.

With a vocabulary of tens of thousands the logits, their softmax and its gradient are the largest arrays of a step.
Here they exist for one slice of labels, and the gradient is taken while they are there.
Liger-Kernel (Hsu et al. 2024, section 3.2) does the same on GPUs, fused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from harness.training.fast_matmul import product

__all__ = ["HeadLoss"]

ROOM = 2**23
"""The most logits at a time: 32 MiB in float32."""


class HeadLoss:
    """The loss behind an output projection whose logits the model uses as they are.

    Args:
        head: Its weight may train; while it does not, it is converted to `dtype` once.
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
            return torch.cat([nlls for nlls, *_ in self.slices(hidden, labels)])

    def total(self, hidden: Tensor, labels: Tensor) -> Tensor:
        """Return the summed negative log-likelihood (nats, float32), a scalar; see `nlls`."""
        nll: Tensor = _Total.apply(hidden, self.head.weight, self.head.bias, labels, self)  # type: ignore[no-untyped-call]
        return nll

    def slices(self, hidden: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor, slice, Tensor]]:
        """Yield negative log-likelihoods, labels, where they stand, and the softmax."""
        weight, bias = self.weight(), self.head.bias
        hidden = hidden.to(self.dtype)
        step = max(1, ROOM // len(weight))
        for start in range(0, len(labels), step):
            where = slice(start, min(start + step, len(labels)))
            targets = labels[where]
            logits = product(self.head, hidden[where], weight)  # (labels, vocabulary)
            if bias is not None:
                logits += bias
            values = logits.float()
            largest, of_labels = values.amax(1), values.gather(1, targets[:, None])[:, 0]  # (labels,)
            shares = torch.softmax(values, dim=1, out=values)
            # The largest share is exp(0) over the sum: its logarithm brings the sum back, and is never one of zero.
            # What all logits have in common goes first: it may be large, and rounding it would hide the rest.
            yield (largest - of_labels) - shares.amax(1).log(), targets, where, shares

    def weight(self) -> Tensor:
        """Return the head's matrix in `dtype`, shape (vocabulary, width)."""
        weight = self.head.weight.detach()
        if weight.dtype == self.dtype or self.head.weight.requires_grad:
            return weight.to(self.dtype)
        if self._frozen is None:
            self._frozen = weight.to(self.dtype)
        return self._frozen


class _Total(torch.autograd.Function):
    """The sum, with its gradients made in the forward pass and scaled in the backward one."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, loss: HeadLoss
    ) -> Tensor:
        low, matrix = hidden.detach().to(loss.dtype), loss.weight()
        need = ctx.needs_input_grad
        by_hidden = torch.empty_like(low) if need[0] else None
        by_weight: Tensor | None = None
        by_bias = torch.zeros_like(bias) if bias is not None and need[2] else None
        total = torch.zeros((), device=hidden.device)
        for nlls, own, where, slope in loss.slices(low, labels):
            total += nlls.sum()
            # softmax minus one-hot is the gradient by the logits
            slope[torch.arange(len(own), device=own.device), own] -= 1.0
            if by_bias is not None:
                by_bias += slope.sum(0).to(by_bias.dtype)
            slope = slope.to(loss.dtype)
            if by_hidden is not None:
                by_hidden[where] = product(loss.head, slope, matrix.t())
            if need[1]:
                part = product(loss.head, slope.t(), low[where].t()).to(weight.dtype)
                by_weight = part if by_weight is None else by_weight.add_(part)
        ctx.gradients = None if by_hidden is None else by_hidden.to(hidden.dtype), by_weight, by_bias
        return total

    @staticmethod
    def backward(ctx: Any, *scales: Tensor) -> tuple[Tensor | None, ...]:
        gradients = [None if each is None else each.mul_(scales[0]) for each in ctx.gradients]
        del ctx.gradients  # a second pass would scale them twice
        return (*gradients, None, None)
