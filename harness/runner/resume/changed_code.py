"""A study whose metric was edited under its old signature: it is not gone on with, for its scores would be of two."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from harness.core.errors import DamagedError, UserError
from harness.core.example import Example, fingerprint
from harness.metrics.base import Metric
from harness.metrics.evaluate_hub import PREFIX
from harness.metrics.registry import is_registered
from harness.results.changed_metric import in_words, is_same_score
from harness.tracking.prediction_table import read_predictions
from harness.tracking.schema import Tags, score_name
from harness.tracking.store_protocols import RunStore
from harness.tracking.stored_run import Run
from harness.tracking.study_record import StudyRecord, summary_of

__all__ = ["refuse_changed_code"]


def refuse_changed_code(tracker: RunStore, metrics: Sequence[Metric], validation: Sequence[Example]) -> None:
    """See that the task's own metrics score what the newest final run answered as they did when it was made.

    What is damaged is for others to mend, and one metric under another signature has its cells run again.

    Args:
        tracker: The study's store.
        metrics: The task's, looked up.
        validation: The rows, with all of their fields.

    Raises:
        UserError: One does not, though its signature is the same; says which, and what to do.
    """
    with suppress(DamagedError):
        own = [metric for metric in metrics if not (is_registered(metric) or metric.name.startswith(PREFIX))]
        summary = summary_of(tracker.runs(phase="summary")) if own else None
        signed = StudyRecord.from_run(tracker, summary).signatures if summary else {}
        own = [metric for metric in own if signed.get(metric.name) == metric.signature()]
        if not own or not (same := _finals_on(tracker, validation)):
            return
        said = read_predictions(tracker, same[-1], "validation")
        for metric in own:
            then = same[-1].metrics.get(score_name("validation", metric.name))
            now = metric.reduce([metric.contribution(*pair) for pair in zip(said, validation, strict=False)])
            if then is not None and not is_same_score(then, now):
                raise UserError(in_words(metric, same[-1].name, "validation", then, now))


def _finals_on(tracker: RunStore, validation: Sequence[Example]) -> list[Run]:
    """Return the finished final runs of cells that answered these rows, oldest first."""
    parents, tag = {run.id for run in tracker.runs(phase="cell")}, Tags.data_digest("validation")
    finals = [run for run in tracker.runs(phase="final") if run.parent in parents and run.status == "FINISHED"]
    now = fingerprint(validation)
    return [run for run in finals if run.tags.get(tag) == now]
