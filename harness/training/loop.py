"""The training loop: a generator of epochs, and nothing else.

It knows no search and no tracking, and prints nothing: the caller reads each epoch, evaluates, logs, and stops by
closing the generator.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from transformers import get_scheduler

from harness.core import interrupts
from harness.core.errors import Diverged, ModelError
from harness.models.apply_tuning import Trainable, set_modes
from harness.study.spec import Training
from harness.training.batching import Batch
from harness.training.forward_batch import ForwardBatch
from harness.training.loss import ForwardPass
from harness.training.optimizers import optimizer_of

__all__ = ["Epoch", "device", "fit", "seeded"]

SCHEDULES = {"constant": "constant_with_warmup", "linear": "linear", "cosine": "cosine"}
"""The study file's names, to those of transformers."""


class Epoch(NamedTuple):
    """What one pass over the training rows did."""

    epoch: int
    """Counted from 1."""

    train_loss: float
    """Negative log-likelihood (nats) per label token, each batch's taken before its optimizer step."""

    losses: tuple[float, ...]
    """The same, one per optimizer step."""

    minimized: float | None
    """What training minimizes per label token, where it has a criterion of its own."""

    grad_norm: float
    """Mean over the steps of the gradient's norm before clipping."""

    tokens: int
    """Label tokens."""

    examples: int
    """Rows."""

    seconds: float
    """Wall time, without what the caller does between epochs."""


class _Step(NamedTuple):
    nll: float
    minimized: float
    """The same where there is no criterion."""
    grad_norm: float
    tokens: int


def device(name: str) -> torch.device:
    """Return the device of a study file's name: ``cuda``, ``mps``, ``cpu``, or ``auto`` for the first that is there.

    Raises:
        ModelError: There is no such device here.
    """
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    there = [kind for kind, is_there in present.items() if is_there]
    if name == "auto":
        return torch.device(there[0])
    if name not in there:
        raise ModelError(f"training.device is {name!r}, which is not here; use auto or one of: {', '.join(there)}")
    return torch.device(name)


def fit(
    forward: ForwardPass,
    trainable: Trainable,
    *,
    batches: Callable[[int], Sequence[Batch]],
    spec: Training,
    learning_rate: float,
    seed: int,
    rows: ForwardBatch | None = None,
    tell: Callable[[int, int, int], None] = lambda epoch, step, steps: None,
) -> Generator[Epoch]:
    """Train in place, on the model's device; yield after every epoch.

    A step's loss is the mean over the label tokens of all the batches that it accumulates, as `transformers.Trainer`
    has it for causal models. Dropout is drawn from ``seed`` and the epoch; the process's own generators are neither
    read nor moved. Modes are set anew at each epoch's start, so that the caller may evaluate in between.

    Args:
        forward: The model, whose parameters that require a gradient are trained, and how its loss is computed.
        trainable: Which parts these are; the rest stays in eval mode.
        batches: The batches of an epoch, counted from 1; always equally many.
        spec: Epochs, accumulation, schedule, warm-up, optimizer, weight decay, decay by block, clipping.
        learning_rate: The schedule's peak.
        seed: For dropout.
        rows: How many go through the model at a time; left out: a batch, or fewer where memory runs out.
        tell: Told the epoch, how many of its steps are done and how many it has, before each step and behind the last.

    Raises:
        Diverged: A step's loss or its gradient is NaN or infinite; it is not applied.
        MemoryError: A step takes more memory than there is, with one row at a time.
        ValueError: The number of batches changed.
    """
    model, rows = forward.model, rows or ForwardBatch()
    optimizer = optimizer_of(model, spec, learning_rate)
    first = batches(1)
    steps = spec.epochs * math.ceil(len(first) / spec.accumulation)
    schedule = get_scheduler(
        SCHEDULES[spec.schedule], optimizer, num_warmup_steps=math.ceil(spec.warmup * steps), num_training_steps=steps
    )
    done = 0
    try:
        for epoch in range(1, spec.epochs + 1):
            current = first if epoch == 1 else batches(epoch)
            if len(current) != len(first):
                raise ValueError(f"epoch {epoch} has {len(current)} batches, the first one {len(first)}")
            results, began = list[_Step](), time.perf_counter()
            set_modes(model, trainable)
            with seeded(seed, epoch, model.device):
                starts = range(0, len(current), spec.accumulation)
                for start in starts:
                    tell(epoch, len(results), len(starts))
                    group = current[start : start + spec.accumulation]
                    results.append(_step(forward, optimizer, group, rows, clip=spec.clip, step=done + len(results) + 1))
                    schedule.step()
                tell(epoch, len(results), len(starts))
            done += len(results)
            told = _epoch(epoch, results, current, time.perf_counter() - began)
            yield told if forward.criterion else told._replace(minimized=None)
    finally:
        optimizer.zero_grad()


def _step(
    forward: ForwardPass,
    optimizer: torch.optim.Optimizer,
    batches: Sequence[Batch],
    rows: ForwardBatch,
    *,
    clip: float | None,
    step: int,
) -> _Step:
    """Accumulate the gradients of some batches, check the loss, and move the weights."""
    tokens, largest = sum(batch.tokens for batch in batches), max(len(batch.indices) for batch in batches)

    def accumulated(most: int) -> tuple[float, float]:
        optimizer.zero_grad()
        return _accumulate(forward, [part for batch in batches for part in batch.parts(most)], tokens)

    values = rows.fitted(largest, accumulated)
    loss_value = next((value for value in values if not math.isfinite(value)), values[0])
    if not math.isfinite(loss_value):
        raise Diverged(loss_value, step)
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    norm = nn.utils.clip_grad_norm_(parameters, math.inf if clip is None else clip).item()
    if not math.isfinite(norm):
        raise Diverged(loss_value, step, f", but the norm of its gradient is {norm}")
    optimizer.step()
    return _Step(values[1], values[0], norm, tokens)


def _accumulate(forward: ForwardPass, batches: Sequence[Batch], tokens: int) -> tuple[float, float]:
    """Add the gradients of some batches; return what is minimized and the negative log-likelihood, per token."""
    device = forward.model.device
    minimized, total = torch.zeros((), device=device), torch.zeros((), device=device)
    for batch in batches:
        interrupts.check()
        loss, nll = forward.training_loss(batch.to(device))
        torch.autograd.backward(loss / tokens)
        minimized += loss.detach() / tokens
        total += nll / tokens
    return minimized.item(), total.item()


def _epoch(epoch: int, steps: Sequence[_Step], batches: Sequence[Batch], seconds: float) -> Epoch:
    tokens = sum(step.tokens for step in steps)
    return Epoch(
        epoch=epoch,
        train_loss=sum(step.nll * step.tokens for step in steps) / tokens,
        losses=tuple(step.nll for step in steps),
        minimized=sum(step.minimized * step.tokens for step in steps) / tokens,
        grad_norm=sum(step.grad_norm for step in steps) / len(steps),
        tokens=tokens,
        examples=sum(len(batch.indices) for batch in batches),
        seconds=seconds,
    )


@contextmanager
def seeded(seed: int, epoch: int, device: torch.device) -> Iterator[None]:
    """Run with torch's generators of the CPU and of one device seeded, then put them back as they were."""
    value = int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
    accelerators = [] if device.type == "cpu" else [device]
    with torch.random.fork_rng(accelerators, device_type=device.type):
        # torch.manual_seed would also reseed devices that are not forked here.
        torch.default_generator.manual_seed(value)
        if accelerators:
            torch.get_device_module(device).manual_seed(value)
        yield
