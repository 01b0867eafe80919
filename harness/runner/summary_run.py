"""The summary run of a study: all that its report needs to know."""

from __future__ import annotations

import json
from typing import Any

from harness.core.provenance import provenance
from harness.runner.planning.plan import kept
from harness.runner.publish_pages import show_begun
from harness.runner.run_parts import Session, _sizes
from harness.study.grid import edition

__all__ = []


def _open_summary(session: Session) -> str:
    """Start or reopen the study's summary run, and record on it all that a report needs to know."""
    checked, tracker = session.checked, session.tracker
    earlier = [run for run in tracker.runs() if run.phase == "summary"]
    if earlier:
        tracker.reopen(earlier[-1].id)
        summary = earlier[-1].id
    else:
        params = {"task": checked.task.name, "model": checked.study.model.name}
        summary = tracker.start(
            "summary", phase="summary", parent=None, params=params, tags={"study": checked.study.name}
        )
    session.ledger.watch(summary, "summary")
    tracker.text(summary, checked.file.text, "study.yaml")
    tracker.text(summary, checked.task_file.read_text(encoding="utf-8"), f"task/{checked.task_file.name}")
    facts = _facts(session)
    tracker.text(summary, json.dumps(facts, ensure_ascii=False, indent=2), "study.json")
    if not earlier:
        show_begun(summary, facts["baseline"], session)
    return summary


def _facts(session: Session) -> dict[str, Any]:
    checked, study, trainer = session.checked, session.checked.study, session.trainer
    baseline = study.final.baseline
    forecast = kept(checked, trainer.loaded.digest)
    first_full = next((cell for cell in checked.cells if cell.tuning.kind == "full"), checked.cells[0])
    return {
        "question": checked.file.question,
        "study": study.model_dump(mode="json"),
        "overrides": list(checked.file.overrides),
        "file": str(checked.file.path),
        "task_file": checked.task_file.name,
        "edition": edition(study, {cell.id: session.ledger.digest(cell.id) for cell in checked.cells}),
        "forecast": forecast.as_json() if forecast else None,
        "cells": [cell.id for cell in checked.cells],
        "prompts": {prompt.name: prompt.text for prompt in checked.prompts},
        "metrics": [*(metric.name for metric in trainer.metrics), "loss"],
        "signatures": {metric.name: metric.signature() for metric in trainer.metrics},
        "lead": session.lead,
        "maximize": session.maximizes(session.lead),
        "objective": checked.objective,
        "baseline": f"{baseline.prompt}/{baseline.tuning.name}" if baseline else first_full.id,
        "data": {
            "source": checked.source.origin,
            **{f"{split} examples": size for split, size in _sizes(checked).items()},
        }
        | {f"prompt {fit.prompt}": f"{fit.truncated:.1%} shortened, {fit.dropped} dropped" for fit in checked.fits}
        | {f"duplicates, {o.earlier} and {o.later}": o.line() for o in checked.overlaps if o.twins},
        "leaks": [o.line() for o in checked.overlaps if o.across and o.twins and study.data.on_overlap == "warn"],
        "provenance": {"model": study.model.name, "weights": trainer.loaded.digest}
        | ({"energy": ", ".join(trainer.energy)} if trainer.energy else {})
        | provenance(checked.file.path.resolve().parent),
    }
