"""A loss of one's own: loaded from its file, and tried on drawn logits before anything trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch
from torch import Tensor

from harness.core.errors import TaskError
from harness.core.user_code import module_in, user_code
from harness.study.own_losses import OwnLoss
from harness.training.criteria import Criterion, Function

__all__ = ["own_criterion"]

LABELS = 6
"""On which it is tried."""

REMEDY = "correct it"

CLOSE = 1e-5
"""The largest difference, as a share of the largest number, that other rows may make to a loss by rounding."""


def own_criterion(own: OwnLoss, vocabulary: int, device: torch.device) -> Criterion:
    """Return a loss of one's own as a criterion.

    It is tried on labels together and one by one: where a label's loss or its gradient depends on the others, it is
    given all labels of a batch at once.

    Args:
        own: Its file and function.
        vocabulary: How many logits there are for a label.
        device: Where training computes.

    Raises:
        TaskError: It cannot be loaded, or is no differentiable loss of each label; says how.
    """
    what = f"loss {own.function!r} of {own.file}"
    function = _guarded(_loaded(own), what)
    with torch.random.fork_rng([] if device.type == "cpu" else [device], device_type=device.type):
        draw = torch.Generator().manual_seed(0)
        logits = (3 * torch.randn(LABELS, vocabulary, generator=draw)).to(device)
        labels = torch.randint(vocabulary, (LABELS,), generator=draw).to(device)
        losses, slope = _tried(function, logits, labels, what)
        if not (losses.isfinite().all() and slope.isfinite().all()):
            raise TaskError(f"{what} is not finite, or its gradient is not, on logits from -10 to 10; {REMEDY}")
        again = _tried(function, logits, labels, what)
        if not (torch.equal(losses, again[0]) and torch.equal(slope, again[1])):
            raise TaskError(f"{what} gives other losses each time; a run could not be done again: draw nothing in it")
        singly = [_tried(function, logits[at : at + 1], labels[at : at + 1], what) for at in range(LABELS)]
    is_alike = all(
        bool((torch.cat(parts) - whole).abs().max() <= CLOSE * whole.abs().max())
        for parts, whole in zip(zip(*singly, strict=True), (losses, slope), strict=True)
    )
    return Criterion(function, by_token=is_alike)


def _loaded(own: OwnLoss) -> Callable[..., Any]:
    """Run the file, and return its function."""
    function: Any = getattr(module_in(own.file, "loss"), own.function, None)
    if not callable(function):
        raise TaskError(f"loss file {own.file}: {own.function!r} is {function!r}; it must be a function")
    found: Callable[..., Any] = function
    return found


def _guarded(function: Callable[..., Any], what: str) -> Function:
    """Return a function that fails with a sentence, whatever it is given."""

    @wraps(function)
    def call(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        with user_code(f"{what}, on {len(labels)} labels,", f"{REMEDY}: it takes logits, labels and weights"):
            losses: Any = function(logits, labels, weights)
        if not isinstance(losses, Tensor) or losses.shape != labels.shape:
            given = f"shape {tuple(losses.shape)}" if isinstance(losses, Tensor) else repr(losses)[:60]
            raise TaskError(f"{what} gives {given} for {len(labels)} labels; return the loss of each, shape (labels,)")
        if not losses.requires_grad:
            raise TaskError(f"{what} has no gradient by the logits; make it of them, by functions of torch alone")
        return losses

    return call


def _tried(function: Function, logits: Tensor, labels: Tensor, what: str) -> tuple[Tensor, Tensor]:
    """Return losses and their gradient, of drawn numbers."""
    before = logits.clone(), labels.clone()
    with _told(what):
        losses, slope = Criterion(function).slopes(logits, labels)
    if not (torch.equal(logits, before[0]) and torch.equal(labels, before[1])):
        raise TaskError(f"{what} changes the logits or labels that it is given; work on a copy")
    return losses, slope


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Turn what torch raises while it differentiates a loss into a sentence."""
    try:
        yield
    except RuntimeError as error:
        raise TaskError(f"{what} cannot be differentiated: {str(error).strip()[:200]}; {REMEDY}") from error
