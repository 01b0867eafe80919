"""Matrix products in float32 by oneDNN, where torch's own choice of library is slow.

Why and where: ``docs/decisions/float32-products.md``. What a row becomes does not depend on how many others there are,
not even on whether it is alone: recordings rely on it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from harness.core.provenance import processor
from harness.models.held_weights import HeldConv1D, HeldLinear, widened_product
from harness.training.torch_compat import has_onednn_linear, onednn_linear

__all__ = ["install", "is_faster", "is_installed", "plain", "product"]

GRAIN = 32
"""Rows are padded to a multiple of it: oneDNN writes machine code for every number of rows, in half a millisecond."""

ZEN5 = 26
"""The first of AMD's families that multiplies 512 bits at once; Zen 4 takes two steps, as long as AVX2 does."""

_plain = False


@functools.cache
def is_faster() -> bool:
    """Return whether oneDNN is the faster library on this processor, by its maker and its instructions.

    Never by a measurement: a resumed study must compute as it began.
    """
    return (
        torch.backends.cpu.get_cpu_capability() == "AVX512"
        and torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
        and has_onednn_linear()
        and "AuthenticAMD" in (name := processor())
        and (family := re.search(r"family (\d+)", name, re.IGNORECASE)) is not None
        and int(family[1]) >= ZEN5
    )


def install(model: PreTrainedModel) -> None:
    """Let oneDNN make the products of a float32 model on the CPU, where it is the faster library; else do nothing."""
    if is_faster() and model.device.type == "cpu":
        for module in model.modules():
            swapped = _SWAPPED.get(type(module))
            if swapped and (module.weight.dtype == torch.float32 or isinstance(module, (HeldLinear, HeldConv1D))):
                module.__class__ = swapped


def is_installed(module: nn.Module) -> bool:
    """Return whether `install` changed a module or one of its parts."""
    return any(isinstance(each, tuple(_SWAPPED.values())) for each in module.modules())


def product(module: nn.Module, left: Tensor, right: Tensor) -> Tensor:
    """Return ``left @ right.t()``, by the library that makes the products of a module; not differentiable.

    A right side of less than float32 beside a float32 left one is widened.
    """
    multiply = onednn_linear if is_installed(module) and not _plain else _mm
    return multiply(left, right) if left.dtype == right.dtype else widened_product(left, right, multiply)


@contextmanager
def plain() -> Iterator[None]:
    """Let torch make all products as ever inside; it has no formula by which to count oneDNN's."""
    global _plain
    before, _plain = _plain, True
    try:
        yield
    finally:
        _plain = before


class _Linear(nn.Linear):
    """A linear layer whose products oneDNN makes."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) if _plain else _multiplied(input, self.weight, self.bias)


class _Conv1D(Conv1D):  # type: ignore[misc]
    """GPT-2's linear layer, whose weight lies the other way round."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if _plain else _multiplied(x, self.weight.t(), self.bias)


def _mm(left: Tensor, right: Tensor) -> Tensor:
    return torch.mm(left, right.t())


def _grained(rows: Tensor, weight: Tensor) -> Tensor:
    """Return ``rows @ weight.t()`` of float32 matrices, not differentiable."""
    if _plain or not len(rows):
        return linear(rows, weight)
    if missing := -len(rows) % GRAIN:
        return onednn_linear(pad(rows, (0, 0, 0, missing)), weight)[: len(rows)].clone()
    return onednn_linear(rows, weight)


class _HeldLinear(HeldLinear):
    """A linear layer that is held in bfloat16 while it does not train, whose products oneDNN makes."""

    multiply = staticmethod(_grained)

    def forward(self, input: Tensor) -> Tensor:
        is_plain = _plain or self.weight.dtype != torch.float32
        return super().forward(input) if is_plain else _multiplied(input, self.weight, self.bias)


class _HeldConv1D(HeldConv1D):
    """GPT-2's, likewise."""

    multiply = staticmethod(_grained)

    def forward(self, x: Tensor) -> Tensor:
        is_plain = _plain or self.weight.dtype != torch.float32
        return super().forward(x) if is_plain else _multiplied(x, self.weight.t(), self.bias)


_SWAPPED: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: _Linear,
    Conv1D: _Conv1D,
    HeldLinear: _HeldLinear,
    HeldConv1D: _HeldConv1D,
}


class _Product(torch.autograd.Function):
    """``rows @ weight.t() + bias``, for a number of rows that is a multiple of `GRAIN`."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        passes, trains, _ = ctx.needs_input_grad
        ctx.save_for_backward(rows if trains else None, weight if passes else None)
        return onednn_linear(rows, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (rows, weight), (slope,) = ctx.saved_tensors, gradients
        return (
            None if weight is None else onednn_linear(slope, weight.t()),
            None if rows is None else onednn_linear(slope.t(), rows.t()),
            slope.sum(0) if ctx.needs_input_grad[2] else None,
        )


def _multiplied(values: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return what a linear layer makes of values of shape (..., width)."""
    rows = values.reshape(-1, values.size(-1))
    count = len(rows)
    if not count:  # which oneDNN, on some machines, has no product of
        return linear(values, weight, bias)
    if missing := -count % GRAIN:
        rows = pad(rows, (0, 0, 0, missing))
    product: Tensor = _Product.apply(rows, weight, bias)  # type: ignore[no-untyped-call]
    return product[:count].view(*values.shape[:-1], len(weight))
