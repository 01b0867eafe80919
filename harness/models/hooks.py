"""Hooks and patched methods: to look at a model or to answer in a module's place, undone in the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from harness.core.errors import ModelError
from harness.models.classification_head import classifies
from harness.models.fills_masks import fills_masks

__all__ = ["MISFIT", "answering", "as_it_is", "eval_mode", "look", "misfits_told", "unmoved"]

MISFIT = (
    *(RuntimeError, LookupError, TypeError, ValueError, AttributeError, AssertionError, ArithmeticError),
    ImportError,  # of a package that it asks for when it is called
)
"""What a model's own code may raise over inputs or parts that it does not expect."""


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
def unmoved(model: PreTrainedModel) -> Iterator[None]:
    """Put back whatever a call of a model changes of it: modes, buffers, parts, plain attributes, configurations.

    BigBird-Pegasus swaps its attention for good when it reads a short text, and some rotary embeddings rescale theirs
    for a long one. What hooks or `answering` changed must be undone before the end.
    """
    restore = as_it_is(model)
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        yield
    finally:
        restore()
        with torch.no_grad():
            for buffer, values in buffers:
                if not torch.equal(buffer, values):
                    buffer.copy_(values)


def as_it_is(model: PreTrainedModel) -> Callable[[], None]:
    """Return what gives a model the parts, modes and attributes back that it has now, and its configurations theirs."""
    owners = {id(module): module for module in model.modules()} | {
        id(value): value
        for module in model.modules()
        for value in vars(module).values()
        if isinstance(value, PreTrainedConfig)
    }
    states = [_state(owner) for owner in owners.values()]

    def restore() -> None:
        for one in states:
            one()

    return restore


def _state(owner: object) -> Callable[[], None]:
    """Return what puts an object's attributes back, and the content of those that are plain lists and dictionaries."""
    own = vars(owner)
    attributes = dict(own)
    lists = [(value, list(value)) for value in own.values() if type(value) is list]
    tables = [(value, dict(value)) for value in own.values() if type(value) is dict]

    def restore() -> None:
        own.clear()
        own.update(attributes)
        for value, items in lists:
            value[:] = items
        for table, entries in tables:
            table.clear()
            table.update(entries)

    return restore


@contextmanager
def misfits_told(what: str, remedy: str = "") -> Iterator[None]:
    """Turn what a model's own code raises into one sentence.

    Raises:
        ModelError: The model's code raised something of `MISFIT`; says what could not be done, and why.
    """
    try:
        yield
    except MISFIT as error:
        cause = f"{type(error).__name__}: {str(error).strip()[:200]}"
        raise ModelError(f"{what}: {cause}{remedy and f'; {remedy}'}") from error


@contextmanager
def eval_mode(model: PreTrainedModel) -> Iterator[None]:
    """Look at a model in eval mode, without gradients; it is put back as it was, see `unmoved`."""
    with unmoved(model), torch.no_grad():
        model.eval()
        yield


def look(model: PreTrainedModel, *, rows: int, positions: int) -> Tensor:
    """Run a model in eval mode, so that no dropout draws, on rows of its first token, for hooks to see.

    Returns:
        Its logits, shape (rows, positions, vocabulary), of a classification head (rows, labels).

    Raises:
        ModelError: It cannot be called on tokens alone.
    """
    # Behind a decoder such a head is asked at end tokens, of which all rows must have as many.
    first = model.config.eos_token_id if classifies(model) and model.config.is_encoder_decoder else 0
    tokens = torch.full((rows, positions), first, device=model.device)
    inputs = {"input_ids": tokens, **({"decoder_input_ids": tokens} if model.config.is_encoder_decoder else {})}
    if fills_masks(model) or classifies(model):
        # DeBERTa warns of a first token that pads where it is not told what is padding.
        inputs["attention_mask"] = torch.ones_like(tokens)
    what = f"{type(model).__name__} cannot be called on tokens alone"
    remedy = "use a model that reads nothing but text, with the config.json that was saved with it"
    with eval_mode(model), misfits_told(what, remedy):
        logits: Tensor = model(**inputs, use_cache=False).logits
    return logits
