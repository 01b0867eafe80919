"""The summary run of a study: all that its report needs to know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

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
from harness.tracking.schema import Artifacts, Params, Tags
from harness.tracking.store_protocols import Tracker
from harness.tracking.study_record import StudyRecord, summary_of
from harness.training.trainer import ModelFacts

__all__ = ["open_summary", "study_record"]


def open_summary(checked: Checked, record: StudyRecord, runs: StudyRuns, tracker: Tracker) -> tuple[str, bool]:
    """Start or reopen the study's summary run, and record on it all that a report needs to know.

    Args:
        checked: The study.
        record: From `study_record`.
        runs: The study's.
        tracker: The store.

    Returns:
        Its id, and whether it was there before.
    """
    earlier = summary_of(tracker.runs())
    if earlier:
        tracker.reopen(earlier.id)
        summary = earlier.id
    else:
        params = {Params.TASK: checked.task.name, Params.MODEL: checked.study.model.name}
        tags = {Tags.STUDY: checked.study.name}
        summary = tracker.start("summary", phase="summary", parent=None, params=params, tags=tags)
    runs.watch(summary, "summary")
    tracker.text(summary, checked.file.text, Artifacts.STUDY)
    tracker.text(summary, checked.task_file.read_text(encoding="utf-8"), Artifacts.task(checked.task_file.name))
    record.to_run(tracker, summary)
    return summary, earlier is not None


def study_record(
    checked: Checked,
    model: ModelFacts,
    metrics: Sequence[Metric],
    objective: Objective,
    runs: StudyRuns,
    forecast: Forecast | None,
) -> StudyRecord:
    """Return what a report needs to know of a study beside its runs."""
    study = checked.study
    return StudyRecord(
        question=checked.file.question,
        study=study.model_dump(mode="json"),
        space=SearchSpace.of(study).record(),
        overrides=tuple(checked.file.overrides),
        file=str(checked.file.path),
        task_file=checked.task_file.name,
        edition=edition(study, {cell.id: runs.digest(cell.id) for cell in checked.cells}),
        forecast=forecast.as_json() if forecast else None,
        cells=tuple(cell.id for cell in checked.cells),
        axes=tuple(checked.baseline.factors),
        depths=tuple(tuning.name for tuning in sorted(study.tunings(), key=lambda tuning: tuning.depth)),
        prompts={prompt.name: prompt.text for prompt in checked.prompts},
        prompt_forms=tuple(asdict(prompt) for prompt in checked.prompts if form_of(prompt) != "text"),
        metrics=(*(metric.name for metric in metrics), "loss"),
        signatures={metric.name: metric.signature() for metric in metrics},
        lead=objective.lead,
        maximize=objective.lead_maximize,
        objective=objective.name,
        baseline=checked.baseline.id,
        data=_data(checked),
        leaks=tuple(o.line() for o in checked.overlaps if o.across and o.twins and study.data.on_overlap == "warn"),
        cautions=checked.cautions,
        provenance={"model": study.model.name, "weights": model.weights}
        | ({"energy": ", ".join(model.energy)} if model.energy else {})
        | provenance(checked.file.path.resolve().parent),
    )


def _data(checked: Checked) -> dict[str, str | int]:
    return (
        {"source": checked.source.origin}
        | {f"{split} examples": size for split, size in split_sizes(checked).items()}
        | {f"prompt {fit.prompt}": f"{fit.truncated:.1%} shortened, {fit.dropped} dropped" for fit in checked.fits}
        | {f"duplicates, {o.earlier} and {o.later}": o.line() for o in checked.overlaps if o.twins}
    )
