"""The summary run of a study: all that its report needs to know."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from harness.core.provenance import provenance
from harness.data.prompt_forms import form_of
from harness.metrics.base import Metric
from harness.results.score_forecast import Forecast
from harness.runner.objective import Objective
from harness.runner.resume.missing_runs import StudyRuns
from harness.runner.run_params import split_sizes
from harness.study.check import Checked
from harness.study.grid import edition
from harness.study.search_space import SearchSpace
from harness.tracking.store_protocols import Tracker
from harness.training.trainer import ModelFacts

__all__ = ["open_summary", "study_facts"]


def open_summary(checked: Checked, facts: dict[str, Any], runs: StudyRuns, tracker: Tracker) -> tuple[str, bool]:
    """Start or reopen the study's summary run, and record on it all that a report needs to know.

    Args:
        checked: The study.
        facts: From `study_facts`.
        runs: The study's.
        tracker: The store.

    Returns:
        Its id, and whether it was there before.
    """
    earlier = [run for run in tracker.runs() if run.phase == "summary"]
    if earlier:
        tracker.reopen(earlier[-1].id)
        summary = earlier[-1].id
    else:
        params = {"task": checked.task.name, "model": checked.study.model.name}
        tags = {"study": checked.study.name}
        summary = tracker.start("summary", phase="summary", parent=None, params=params, tags=tags)
    runs.watch(summary, "summary")
    tracker.text(summary, checked.file.text, "study.yaml")
    tracker.text(summary, checked.task_file.read_text(encoding="utf-8"), f"task/{checked.task_file.name}")
    tracker.text(summary, json.dumps(facts, ensure_ascii=False, indent=2), "study.json")
    return summary, bool(earlier)


def study_facts(
    checked: Checked,
    model: ModelFacts,
    metrics: Sequence[Metric],
    objective: Objective,
    runs: StudyRuns,
    forecast: Forecast | None,
) -> dict[str, Any]:
    """Return what a report needs to know of a study beside its runs, as JSON has it."""
    study = checked.study
    return {
        "question": checked.file.question,
        "study": study.model_dump(mode="json"),
        "space": SearchSpace.of(study).record(),
        "overrides": list(checked.file.overrides),
        "file": str(checked.file.path),
        "task_file": checked.task_file.name,
        "edition": edition(study, {cell.id: runs.digest(cell.id) for cell in checked.cells}),
        "forecast": forecast.as_json() if forecast else None,
        "cells": [cell.id for cell in checked.cells],
        "axes": list(checked.baseline.factors),
        "depths": [tuning.name for tuning in sorted(study.tunings(), key=lambda tuning: tuning.depth)],
        "prompts": {prompt.name: prompt.text for prompt in checked.prompts},
        **_prompt_forms(checked),
        "metrics": [*(metric.name for metric in metrics), "loss"],
        "signatures": {metric.name: metric.signature() for metric in metrics},
        "lead": objective.lead,
        "maximize": objective.lead_maximize,
        "objective": objective.name,
        "baseline": checked.baseline.id,
        "data": _data(checked),
        "leaks": [o.line() for o in checked.overlaps if o.across and o.twins and study.data.on_overlap == "warn"],
        "provenance": {"model": study.model.name, "weights": model.weights}
        | ({"energy": ", ".join(model.energy)} if model.energy else {})
        | provenance(checked.file.path.resolve().parent),
    }


def _prompt_forms(checked: Checked) -> dict[str, Any]:
    """Return the prompts that are more than a text, whole."""
    forms = [asdict(prompt) for prompt in checked.prompts if form_of(prompt) != "text"]
    return {"prompt_forms": forms} if forms else {}


def _data(checked: Checked) -> dict[str, str | int]:
    return (
        {"source": checked.source.origin}
        | {f"{split} examples": size for split, size in split_sizes(checked).items()}
        | {f"prompt {fit.prompt}": f"{fit.truncated:.1%} shortened, {fit.dropped} dropped" for fit in checked.fits}
        | {f"duplicates, {o.earlier} and {o.later}": o.line() for o in checked.overlaps if o.twins}
    )
