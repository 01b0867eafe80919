"""Hooks and patched methods: to look at a model or to answer in a module's place, undone in the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

__all__ = ["answering", "eval_mode", "look"]


@contextmanager
def answering(owner: object, answer: Callable[..., Any], *, method: str = "forward") -> Iterator[None]:
    """Hide a module's forward, or another object's method, behind a function; the object and its attributes stay."""
    own = vars(owner)
    before = own.get(method)
    own[method] = answer
    try:
        yield
    finally:
        del own[method]
        if before is not None:
            own[method] = before


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


def look(model: PreTrainedModel, *, rows: int, positions: int) -> Tensor:
    """Run a model in eval mode on rows of its first token, for hooks to see; return its logits."""
    tokens = torch.zeros(rows, positions, dtype=torch.long, device=model.device)
    inputs = {"input_ids": tokens, **({"decoder_input_ids": tokens} if model.config.is_encoder_decoder else {})}
    with eval_mode(model):  # dropout would draw
        logits: Tensor = model(**inputs, use_cache=False).logits
    return logits
