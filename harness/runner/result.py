"""The result of a study: what the store holds of it, what may be claimed, and its report."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.core.errors import UserError
from harness.core.failures import in_words
from harness.core.workspace import HERE, Workspace
from harness.report.text.findings import Findings, find
from harness.results.cell_result import CellResult
from harness.results.collect import Results, collect
from harness.runner.best_cell import BestCell
from harness.stats.verdicts import Verdicts
from harness.study.find_study import known_study, study_address
from harness.tracking.address import StudyAddress
from harness.tracking.store_protocols import Tracker

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["Result"]


@dataclass(frozen=True)
class Result:
    """A study that was run, wholly or in part; get one from `Study.run` or `Result.load`."""

    results: Results
    """Cells, trials, final runs, as plain values."""
    findings: Findings
    """What may be claimed of them."""
    workspace: Workspace = HERE
    address: StudyAddress | None = None
    """Where its runs are; ``None`` of results that no store holds."""

    @classmethod
    @in_words()
    def load(cls, study: str | Path, workspace: Workspace | str | Path = HERE) -> Result:
        """Read a study from the store, by its name or its file, run in a workspace.

        Raises:
            UserError: The store does not know it, or it has no results yet.
        """
        named, place = str(study), Workspace.at(workspace)
        with place.in_force():
            address = study_address(named)
            _, tracker = known_study(address or named)
            assert address is not None  # else it is not known
            return cls.of(address, tracker, place)

    @classmethod
    def of(cls, address: StudyAddress, tracker: Tracker, workspace: Workspace) -> Result:
        """Read a study from an open store."""
        results = collect(tracker, address.study)
        return cls(results, find(results), workspace, address)

    @property
    def first(self) -> str | None:
        """The id of the cell that ranks first; ``None`` where nothing can be ranked."""
        if self.findings.unranked:
            return None
        first = self.results.first
        return self.findings.first or (first.id if first else None)

    @property
    def cells(self) -> tuple[CellResult, ...]:
        """The cells that were run, in grid order."""
        return self.results.cells

    @cached_property
    def best(self) -> BestCell:
        """The cell that ranks first; its model is loaded once.

        Raises:
            UserError: Nothing can be ranked; says why.
        """
        cell = next((cell for cell in self.cells if cell.id == self.first), None)
        if cell is None:
            raise UserError(f"study {self.results.study!r} has no best cell: {self.findings.answer}")
        return BestCell(cell, self._stored, self.results.kept, self.workspace)

    @property
    def verdicts(self) -> Verdicts | None:
        """What may be claimed of the test split: comparisons with the baseline, with the best cell, effects of axes.

        ``None`` where nothing may; ``findings.answer`` says why.
        """
        return self.findings.verdicts

    @property
    def folder(self) -> Path:
        """Where the report is, or goes."""
        return self.workspace.report(self.results.study)

    def table(self) -> DataFrame:
        """Return a row per cell in grid order, with the columns of ``results.csv``; NaN where one is empty there."""
        from harness.report.frames import results_frame  # pandas

        return results_frame(self.results)

    def trials(self) -> DataFrame:
        """Return a row per trial that counts, in the order of cells and draws.

        Columns: ``cell``, the axes, ``trial``, ``state`` (``complete``, ``pruned`` or ``diverged``), ``value`` (the
        objective), what is searched over, ``validation_<metric>`` as far as it was scored, ``seconds`` and what else
        each took.
        """
        from harness.report.frames import trials_frame

        return trials_frame(self.results)

    def learning_curves(self) -> DataFrame:
        """Return the curves over the number of training examples, a row per choice and size, up to twice the largest.

        Columns: ``curve``, the axes, ``examples``, ``fitted`` with ``low`` and ``high`` at ``level`` (0.95; 0.8 where
        it is a forecast). What choices are worth is in ``verdicts.curves``. Empty where sizes are no axis.
        """
        from harness.report.frames import curves_frame

        return curves_frame(self.verdicts.curves if self.verdicts else None)

    @in_words()
    def predictions(self, cell: str | CellResult, *, split: str = "test") -> DataFrame:
        """Return what the final runs of a cell said: a row per run and example.

        Columns: ``seed`` (none where nothing trains), ``id``, ``source``, ``prediction``, ``reference``, ``nll`` (in
        nats, over ``tokens``).

        Args:
            cell: One of `cells`, or its id.
            split: ``test``, or ``validation``.

        Raises:
            UserError: There is no such cell, or it has no final runs on that split.
        """
        from harness.report.frames import predictions_frame

        with self.workspace.in_force():
            return predictions_frame(self._stored, cell if isinstance(cell, str) else cell.id, split)

    def facts(self) -> dict[str, Any]:
        """Return what a run ends with: ranked cells, what may be claimed, where the report is; see docs/json.md."""
        from harness.report.ranked_table import ranked_table

        results, findings = self.results, self.findings
        return {
            "study": results.study,
            "metric": results.lead,
            "baseline": results.baseline,
            "best": self.first,
            "answer": findings.answer,
            "cells": [
                {
                    "cell": row.name,
                    "rank": row.rank,
                    "learning_rate": row.learning_rate,
                    "validation": row.validation.mean,
                    "validation_sd": row.validation.deviation,
                    "test": row.test.mean,
                    "test_sd": row.test.deviation,
                    "seeds": row.finals,
                }
                for row in ranked_table(results, findings)
                if not row.is_reference
            ],
            "not_run": results.absent,
            "report": self.folder / "report.html",
        }

    @in_words()
    def report(self) -> Path:
        """Write the report, and return its text, ``report.md``; the page ``report.html`` lies beside it.

        Raises:
            UserError: The report that is there makes claims, and the metric that they are by is not at hand any more.
        """
        from harness.report.write_report import write_report  # matplotlib

        with self.workspace.in_force():
            return write_report(self.results, self.folder, findings=self.findings)

    @property
    def _stored(self) -> StudyAddress:
        if self.address is None:
            raise UserError(f"the results of study {self.results.study!r} are in no store; load them with Result.load")
        return self.address

    def __repr__(self) -> str:
        return f"Result({self.results.study!r}, {len(self.cells)} cells, first: {self.first})"

    def _repr_html_(self) -> str:
        from harness.report.html_previews import result_preview

        return result_preview(self.results, self.findings)
