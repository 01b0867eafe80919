"""What the final runs of a study answered to a split, and the metric that leads: read back from the store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from harness.core.errors import DamagedError, HarnessError, TaskError
from harness.core.example import Prediction
from harness.metrics import registry
from harness.metrics.base import Metric, metric_name
from harness.metrics.evaluate_hub import resolve_all
from harness.metrics.tokens import EXACT_MATCH
from harness.stats.answers import Answered, Answers, StoredScores
from harness.study.recorded_folders import recorded_task
from harness.study.task import load_task, task_text
from harness.study.task_files import has_run
from harness.tracking.prediction_table import read_asked, read_predictions
from harness.tracking.run_records import scores_of, seed_order
from harness.tracking.schema import Artifacts, Params, Tags
from harness.tracking.store_protocols import RunStore
from harness.tracking.stored_run import Run, damage
from harness.tracking.study_record import StudyRecord
from harness.tracking.transfer_names import asked_under, transfer_file

__all__ = ["answered_by", "exact_share", "named_metric", "read_answers", "read_transfer", "scored_by"]


def read_answers(
    tracker: RunStore,
    finals: Sequence[Run],
    cells: Sequence[str],
    *,
    references: Sequence[Run] = (),
    split: str = "test",
) -> tuple[Answers | None, tuple[str, ...]]:
    """Return the answers of all cells to the same examples, ``None`` where there are none, and what is damaged.

    A cell that was last run on other test rows (the study was edited, and only a part of it run again) is left out:
    the rows are those of the newest final run. All runs were scored on the split, the oldest stands first. One whose
    table is damaged is left out, and named.
    """
    if not finals:
        return None, ()
    digest = finals[-1].tags.get(Tags.TEST_DIGEST)
    same = [run for run in finals if run.tags.get(Tags.TEST_DIGEST) == digest]
    same.sort(key=seed_order)
    fixed = [run for run in references if run.tags.get(Tags.TEST_DIGEST) == digest]
    tables, damaged = _tables(tracker, [*same, *fixed], split)
    whole = [run for run in same if run.id in tables]
    if not whole:
        return None, damaged
    answered = {}
    for cell in cells:
        own = [run for run in whole if run.tags[Tags.CELL] == cell]
        if own:
            answered[cell] = answered_by(own, [tables[run.id] for run in own])
    rows = {run.params[Params.REFERENCE]: run for run in fixed if run.id in tables}
    beside = {name: answered_by([run], [tables[run.id]]) for name, run in rows.items()}
    return Answers(read_asked(tracker, whole[::-1], split), answered, beside), damaged


def read_transfer(tracker: RunStore, finals: Sequence[Run], cells: Sequence[str]) -> dict[str, Answers]:
    """Return, by prompt, what final runs answered under it that trained with others; damaged tables are left out."""
    prompts = dict.fromkeys(name for run in finals for name in asked_under(run))
    found = {}
    for name in prompts:
        asked = [run for run in finals if name in asked_under(run)]
        answers, _ = read_answers(tracker, asked, cells, split=transfer_file(name))
        if answers:
            found[name] = answers
    return found


def answered_by(runs: Sequence[Run], predictions: Sequence[tuple[Prediction, ...]]) -> Answered:
    """Return what runs answered, with the scores that the store holds of them."""
    seeded = any(run.phase != "reference" and run.params[Params.SEED].isdigit() for run in runs)
    weights = [run.tags.get(Tags.WEIGHTS_DIGEST, "") for run in runs]
    return Answered(
        tuple(predictions),
        seeded,
        tuple(StoredScores(run.name, scores_of(run)) for run in runs),
        tuple(weights) if all(weights) else (),
    )


def _tables(
    tracker: RunStore, runs: Sequence[Run], split: str
) -> tuple[dict[str, tuple[Prediction, ...]], tuple[str, ...]]:
    """Return the predictions of runs on a split by their ids, and a line for each run whose table is damaged.

    All answer the same rows, so one of other rows than most are of is damaged as well.
    """
    tables, damaged = {}, []
    for run in runs:
        try:
            tables[run.id] = read_predictions(tracker, run, split)
        except DamagedError as error:
            damaged.append(str(error))
    rows = {id: tuple(one.id for one in table) for id, table in tables.items()}
    (most, _), *_ = Counter(rows.values()).most_common(1) or [((), 0)]
    for run in runs:
        if run.id in tables and rows[run.id] != most:
            del tables[run.id]
            damaged.append(damage(Artifacts.predictions(split), run, "it answers other rows than other runs do"))
    return tables, tuple(damaged)


def exact_share(answers: Answers, cell: str) -> float:
    """Return which share of a cell's answers, over all its final runs, equals a target up to white space."""
    runs = answers.cells[cell].runs
    pairs = [pair for run in runs for pair in zip(run, answers.examples, strict=True)]
    return EXACT_MATCH.reduce([EXACT_MATCH.contribution(*pair) for pair in pairs])


def scored_by(metric: Metric | str, answers: Answers | None) -> Metric | str:
    """Return a metric, or the reason why stored predictions cannot be scored with it: their texts are not stored."""
    if answers is None or isinstance(metric, str) or not answers.lacks(metric):
        return metric
    return f"{metric.name} is scored from texts, and these stay off the store (tracking.texts: false)"


def named_metric(name: str, record: StudyRecord) -> Metric | str:
    """Return a metric of a study, or the reason why predictions cannot be scored with it any more.

    It is looked up by name, then in the study's task; its signature must be the one that the scores in the store were
    computed with, so that intervals and scores are about the same numbers. The store's word runs no code: a task's file
    must be one that was run by hand.
    """
    signed, task = record.signatures.get(name), recorded_task(record)
    if signed is None:
        return f"final runs have no {name} by example"
    own = registry.get(name) if name in registry.names() else None
    if own and own.signature() == signed:
        return own
    if task.is_file() and not _has_run(task):
        return f"{name} is of task file {task}, which was not run as it now stands; name the study's file to allow it"
    found = [metric for metric in (own, _of_task(name, str(task))) if metric]
    same = [metric for metric in found if metric.signature() == signed]
    if same:
        return same[0]
    gone = "does not have it any more" if task.is_file() else "is not there any more"
    now = f"it is now {found[0].signature()}" if found else f"its task file {task} {gone}"
    return f"{name} was {signed} when the study was run; {now}"


def _has_run(task: Path) -> bool:
    try:
        return has_run(task_text(task))
    except TaskError:  # what is there now is no such file
        return False


def _of_task(name: str, task: str) -> Metric | None:
    """Return a metric as the study's task makes it, if the task can still be read."""
    try:
        named = [metric for metric in load_task(task)[0].metrics if metric_name(metric) == name]
        return resolve_all(named)[0] if named else None
    except HarnessError:
        return None
