"""State of a run between two of its optimizer steps: all that its further ones depend on, and how it is put back.

Taken out of it and put back into another process, a run ends as if nothing had been: with the same weights, losses and
scores, to the last bit where the same machine computes float32 on its processor.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from transformers import PreTrainedModel

from harness.models.apply_tuning import restore, snapshot
from harness.training.course import Course
from harness.training.draws import Draws

__all__ = ["Captured", "RunState", "StepResult"]

MODEL, OPTIMIZER, DRAWS, RESULTS = "model/", "optimizer/", "draws/", "results"
"""Before the names of tensors: what trains, what the optimizer holds, the generators; and the steps' results."""


class StepResult(NamedTuple):
    """What one optimizer step found."""

    nll: float
    """Nats a label token, before the step."""
    minimized: float
    """The same where there is no criterion."""
    grad_norm: float
    tokens: int
    examples: int


class Captured(NamedTuple):
    """A state as it is written down."""

    step: int
    """Optimizer steps that are done."""
    tensors: Mapping[str, Tensor]
    """By name, on the CPU."""
    plain: Mapping[str, Any]
    """What else there is: numbers, words, and lists and mappings of these."""

    @property
    def weights(self) -> dict[str, Tensor]:
        """The tensors that train, by their names in the model."""
        return _below(MODEL, self.tensors)


class RunState:
    """A run under way. Position in the data is the number of steps: an epoch's order is drawn from seed and epoch."""

    def __init__(
        self, model: PreTrainedModel, optimizer: Optimizer, schedule: LRScheduler, draws: Draws, course: Course
    ) -> None:
        self._model, self.optimizer, self._schedule, self._draws = model, optimizer, schedule, draws
        self._course = course
        self.done = 0
        """Optimizer steps."""
        self.results: list[StepResult] = []
        """Of the steps since the last score."""
        self.seconds = 0.0
        """What these took."""
        self.is_whole = True
        """Whether no step is being applied, so that it can be captured."""
        self._drawn: Mapping[str, Tensor] = {}

    @property
    def ends_epoch(self) -> bool:
        """Whether the last step was that of an epoch, or of the run."""
        return self.done % self._course.per_epoch == 0 or self.done == self._course.total

    def apply(self, result: StepResult) -> None:
        """Move the weights by their gradients, and take in what was found before."""
        self.is_whole = False
        self.optimizer.step()
        self._schedule.step()
        self._drawn = self._draws.now()
        self.done += 1
        self.results.append(result)
        self.is_whole = True

    def told(self) -> None:
        """Begin anew behind a score."""
        self.results, self.seconds = [], 0.0

    def capture(self) -> Captured:
        """Return the state behind the last step; what the optimizer holds on the CPU is no copy.

        What a step that was broken off has drawn does not count.
        """
        held = self.optimizer.state_dict()["state"]
        kept = {f"{index}/{name}": value for index, own in held.items() for name, value in own.items()}
        tensors = {name: value for name, value in kept.items() if isinstance(value, Tensor)}
        results = torch.tensor(self.results, dtype=torch.float64).reshape(len(self.results), len(StepResult._fields))
        return Captured(
            self.done,
            {
                **{f"{MODEL}{name}": value for name, value in snapshot(self._model).items()},
                **{f"{OPTIMIZER}{name}": value.detach().cpu().contiguous() for name, value in tensors.items()},
                **{f"{DRAWS}{name}": value for name, value in self._drawn.items()},
                RESULTS: results,
            },
            {
                "optimizer": {name: value for name, value in kept.items() if name not in tensors},
                "schedule": self._schedule.state_dict(),
                "seconds": self.seconds,
            },
        )

    def resume(self, captured: Captured, *, is_told: bool) -> None:
        """Put a state in the place of this one, which is that of a run at its beginning.

        Args:
            captured: The state.
            is_told: Whether the score behind its last step was taken.
        """
        restore(self._model, captured.weights)
        kept: dict[int, dict[str, Any]] = {}
        for name, value in {**_below(OPTIMIZER, captured.tensors), **captured.plain["optimizer"]}.items():
            index, _, own = name.partition("/")
            kept.setdefault(int(index), {})[own] = value.clone() if isinstance(value, Tensor) else value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": kept, "param_groups": groups})
        self._schedule.load_state_dict(dict(captured.plain["schedule"]))
        for group, rate in zip(self.optimizer.param_groups, self._schedule.get_last_lr(), strict=True):
            group["lr"] = rate
        self._draws.states = self._drawn = _below(DRAWS, captured.tensors)
        self.done = captured.step
        if not is_told:
            rows = captured.tensors[RESULTS].tolist()
            self.results = [StepResult(*row[:3], *map(int, row[3:])) for row in rows]
            self.seconds = captured.plain["seconds"]


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
