"""A study as MLflow's pages show it: ready-made views, descriptions and verdicts, all of them tags."""

from __future__ import annotations

from harness.report.mlflow_pages.descriptions import Places, begun_note, cell_note, study_note, summary_note, verdict
from harness.report.mlflow_pages.page_views import ViewFacts, Views, cell_view, study_views
from harness.report.text.findings import Findings
from harness.results.collect import Results
from harness.runner.run_parts import Session
from harness.tracking.mlflow.ui_views import NOTE, Address, described, page_tags
from harness.tracking.store_protocols import Run

__all__ = ["show_begun", "show_results"]

ABSENT = "none"


def show_begun(summary: str, baseline: str, session: Session) -> None:
    """Write the views of a study that has no results yet.

    Args:
        summary: The id of its summary run.
        baseline: The id of the cell that others are compared with.
        session: The study.
    """
    views = _views(baseline.rpartition("/")[2], session)
    places = Places(Address(session.tracker.experiment), views, session.tracker.shown(summary), {}, {})
    note = begun_note(session.checked.file.question, places)
    session.tracker.label({**page_tags(views.all(), [], lead=f"validation/{session.lead}"), NOTE: note})


def show_results(results: Results, findings: Findings, summary: str, session: Session) -> None:
    """Describe a study, its summary and its cells, and have its views show what is best.

    Args:
        results: The study, done.
        findings: What may be claimed of it.
        summary: The id of its summary run.
        session: The study.
    """
    tracker, runs = session.tracker, {run.id: run for run in session.tracker.runs()}
    cells = {run.tags["cell"]: run for run in runs.values() if run.phase == "cell"}
    places = _places(results, runs[summary], cells, session)
    note = study_note(results, findings, places)
    trials = [cell_view(cell.id, places.views.facts) for cell in results.cells if cell.trials]
    tracker.label({**page_tags(places.views.all(), trials, lead=f"validation/{results.lead}"), NOTE: note})
    tracker.tags(summary, described(summary_note(results, findings, places), runs[summary].tags))
    for cell in results.cells:
        run = cells[cell.id]
        judged = verdict(cell.id, results, findings)
        tags = described(cell_note(cell, results, findings, places), run.tags)
        tracker.tags(run.id, {**tags, "verdict": judged} if judged else tags)


def _places(results: Results, summary: Run, cells: dict[str, Run], session: Session) -> Places:
    trained = [cell.tuning for cell in results.ranked() if cell.tuning != "none"]
    model = summary.tags.get("best_model", ABSENT)
    return Places(
        address=Address(session.tracker.experiment),
        views=_views(trained[0] if trained else "none", session),
        summary=session.tracker.shown(summary.id),
        parents={cell: session.tracker.shown(run.id) for cell, run in cells.items()},
        prompts={run.params["prompt"]: run.tags["prompt_uri"] for run in cells.values() if "prompt_uri" in run.tags},
        model=None if model == ABSENT else model,
    )


def _views(tuning: str, session: Session) -> Views:
    seeds = session.checked.study.final.seeds
    seed = str(seeds[0]) if seeds else None
    return study_views(
        ViewFacts(session.lead, session.maximizes(session.lead), session.checked.objective, tuning, seed)
    )
