"""What the final runs of a study answered to the test examples, and the metric that leads: read back from the store."""

from __future__ import annotations

from collections.abc import Sequence

from harness.core.errors import HarnessError
from harness.metrics.base import Metric
from harness.metrics.evaluate_hub import resolve
from harness.stats.verdicts import Answered, Answers
from harness.study.task import load_task
from harness.tracking.prediction_table import read_examples, read_predictions
from harness.tracking.run_records import seed_order
from harness.tracking.schema import Params, Tags
from harness.tracking.store_protocols import Run, RunStore
from harness.tracking.study_record import StudyRecord

__all__ = ["named_metric", "read_answers"]


def read_answers(
    tracker: RunStore, finals: Sequence[Run], cells: Sequence[str], *, references: Sequence[Run] = ()
) -> Answers | None:
    """Return the answers of all cells to the same test examples, ``None`` where there are none.

    A cell that was last run on other test rows (the study was edited, and only a part of it run again) is left out:
    the rows are those of the newest final run. All runs were scored on test, the oldest stands first.
    """
    if not finals:
        return None
    digest = finals[-1].tags.get(Tags.TEST_DIGEST)
    kept = [run for run in finals if run.tags.get(Tags.TEST_DIGEST) == digest]
    kept.sort(key=seed_order)
    answered = {}
    for cell in cells:
        own = [run for run in kept if run.tags[Tags.CELL] == cell]
        if own:
            said = tuple(read_predictions(tracker, run, "test") for run in own)
            answered[cell] = Answered(said, seeded=own[0].params[Params.SEED].isdigit())
    fixed = {
        run.params[Params.REFERENCE]: Answered((read_predictions(tracker, run, "test"),), seeded=False)
        for run in references
        if run.tags.get(Tags.TEST_DIGEST) == digest
    }
    return Answers(read_examples(tracker, kept[-1], "test"), answered, fixed)


def named_metric(name: str, record: StudyRecord) -> Metric | str:
    """Return a metric of a study, or the reason why predictions cannot be scored with it any more.

    It is looked up by name, then in the study's task; its signature must be the one that the scores in the store were
    computed with, so that intervals and scores are about the same numbers.
    """
    signed = record.signatures.get(name)
    if signed is None:
        return f"final runs have no {name} by example"
    found = [metric for metric in (_known(name), _of_task(name, record.study["task"])) if metric]
    same = [metric for metric in found if metric.signature() == signed]
    if same:
        return same[0]
    now = f"it is now {found[0].signature()}" if found else "it is not found any more"
    return f"{name} was {signed} when the study was run; {now}"


def _known(name: str) -> Metric | None:
    try:
        return resolve(name)
    except HarnessError:
        return None


def _of_task(name: str, task: str) -> Metric | None:
    """Return a metric as the study's task makes it, if the task can still be read."""
    try:
        named = load_task(task)[0].metrics
    except HarnessError:
        return None
    metrics = [_known(metric) if isinstance(metric, str) else metric for metric in named]
    return next((metric for metric in metrics if metric and metric.name == name), None)
