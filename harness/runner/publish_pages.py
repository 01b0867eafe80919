"""A study as MLflow's pages show it: ready-made views, descriptions and verdicts, all of them tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.report.mlflow_pages import descriptions
from harness.report.mlflow_pages.page_views import ViewFacts, study_views
from harness.runner.objective import Objective
from harness.runner.result import Result
from harness.study.checked_study import Checked
from harness.tracking.mlflow.ui_views import Address, View, described, page_tags
from harness.tracking.run_records import prompt_versions
from harness.tracking.schema import Tags, score_name
from harness.tracking.store_protocols import Tracker
from harness.tracking.stored_run import Run
from harness.tracking.study_record import KeptModels

__all__ = ["publish_begun", "publish_results"]


def publish_begun(checked: Checked, objective: Objective, summary: str, tracker: Tracker) -> None:
    """Write the views of a study that has no results yet, and lead to its summary run."""
    lead, pages = objective.lead, tracker.pages
    views = _views(lead, checked.baseline.levels, checked.study.final.seeds, maximize=objective.lead_maximize)
    links = descriptions.StudyLinks(Address(pages.experiment), views, pages.shown(summary), {}, {})
    note = descriptions.begun_note(checked.file.question, links)
    pages.label({**page_tags(views, lead=score_name("validation", lead)), Tags.NOTE: note})


def publish_results(result: Result, seeds: Sequence[int], summary: str, tracker: Tracker) -> None:
    """Describe a study, its summary run and its cells, and have its views show what is best."""
    results, findings, pages = result.results, result.findings, tracker.pages
    about = tracker.run(summary)
    cells = {run.tags[Tags.CELL]: run for run in tracker.runs(phase="cell")}
    ranked = results.ranked()
    best = next((cell for cell in ranked if cell.tuning != "none"), ranked[0])
    links = descriptions.StudyLinks(
        address=Address(pages.experiment),
        views=_views(results.lead, best.factors, seeds, maximize=results.maximize),
        summary=pages.shown(summary),
        parents={cell: pages.shown(run.id) for cell, run in cells.items()},
        prompts=prompt_versions(cells.values()),
        model=KeptModels.from_run(about).model,
    )
    lead = score_name("validation", results.lead)
    pages.label({**page_tags(links.views, lead=lead), Tags.NOTE: descriptions.study_note(results, findings, links)})
    _tell(tracker, about, described(descriptions.summary_note(results, findings, links), about.tags))
    for cell in results.cells:
        run = cells[cell.id]
        judged = descriptions.verdict(cell.id, results, findings)
        tags = described(descriptions.cell_note(cell, results, findings, links), run.tags)
        _tell(tracker, run, {**tags, Tags.VERDICT: judged} if judged else tags)


def _tell(tracker: Tracker, run: Run, tags: Mapping[str, str]) -> None:
    """Set those tags of a run that say something new."""
    if not tags.items() <= run.tags.items():
        tracker.tags(run.id, tags)


def _views(lead: str, levels: Mapping[str, str], seeds: Sequence[int], *, maximize: bool) -> list[View]:
    return study_views(ViewFacts(lead, maximize, levels, str(seeds[0]) if seeds else None))
