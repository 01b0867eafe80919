"""Reference rows scored and stored, once for the data at hand; see `harness.study.reference_rows`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.core.example import Example, Prediction, Split, digest, fingerprint
from harness.core.progress import Progress
from harness.metrics.base import Metric
from harness.runner.resume.missing_runs import StudyRuns
from harness.study.reference_rows import REFERENCES
from harness.tracking.prediction_table import write_predictions
from harness.tracking.run_records import ReferenceRecord
from harness.tracking.schema import Params, Tags, score_name
from harness.tracking.store_protocols import Tracker

__all__ = ["ReferenceScorer"]

SPLITS: tuple[Split, ...] = ("validation", "test")


@dataclass(frozen=True)
class ReferenceScorer:
    """Scores the reference rows of a task."""

    task: str
    metrics: Sequence[Metric]
    examples: Mapping[Split, Sequence[Example]]
    """All splits; without ``test`` there are no reference rows."""
    runs: StudyRuns
    tracker: Tracker
    progress: Progress

    def score(self, names: Sequence[str]) -> None:
        """Score the reference rows that are missing; retire those that other data or metrics gave.

        Args:
            names: Of `harness.study.reference_rows`.
        """
        digests = self._digests(names) if "test" in self.examples else {}
        there = set[str]()
        for run in self.runs.references():
            record = ReferenceRecord.from_run(run)
            same = record.digest == digests.get(record.name) and run.status == "FINISHED"
            if same and record.name not in there:
                there.add(record.name)
            else:
                self.runs.retire(run)
        for name, identity in digests.items():
            if name not in there:
                self.progress.say(f"scoring reference row {name}")
                self._score(name, identity)

    def _digests(self, names: Sequence[str]) -> dict[str, str]:
        """Return, by name, the content hash of all that a reference row's scores depend on."""
        data = {split: fingerprint(rows) for split, rows in self.examples.items() if split != "test"}
        metrics = [metric.signature() for metric in self.metrics]
        facts = {"data": data, "test": fingerprint(self.examples["test"]), "metrics": metrics}
        return {name: digest({"reference": name, **facts}) for name in names}

    def _score(self, name: str, identity: str) -> None:
        sizes = {f"{Params.DATA}{split}": len(rows) for split, rows in self.examples.items()}
        record = ReferenceRecord(name, identity, fingerprint(self.examples["test"]))
        params, tags = {Params.TASK: self.task, **record.params(), **sizes}, {**record.tags(), Tags.SCORED: "yes"}
        run = self.runs.start_reference(name, params=params, tags=tags)
        values: dict[str, float] = {}
        for split in SPLITS:
            examples = self.examples[split]
            texts = REFERENCES[name](self.examples["train"], [example.fields["source"] for example in examples])
            predictions = [
                Prediction(example.id, text, math.nan, 0) for example, text in zip(examples, texts, strict=True)
            ]
            for metric in self.metrics:
                pairs = zip(predictions, examples, strict=True)
                values[score_name(split, metric.name)] = metric.reduce([metric.statistics(*pair) for pair in pairs])
            write_predictions(self.tracker, run, split, examples, predictions)
        self.runs.end(run, metrics=values)
