"""What a study searches and ranks by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from harness.metrics.base import Metric
from harness.study.checked_study import Checked

__all__ = ["Objective", "is_maximized", "objective_of"]

LOSS = "loss"


class Objective(NamedTuple):
    """The metric that trials are compared by, and the one that ranks cells."""

    name: str
    """Of the objective: a metric of the task, or ``loss``."""
    maximize: bool
    lead: str
    """The metric that ranks cells: the objective, or the task's first where the search went by loss."""
    lead_maximize: bool

    @property
    def generates(self) -> bool:
        """Whether trials make predictions; a search on ``loss`` does without."""
        return self.name != LOSS

    @property
    def proxies(self) -> bool:
        """Whether the loss stands in for a metric: the search goes by it, and final runs go by the metric."""
        return self.name != self.lead


def objective_of(checked: Checked, metrics: Sequence[Metric]) -> Objective:
    """Return what a study searches and ranks by, given its task's metrics, looked up."""
    name, has_finals = checked.objective, bool(checked.study.final.seeds)
    lead = name if name != LOSS else metrics[0].name if has_finals else LOSS
    return Objective(name, is_maximized(name, metrics), lead, is_maximized(lead, metrics))


def is_maximized(name: str, metrics: Sequence[Metric]) -> bool:
    """Return whether a higher value of a metric is better."""
    return name != LOSS and next(metric.higher_is_better for metric in metrics if metric.name == name)
