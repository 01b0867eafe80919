"""The arithmetic of training and scoring: as the weights are, or bfloat16 products under float32 weights."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from harness.study import Precision

__all__ = ["arithmetic", "products"]


def arithmetic(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Return a context in which a model computes in a precision.

    ``bf16`` is autocast: matrix products in bfloat16, sums, norms and softmax in float32. What trains stays float32, so
    that small steps are not lost (Micikevicius et al. 2018, "Mixed Precision Training", section 3.1).
    """
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


def products(weights: torch.dtype, precision: Precision) -> torch.dtype:
    """Return the type of the matrix products of a model with some weights."""
    return torch.bfloat16 if precision == "bf16" and weights == torch.float32 else weights
