"""The training loop: a generator of epochs, and nothing else.

It knows no search and no tracking, and prints nothing: the caller reads each epoch, evaluates, logs, and stops by
closing the generator.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Sequence
from typing import NamedTuple

import torch
from torch import nn
from transformers import PreTrainedModel, get_scheduler

from harness.core import interrupts
from harness.core.errors import Diverged, ModelError
from harness.models.apply_tuning import Trainable, set_modes
from harness.study.spec import Training
from harness.training.batching import Batch
from harness.training.course import Course
from harness.training.draws import Draws
from harness.training.forward_batch import ForwardBatch
from harness.training.loss import ForwardPass
from harness.training.optimizers import optimizer_of
from harness.training.run_state import Captured, RunState, StepResult

__all__ = ["Epoch", "Resumed", "device", "fit"]

SCHEDULES = {"constant": "constant_with_warmup", "linear": "linear", "cosine": "cosine"}
"""The study file's names, to those of transformers."""


class Epoch(NamedTuple):
    """What was trained up to a score on validation: an epoch, or as many steps as ``evaluate_every`` says."""

    epoch: int
    """That of its last step, counted from 1."""

    step: int
    """Optimizer steps of the run that are done."""

    at: int
    """Where it stands on the run's curve: its epoch, or its last step where the study counts those."""

    is_last: bool
    """Whether the run has no further steps."""

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


class Resumed(NamedTuple):
    """Where another process left a run."""

    state: Captured
    is_told: bool
    """Whether it yielded what lies behind it."""


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
    resumed: Resumed | None = None,
    offer: Callable[[RunState, bool], None] = lambda state, is_last: None,
) -> Generator[Epoch]:
    """Train in place, on the model's device; yield after every epoch, or every so many steps.

    A step's loss is the mean over the label tokens of all the batches that it accumulates, as `transformers.Trainer`
    has it for causal models. Dropout is drawn from ``seed`` and the epoch; the process's own generators are neither
    read nor moved. Modes and generators are set anew behind each yield, so that the caller may evaluate in between.

    Args:
        forward: The model, whose parameters that require a gradient are trained, and how its loss is computed.
        trainable: Which parts these are; the rest stays in eval mode.
        batches: The batches of an epoch, counted from 1; always equally many.
        spec: Epochs or steps, accumulation, schedule, warm-up, optimizer, weight decay, decay by block, clipping.
        learning_rate: The schedule's peak.
        seed: For dropout.
        rows: How many go through the model at a time; left out: a batch, or fewer where memory runs out.
        tell: Told what `Course.told` says, before each step and behind the last.
        resumed: Where another process left the run; left out: it begins.
        offer: Handed the state behind each step and yield, and whether it is the last time, since a signal came.

    Raises:
        Diverged: A step's loss or its gradient is NaN or infinite; it is not applied.
        MemoryError: A step takes more memory than there is, with one row at a time.
        ValueError: The number of batches changed.
    """
    model, rows = forward.model, rows or ForwardBatch()
    groups = _Groups(batches, spec.accumulation)
    course, draws = Course(spec, groups.count), Draws(seed, model.device)
    state = _begun(model, course, learning_rate, draws, resumed)
    try:
        while state.done < course.total or state.results:
            mark = course.mark(state.done - len(state.results))
            set_modes(model, trainable)
            with draws.drawing():
                while state.done < mark:
                    tell(*course.told(state.done, mark))
                    _take_step(forward, state, course, groups, draws, rows)
                    offer(state, False)
                tell(*course.told(mark, mark))
            yield _epoch(course, state, has_criterion=forward.criterion is not None)
            state.told()
            offer(state, False)
    except (KeyboardInterrupt, GeneratorExit):
        if interrupts.status() and state.is_whole:
            offer(state, True)
        raise
    finally:
        state.optimizer.zero_grad()


def _begun(
    model: PreTrainedModel, course: Course, learning_rate: float, draws: Draws, resumed: Resumed | None
) -> RunState:
    """Return the state of a run at its beginning, or where another process left it."""
    spec = course.training
    optimizer, warm = optimizer_of(model, spec, learning_rate), math.ceil(spec.warmup * course.total)
    name = SCHEDULES[spec.schedule]
    schedule = get_scheduler(name, optimizer, num_warmup_steps=warm, num_training_steps=course.total)
    state = RunState(model, optimizer, schedule, draws, course)
    if resumed:
        state.resume(resumed.state, is_told=resumed.is_told)
    return state


class _Groups:
    """The batches of the epoch under way, by the optimizer steps that accumulate them."""

    def __init__(self, batches: Callable[[int], Sequence[Batch]], accumulation: int) -> None:
        self._batches, self._size = batches, accumulation
        self._epoch, self._current = 1, batches(1)
        self._number = len(self._current)
        self.count = math.ceil(self._number / accumulation)
        """Steps of an epoch."""

    def of(self, epoch: int, index: int) -> Sequence[Batch]:
        """Return the batches of an epoch's step, which is counted from 0."""
        if epoch != self._epoch:
            self._epoch, self._current = epoch, self._batches(epoch)
            if len(self._current) != self._number:
                raise ValueError(f"epoch {epoch} has {len(self._current)} batches, the first one {self._number}")
        return self._current[index * self._size : (index + 1) * self._size]


def _take_step(
    forward: ForwardPass, state: RunState, course: Course, groups: _Groups, draws: Draws, rows: ForwardBatch
) -> None:
    """Take the next step of a run."""
    began, (epoch, index) = time.perf_counter(), course.place(state.done)
    if index == 0:
        draws.begin(epoch)
    batches, clip = groups.of(epoch, index), course.training.clip
    state.apply(_step(forward, state.optimizer, batches, rows, clip=clip, step=state.done + 1))
    state.seconds += time.perf_counter() - began


def _step(
    forward: ForwardPass,
    optimizer: torch.optim.Optimizer,
    batches: Sequence[Batch],
    rows: ForwardBatch,
    *,
    clip: float | None,
    step: int,
) -> StepResult:
    """Accumulate the gradients of some batches, check the loss, and clip them; the weights are not moved yet."""
    tokens, largest = sum(batch.tokens for batch in batches), max(batch.examples for batch in batches)

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
    return StepResult(values[1], values[0], norm, tokens, sum(batch.examples for batch in batches))


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


def _epoch(course: Course, state: RunState, *, has_criterion: bool) -> Epoch:
    steps, (epoch, _) = state.results, course.place(state.done - 1)
    tokens = sum(step.tokens for step in steps)
    return Epoch(
        epoch=epoch,
        step=state.done,
        at=course.at(state.done),
        is_last=state.done == course.total,
        train_loss=sum(step.nll * step.tokens for step in steps) / tokens,
        losses=tuple(step.nll for step in steps),
        minimized=sum(step.minimized * step.tokens for step in steps) / tokens if has_criterion else None,
        grad_norm=sum(step.grad_norm for step in steps) / len(steps),
        tokens=tokens,
        examples=sum(step.examples for step in steps),
        seconds=state.seconds,
    )
