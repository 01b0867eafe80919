"""Hooks and patched forwards: to watch a model or to answer in a module's place, undone in the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

__all__ = ["answering", "eval_mode", "hooked"]


@contextmanager
def answering(block: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """Hide a block's forward behind another; the block, its attributes and its place in the model stay."""
    own = vars(block)
    before = own.get("forward")
    own["forward"] = forward
    try:
        yield
    finally:
        del own["forward"]
        if before is not None:
            own["forward"] = before


@contextmanager
def hooked(handle: RemovableHandle) -> Iterator[None]:
    """Remove a hook in the end."""
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def eval_mode(model: PreTrainedModel) -> Iterator[None]:
    """Run a model in eval mode, without gradients; its modes are put back."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        with torch.no_grad():
            model.eval()
            yield
    finally:
        for module, mode in modes:
            module.training = mode
