"""Gradient checkpointing: blocks whose values are not kept for the backward pass but computed again in it.

Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost". What is computed again is what was computed before,
dropout's draws included, so that losses and gradients are the same to the last bit: memory is paid for with time. It is
torch's own checkpointing, laid around the forward of blocks that are found by structure, since transformers' switch
does nothing where a block is in eval mode, as all frozen ones are through which gradients flow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from harness.models.find_blocks import blocks
from harness.models.hooks import answering

__all__ = ["blocks_to_recompute", "recomputing"]


def blocks_to_recompute(model: PreTrainedModel) -> tuple[nn.Module, ...]:
    """Return the blocks that are worth it: all but the last, which the backward pass would compute again at once."""
    return tuple(block.module for block in blocks(model)[:-1])


@contextmanager
def recomputing(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Let calls of some blocks keep what they are handed, and nothing of what they compute.

    A block through which no gradient flows, or that answers with what was recorded of it, is called as ever.
    """
    with ExitStack() as undo:
        for module in modules:
            undo.enter_context(answering(module, _checkpointed(module, module.forward)))
        yield


def _checkpointed(module: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
    def again(*args: Any, **kwargs: Any) -> Any:
        handed = (value for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
        flows = any(value.requires_grad for value in (*handed, *module.parameters()))
        if not (flows and torch.is_grad_enabled()):
            return forward(*args, **kwargs)
        return checkpoint(forward, *args, use_reentrant=False, **kwargs)

    return again
