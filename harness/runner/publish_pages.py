"""A study as MLflow's pages show it: ready-made views, descriptions and verdicts, all of them tags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.report.mlflow_pages.descriptions import (
    StudyLinks,
    begun_note,
    cell_note,
    study_note,
    summary_note,
    verdict,
)
from harness.report.mlflow_pages.page_views import ViewFacts, study_views
from harness.report.text.findings import Findings
from harness.results.collect import Results
from harness.runner.objective import Objective
from harness.study.check import Checked
from harness.tracking.mlflow.ui_views import Address, View, described, page_tags
from harness.tracking.run_records import prompt_versions
from harness.tracking.schema import Tags, score_name
from harness.tracking.store_protocols import Run, Tracker
from harness.tracking.study_record import KeptModels

__all__ = ["PagePublisher"]


@dataclass(frozen=True)
class PagePublisher:
    """Writes what MLflow's pages show of a study: when it begins, and again at its end."""

    checked: Checked
    objective: Objective
    tracker: Tracker

    def show_begun(self, summary: str) -> None:
        """Write the views of a study that has no results yet.

        Args:
            summary: The id of its summary run.
        """
        views = self._views(self.checked.baseline.levels)
        pages, lead = self.tracker.pages, score_name("validation", self.objective.lead)
        links = StudyLinks(Address(pages.experiment), views, pages.shown(summary), {}, {})
        note = begun_note(self.checked.file.question, links)
        pages.label({**page_tags(views, lead=lead), Tags.NOTE: note})

    def show_results(self, results: Results, findings: Findings, summary: str) -> None:
        """Describe a study, its summary and its cells, and have its views show what is best.

        Args:
            results: The study, done.
            findings: What may be claimed of it.
            summary: The id of its summary run.
        """
        runs = {run.id: run for run in self.tracker.runs()}
        cells = {run.tags[Tags.CELL]: run for run in runs.values() if run.phase == "cell"}
        links = self._links(results, runs[summary], cells)
        note = study_note(results, findings, links)
        lead = score_name("validation", results.lead)
        self.tracker.pages.label({**page_tags(links.views, lead=lead), Tags.NOTE: note})
        self.tracker.tags(summary, described(summary_note(results, findings, links), runs[summary].tags))
        for cell in results.cells:
            run = cells[cell.id]
            judged = verdict(cell.id, results, findings)
            tags = described(cell_note(cell, results, findings, links), run.tags)
            self.tracker.tags(run.id, {**tags, Tags.VERDICT: judged} if judged else tags)

    def _links(self, results: Results, summary: Run, cells: dict[str, Run]) -> StudyLinks:
        ranked = results.ranked()
        best = next((cell for cell in ranked if cell.tuning != "none"), ranked[0])
        pages = self.tracker.pages
        return StudyLinks(
            address=Address(pages.experiment),
            views=self._views(best.factors),
            summary=pages.shown(summary.id),
            parents={cell: pages.shown(run.id) for cell, run in cells.items()},
            prompts=prompt_versions(cells.values()),
            model=KeptModels.from_run(summary).model,
        )

    def _views(self, levels: Mapping[str, str]) -> list[View]:
        seeds, objective = self.checked.study.final.seeds, self.objective
        seed = str(seeds[0]) if seeds else None
        return study_views(ViewFacts(objective.lead, objective.lead_maximize, levels, seed))
