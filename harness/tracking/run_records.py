"""What runs say, as typed records: each is made from a run, and says itself as a run's params and tags.

A run holds texts alone. A record is that run's one reading of them, and its one way back. What older stores leave out
has the value that it had then.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from harness.core.absent_value import NONE
from harness.core.cost_names import PREFIX as COST
from harness.tracking.adapter_growth import Growth
from harness.tracking.calibration_names import LABEL_PRIOR
from harness.tracking.schema import Metrics, Outcome, Params, Tags
from harness.tracking.stored_run import Run
from harness.tracking.transfer_names import ASKED_UNDER, TRANSFER, asked_under

__all__ = [
    "CellRecord",
    "FinalRecord",
    "ReferenceRecord",
    "TrialRecord",
    "chart_metrics",
    "in_order_of",
    "prompt_versions",
    "scores_of",
    "seed_order",
]


@dataclass(frozen=True, kw_only=True)
class CellRecord:
    """A cell: what all its runs say of it, and how it came out, as its parent run has it."""

    id: str
    digest: str
    """All that its results depend on."""
    task: str
    model: str
    factors: Mapping[str, str]
    """Axes to levels: ``prompt``, ``tuning`` and others."""
    trainable_parameters: int | None
    """``None`` where an older store does not say, as the next."""
    parameters: int | None
    growth: Growth | None = None
    """Where a search decides how many they are; not read back."""
    sizes: Mapping[str, int]
    """Splits to numbers of examples."""
    settings: Mapping[str, Any]
    """Keys of the study, ``training.epochs`` and the like, to values; texts where a store was read."""
    best_trial: str | None = None
    """The winner's index; ``none`` where no trial completed."""
    counted: int | None = None
    """How many trials that is the best of, from the first on; ``None`` where all count."""
    added: int = 0
    """How many of these were drawn beyond the cell's range."""
    shots: Mapping[str, float] = field(default_factory=dict)
    """Metrics that say how many demonstrations fit, where its prompt has any; not read back."""
    widened: tuple[float, ...] = ()
    """The ends of the learning rates, where they were widened."""

    @classmethod
    def from_run(cls, run: Run, axes: Sequence[str]) -> CellRecord:
        """Read a cell.

        Args:
            run: A run of the phase ``cell``, or one that was.
            axes: The study's, which are names of params.
        """
        params, tags = run.params, run.tags
        counts = {name: _count(params[name]) for name in (Params.TRAINABLE, Params.PARAMETERS) if name in params}
        sizes = {name: size for name, size in params.items() if name.startswith(Params.DATA)}
        return cls(
            id=tags.get(Tags.CELL, ""),
            digest=tags.get(Tags.CELL_DIGEST, ""),
            task=params.get(Params.TASK, ""),
            model=params.get(Params.MODEL, ""),
            factors={axis: params[axis] for axis in axes},
            trainable_parameters=counts.get(Params.TRAINABLE),
            parameters=counts.get(Params.PARAMETERS),
            sizes={name.removeprefix(Params.DATA): int(size) for name, size in sizes.items()},
            settings={name: value for name, value in params.items() if "." in name and name not in sizes},
            best_trial=tags.get(Tags.BEST_TRIAL),
            counted=int(tags[Tags.TRIALS]) if Tags.TRIALS in tags else None,
            added=int(tags.get(Tags.ADDED_TRIALS, 0)),
            widened=tuple(map(float, tags.get(Tags.WIDENED, "").split())),
        )

    def counts(self, drawn: Mapping[str, Any]) -> dict[str, int | None]:
        """Return how many weights a run with these params has; nothing where its search decides and they say nothing.

        Args:
            drawn: Of a trial, what was drawn; else the winner.
        """
        added = self.growth.added(drawn) if self.growth else 0
        if added is None:
            return {}
        counts = {Params.TRAINABLE: self.trainable_parameters, Params.PARAMETERS: self.parameters}
        return {name: None if count is None else count + added for name, count in counts.items()}

    def params(self, drawn: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
        """Return what a run of the cell says of it, by the names that the MLflow UI shows; see `counts`."""
        return {
            Params.TASK: self.task,
            Params.MODEL: self.model,
            **self.factors,
            **self.counts(drawn),
            **{f"{Params.DATA}{split}": size for split, size in self.sizes.items()},
            **self.settings,
        }

    def tags(self) -> dict[str, str]:
        """Return what every run of the cell says beside what all runs of the study do."""
        return {Tags.CELL: self.id, Tags.CELL_DIGEST: self.digest}


@dataclass(frozen=True, kw_only=True)
class _TrainedRun:
    """What trials and final runs say alike."""

    hyperparameters: Mapping[str, str]
    """As the params have them; ``none`` of zero-shot."""
    seed: str
    scores: Mapping[str, float] = field(default_factory=dict)
    """``validation/...`` and, of final runs, ``test/...`` and ``generality/...``, as far as scored."""
    costs: Mapping[str, float] = field(default_factory=dict)
    """By the names of `harness.core.cost_names.Costs`."""

    def params(self) -> dict[str, str]:
        """Return what its run says of it beside its cell's params."""
        return {**self.hyperparameters, Params.SEED: self.seed}


def _trained(run: Run, searched: Sequence[str]) -> dict[str, Any]:
    return {
        "hyperparameters": {name: run.params[name] for name in searched},
        "seed": run.params[Params.SEED],
        "scores": scores_of(run),
        "costs": {name.removeprefix(COST): value for name, value in run.metrics.items() if name.startswith(COST)},
    }


@dataclass(frozen=True, kw_only=True)
class TrialRecord(_TrainedRun):
    """One draw of a cell's search."""

    index: int
    """Its place in the search, from 0."""
    optuna_trial: int
    """Optuna's number of it."""
    warm_start: str | None = None
    """The id of the cell that the hyperparameters were taken from, where they were not drawn."""
    outcome: Outcome | None = None
    """``None`` until it has ended."""
    value: float = math.nan
    """The objective; nan unless complete."""
    error: str = ""
    """Why it failed."""

    @classmethod
    def from_run(cls, run: Run, searched: Sequence[str]) -> TrialRecord:
        """Read a trial.

        Args:
            run: A run of the phase ``search``.
            searched: The names of the study's hyperparameters, which are names of params.
        """
        outcome: Any = run.tags.get(Tags.OUTCOME)
        return cls(
            index=int(run.tags[Tags.TRIAL]),
            optuna_trial=int(run.tags[Tags.OPTUNA_TRIAL]),
            warm_start=run.tags.get(Tags.WARM_START),
            outcome=outcome,
            value=run.metrics.get(Metrics.OBJECTIVE, math.nan) if outcome == "complete" else math.nan,
            error=run.tags.get(Tags.ERROR, ""),
            **_trained(run, searched),
        )

    def tags(self) -> dict[str, str]:
        """Return what its run says when it starts."""
        start = {} if self.warm_start is None else {Tags.WARM_START: self.warm_start}
        return {Tags.TRIAL: str(self.index), Tags.OPTUNA_TRIAL: str(self.optuna_trial), **start}


@dataclass(frozen=True, kw_only=True)
class FinalRecord(_TrainedRun):
    """A winner retrained on one seed, or a zero-shot cell's only run."""

    cell: str
    """The cell's id."""
    test_digest: str
    """The test rows; ``none`` while test is closed, empty where an older store does not say."""
    generality_digest: str
    """What forgetting is measured on; ``none`` where it is not, empty likewise."""
    asked_under: Mapping[str, str] = field(default_factory=dict)
    """Digests of the other prompts under which it answers test, by their names."""
    diverged: bool = False

    @classmethod
    def from_run(cls, run: Run, searched: Sequence[str]) -> FinalRecord:
        """Read a final run; see `TrialRecord.from_run`."""
        return cls(
            cell=run.tags[Tags.CELL],
            test_digest=run.tags.get(Tags.TEST_DIGEST, ""),
            generality_digest=run.tags.get(Tags.GENERALITY_DIGEST, ""),
            asked_under=asked_under(run),
            diverged=run.tags.get(Tags.OUTCOME) == "diverged",
            **_trained(run, searched),
        )

    def tags(self) -> dict[str, str]:
        """Return what its run says when it starts."""
        asked = {ASKED_UNDER: json.dumps(dict(self.asked_under))} if self.asked_under else {}
        return {Tags.TEST_DIGEST: self.test_digest, Tags.GENERALITY_DIGEST: self.generality_digest, **asked}

    def is_of(self, other: FinalRecord) -> bool:
        """Return whether it answers all that another would: the same winner and seed, scored on the same rows."""
        alike = replace(other, asked_under=self.asked_under)
        return (self.params(), self.tags()) == (alike.params(), alike.tags()) and (
            other.asked_under.items() <= self.asked_under.items()
        )

    def scores_on(self, test_digest: str | None) -> dict[str, float]:
        """Return the scores, without those on test where these are other rows than are asked about."""
        stale = test_digest is not None and self.test_digest != test_digest
        of_test = (Metrics.TEST, TRANSFER)
        return {name: value for name, value in self.scores.items() if not (stale and name.startswith(of_test))}


@dataclass(frozen=True)
class ReferenceRecord:
    """A result that needs no model."""

    name: str
    digest: str
    """All that its scores depend on."""
    test_digest: str
    scores: Mapping[str, float] = field(default_factory=dict)
    """``validation/<metric>`` and ``test/<metric>``; what needs a likelihood is missing."""

    @classmethod
    def from_run(cls, run: Run) -> ReferenceRecord:
        """Read a reference row."""
        name, tags = run.params.get(Params.REFERENCE, ""), run.tags
        digests = tags.get(Tags.REFERENCE_DIGEST, ""), tags.get(Tags.TEST_DIGEST, NONE)
        return cls(name, *digests, scores_of(run))

    def params(self) -> dict[str, str]:
        """Return what its run says of it beside the task and the sizes of splits."""
        return {Params.REFERENCE: self.name}

    def tags(self) -> dict[str, str]:
        """Return what its run says when it starts."""
        return {Tags.REFERENCE_DIGEST: self.digest, Tags.TEST_DIGEST: self.test_digest}


def prompt_versions(cells: Iterable[Run]) -> dict[str, str]:
    """Return the versions that cells used, ``prompts:/name/3`` by prompt, as far as they were registered."""
    return {run.params[Params.PROMPT]: run.tags[Tags.PROMPT_URI] for run in cells if Tags.PROMPT_URI in run.tags}


def chart_metrics(params: Mapping[str, Any]) -> dict[str, float]:
    """Return what charts need of a run's params as numbers.

    >>> chart_metrics({"learning_rate": "0.001"}), chart_metrics({"learning_rate": "none"})
    ({'log10_learning_rate': -3.0}, {})
    """
    rate = params.get(Params.LEARNING_RATE, NONE)
    return {} if rate == NONE else {Metrics.LOG_RATE: math.log10(float(rate))}


def _count(text: str) -> int:
    count = int(text)
    if count.bit_length() > 63:
        raise ValueError(f"{text[:40]} counts nothing")
    return count


def scores_of(run: Run) -> dict[str, float]:
    """Return what a run says of quality: all its scores, and what it kept of other skills."""
    prefixes = (Metrics.VALIDATION, Metrics.TEST, Metrics.GENERALITY, TRANSFER, LABEL_PRIOR)
    return {name: value for name, value in run.metrics.items() if name.startswith(prefixes)}


def in_order_of(seeds: Sequence[str], finals: Iterable[Run]) -> list[Run]:
    """Return final runs in the order in which a study names their seeds; those of other seeds come last."""
    places = {seed: place for place, seed in enumerate(seeds)}
    return sorted(finals, key=lambda run: places.get(run.params[Params.SEED], len(places)))


def seed_order(run: Run) -> tuple[bool, int]:
    """Return what sorts final runs by seed; zero-shot, which has none, comes last."""
    seed = run.params[Params.SEED]
    return (False, int(seed)) if seed.isdigit() else (True, 0)
