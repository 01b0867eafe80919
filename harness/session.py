"""What a running study has at hand; passed on whole, so that nothing is ambient."""

from __future__ import annotations

from dataclasses import dataclass

from harness.bench import Bench
from harness.check import Checked
from harness.ledger import Ledger
from harness.progress import Progress
from harness.retention import Retention
from harness.tracking.base import Tracker

__all__ = ["Session"]


@dataclass(frozen=True)
class Session:
    """The parts that trials and final runs work with."""

    checked: Checked
    bench: Bench
    tracker: Tracker
    ledger: Ledger
    progress: Progress
    retention: Retention | None = None
    """What final runs measure beside their task; ``None`` where the study asks for nothing or has no final runs."""

    @property
    def generates(self) -> bool:
        """Whether trials make predictions; a search on ``loss`` does without."""
        return self.checked.objective != "loss"

    @property
    def proxies(self) -> bool:
        """Whether the loss stands in for a metric: the search goes by it, and final runs go by the metric."""
        return not self.generates and bool(self.checked.study.final.seeds)

    def maximizes(self, metric: str) -> bool:
        """Return whether a higher value of a metric is better."""
        return metric != "loss" and next(m.higher_is_better for m in self.bench.metrics if m.name == metric)

    def log_recorded(self, summary: str) -> None:
        """Log how much is recorded of the frozen parts on the study's summary run; a command may see a part of it."""
        size = self.bench.recorded / 2**20
        if size > self.tracker.run(summary).metrics.get("recordings_mib", 0.0):
            self.tracker.metrics(summary, {"recordings_mib": size})

    @property
    def lead(self) -> str:
        """The metric that ranks cells: the objective, or the task's first where the search went by loss."""
        if self.generates:
            return self.checked.objective
        return self.bench.metrics[0].name if self.checked.study.final.seeds else "loss"
