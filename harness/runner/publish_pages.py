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
from harness.tracking.mlflow.ui_views import NOTE, Address, View, described, page_tags
from harness.tracking.store_protocols import Run, Tracker

__all__ = ["PagePublisher"]

ABSENT = "none"


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
        links = StudyLinks(Address(self.tracker.experiment), views, self.tracker.shown(summary), {}, {})
        note = begun_note(self.checked.file.question, links)
        self.tracker.label({**page_tags(views, lead=f"validation/{self.objective.lead}"), NOTE: note})

    def show_results(self, results: Results, findings: Findings, summary: str) -> None:
        """Describe a study, its summary and its cells, and have its views show what is best.

        Args:
            results: The study, done.
            findings: What may be claimed of it.
            summary: The id of its summary run.
        """
        runs = {run.id: run for run in self.tracker.runs()}
        cells = {run.tags["cell"]: run for run in runs.values() if run.phase == "cell"}
        links = self._links(results, runs[summary], cells)
        note = study_note(results, findings, links)
        self.tracker.label({**page_tags(links.views, lead=f"validation/{results.lead}"), NOTE: note})
        self.tracker.tags(summary, described(summary_note(results, findings, links), runs[summary].tags))
        for cell in results.cells:
            run = cells[cell.id]
            judged = verdict(cell.id, results, findings)
            tags = described(cell_note(cell, results, findings, links), run.tags)
            self.tracker.tags(run.id, {**tags, "verdict": judged} if judged else tags)

    def _links(self, results: Results, summary: Run, cells: dict[str, Run]) -> StudyLinks:
        ranked = results.ranked()
        best = next((cell for cell in ranked if cell.tuning != "none"), ranked[0])
        model = summary.tags.get("best_model", ABSENT)
        uris = {run.params["prompt"]: run.tags["prompt_uri"] for run in cells.values() if "prompt_uri" in run.tags}
        return StudyLinks(
            address=Address(self.tracker.experiment),
            views=self._views(best.factors),
            summary=self.tracker.shown(summary.id),
            parents={cell: self.tracker.shown(run.id) for cell, run in cells.items()},
            prompts=uris,
            model=None if model == ABSENT else model,
        )

    def _views(self, levels: Mapping[str, str]) -> list[View]:
        seeds, objective = self.checked.study.final.seeds, self.objective
        seed = str(seeds[0]) if seeds else None
        return study_views(ViewFacts(objective.lead, objective.lead_maximize, levels, seed))
