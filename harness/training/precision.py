"""Precision: arithmetic as the weights are, or bfloat16 products under float32 weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from harness.study.spec import Precision

__all__ = ["arithmetic", "products", "scoring"]


def arithmetic(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Return a context in which a model computes in a precision.

    ``bf16`` is autocast: matrix products in bfloat16, sums, norms and softmax in float32. What trains stays float32, so
    that small steps are not lost (Micikevicius et al. 2018, "Mixed Precision Training", section 3.1).
    """
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


@contextmanager
def scoring(model: PreTrainedModel, precision: Precision) -> Iterator[None]:
    """Compute as `arithmetic` says, with the weights of the products converted once.

    Autocast converts a weight in every call, which costs more than the product when one token is decoded at a time.
    The numbers are the same. Nothing may train inside; afterwards the weights are the very ones they were.
    """
    with ExitStack() as undo:
        for module in model.modules() if precision == "bf16" else ():
            if isinstance(module, (nn.Linear, Conv1D)) and module.weight.dtype == torch.float32:
                undo.enter_context(_lowered(module))
        undo.enter_context(arithmetic(model.device, precision))
        yield


@contextmanager
def _lowered(module: nn.Linear | Conv1D) -> Iterator[None]:
    weight = module.weight  # embeddings that are tied to it stay as they are: they are no product
    module.weight = nn.Parameter(weight.data.bfloat16(), requires_grad=weight.requires_grad)
    try:
        yield
    finally:
        module.weight = weight


def products(weights: torch.dtype, precision: Precision) -> torch.dtype:
    """Return the type of the matrix products of a model with some weights."""
    return torch.bfloat16 if precision == "bf16" and weights == torch.float32 else weights
