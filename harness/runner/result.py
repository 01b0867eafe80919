"""The result of a study: what the store holds of it, what may be claimed, and its report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.core.workspace import HERE, Workspace
from harness.report.text.findings import Findings, find
from harness.results.collect import Results, collect
from harness.study.find_study import known_study
from harness.tracking.store_protocols import Tracker

__all__ = ["Result"]


@dataclass(frozen=True)
class Result:
    """A study that was run, wholly or in part."""

    results: Results
    """Cells, trials, final runs, as plain values."""
    findings: Findings
    """What may be claimed of them."""
    workspace: Workspace = HERE

    @classmethod
    def load(cls, study: str, workspace: Workspace = HERE) -> Result:
        """Read a study from the store, by its name or its file.

        Raises:
            UserError: The store does not know it, or it has no results yet.
        """
        return cls.of(*known_study(study), workspace)

    @classmethod
    def of(cls, study: str, tracker: Tracker, workspace: Workspace) -> Result:
        """Read a study from an open store."""
        results = collect(tracker, study)
        return cls(results, find(results), workspace)

    @property
    def first(self) -> str | None:
        """The id of the cell that ranks first; ``None`` where nothing can be ranked."""
        if self.findings.unranked:
            return None
        first = self.results.first
        return self.findings.first or (first.id if first else None)

    @property
    def folder(self) -> Path:
        """Where the report is, or goes."""
        return self.workspace.report(self.results.study)

    def report(self) -> Path:
        """Write the report, and return its page."""
        from harness.report.write_report import write_report  # matplotlib

        return write_report(self.results, self.folder, findings=self.findings)
