"""How a trial ended, and what Optuna keeps beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from optuna.trial import FrozenTrial, TrialState

from harness.study.search_space import Hyperparameters

__all__ = ["DIVERGED", "INDEX", "RECORD", "EndedTrial", "Outcome", "has_ended", "trial_facts"]

Outcome = Literal["complete", "pruned"]
"""How a trial that did not diverge ended."""

DIVERGED, INDEX, RECORD = "diverged", "index", "record"
"""What Optuna keeps beside a trial: why it diverged, which of its cell it is, what its run says."""


class EndedTrial(NamedTuple):
    """How a trial ended, as either store knows it."""

    outcome: Literal["complete", "pruned", "diverged"]
    value: float | None
    """The objective; ``None`` unless complete."""
    curve: Mapping[int, float]
    """The objective by epoch, or by optimizer step where the study counts those."""
    error: str = ""
    """Why it diverged."""

    @classmethod
    def of(cls, trial: FrozenTrial) -> EndedTrial:
        """Read one of `CellSearch.finished`."""
        error, curve = trial.user_attrs.get(DIVERGED, ""), trial.intermediate_values
        if trial.state == TrialState.COMPLETE:
            return cls("complete", trial.value, curve)
        return cls("diverged" if trial.state == TrialState.FAIL else "pruned", None, curve, error)


def trial_facts(metric: str, hyperparameters: Hyperparameters, run: str) -> dict[str, Any]:
    """Return what a trial carries for people who read the search store, as optuna-dashboard shows it.

    Args:
        metric: The objective.
        hyperparameters: The trial's.
        run: The id of its run in MLflow.
    """
    return {"metric": metric, "learning_rate": hyperparameters.learning_rate, "mlflow_run_id": run}


def has_ended(trial: FrozenTrial) -> bool:
    """Return whether a trial ended by itself; one that a kill cut short did not."""
    if trial.state == TrialState.FAIL:
        return DIVERGED in trial.user_attrs
    return trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
