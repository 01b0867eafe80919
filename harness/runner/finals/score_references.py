"""Reference rows scored and stored, once for the data at hand; see `harness.study.reference_rows`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from harness.core.example import Example, Prediction, Split, digest, fingerprint
from harness.core.progress import Progress
from harness.metrics.base import Metric
from harness.runner.resume.missing_runs import StudyRuns
from harness.study.reference_rows import REFERENCES, VERSIONS
from harness.study.task import Task
from harness.tracking.prediction_table import write_predictions
from harness.tracking.run_records import ReferenceRecord
from harness.tracking.schema import Params, Tags, score_name

__all__ = ["score_references"]

SPLITS: tuple[Split, ...] = ("validation", "test")

Examples = Mapping[Split, Sequence[Example]]


def score_references(
    task: Task, metrics: Sequence[Metric], examples: Examples, runs: StudyRuns, progress: Progress
) -> None:
    """Score a task's reference rows that are missing; retire those that other data or metrics gave.

    There are none where ``test`` is not among the examples.
    """
    digests = _digests(task.references, metrics, examples) if "test" in examples else {}
    there = set[str]()
    for run in runs.of_phase("reference"):
        record = ReferenceRecord.from_run(run)
        same = record.digest == digests.get(record.name) and run.status == "FINISHED"
        if same and record.name not in there:
            there.add(record.name)
        else:
            runs.retire(run)
    for name, identity in digests.items():
        if name not in there:
            progress.stage(f"scoring reference row {name}")
            record = ReferenceRecord(name, identity, fingerprint(examples["test"]))
            _score(record, task.name, metrics, examples, runs)


def _digests(names: Sequence[str], metrics: Sequence[Metric], examples: Examples) -> dict[str, str]:
    """Return, by name, the content hash of all that a reference row's scores depend on."""
    data = {split: fingerprint(rows) for split, rows in examples.items() if split != "test"}
    signatures = [metric.signature() for metric in metrics]
    facts = {"data": data, "test": fingerprint(examples["test"]), "metrics": signatures}
    versions = {name: {"version": VERSIONS[name]} if name in VERSIONS else {} for name in names}
    return {name: digest({"reference": name, **versions[name], **facts}) for name in names}


def _score(record: ReferenceRecord, task: str, metrics: Sequence[Metric], examples: Examples, runs: StudyRuns) -> None:
    sizes = {f"{Params.DATA}{split}": len(rows) for split, rows in examples.items()}
    params, tags = {Params.TASK: task, **record.params(), **sizes}, {**record.tags(), Tags.SCORED: "yes"}
    run = runs.start_reference(record.name, params=params, tags=tags)
    values: dict[str, float] = {}
    for split in SPLITS:
        rows = examples[split]
        texts = REFERENCES[record.name](examples["train"], [row.source for row in rows])
        predictions = [Prediction(row.id, text, math.nan, 0) for row, text in zip(rows, texts, strict=True)]
        for metric in metrics:
            pairs = zip(predictions, rows, strict=True)
            values[score_name(split, metric.name)] = metric.reduce([metric.statistics(*pair) for pair in pairs])
        write_predictions(runs.tracker, run, split, rows, predictions, runs.kept_off)
    runs.end(run, metrics=values)
