"""The table of predictions beside references that a final run or reference row stores: written here, and read here.

Verdicts are computed from it, never from a second scoring. Where texts are to stay off the store (``tracking.texts``),
it has ids and what each prediction contributes to the metrics, and the texts are in a file of the workspace.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from harness.core.bounded_files import parse_json
from harness.core.errors import DamagedError
from harness.core.example import Example, Prediction, digest
from harness.core.whole_files import write_whole
from harness.metrics.base import Metric
from harness.metrics.tokens import EXACT_MATCH
from harness.tracking.schema import Artifacts
from harness.tracking.store_protocols import RunStore
from harness.tracking.stored_run import Run, damage

__all__ = [
    "KEPT_OFF",
    "TextsKeptOff",
    "copy_predictions",
    "is_whole",
    "read_asked",
    "read_examples",
    "read_predictions",
    "write_predictions",
]


COLUMNS = {"source", "prediction", "reference", "id", "nll", "tokens"}
"""What a table with texts has."""

STATISTICS = {"id", "nll", "tokens", "empty", "statistics"}
"""What a table without texts has; statistics are by metric, as JSON."""

KEPT_OFF = "(kept off the store)"
"""Stands for a text that is not there."""


class TextsKeptOff(NamedTuple):
    """Where texts go that stay off the store, and what goes there in their place."""

    folder: Path
    metrics: Sequence[Metric]
    """The task's: what each prediction contributes to them, where that is numbers."""

    def file(self, name: str, split: str) -> Path:
        """Return the file of a run's predictions on a split, by the run's name."""
        return self.folder / f"{re.sub(r'[^A-Za-z0-9_.=-]+', '-', name)}-{digest(name)[:6]}-{split}.jsonl"


def write_predictions(
    tracker: RunStore,
    run: str,
    split: str,
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    kept_off: TextsKeptOff | None = None,
) -> None:
    """Store a run's predictions on all examples of a split, in their order.

    Args:
        tracker: The store.
        run: The run's id.
        split: Which, or `harness.tracking.transfer_names.transfer_file` of a prompt; so everywhere here.
        examples: All of the split.
        predictions: One for each.
        kept_off: Where texts go instead, if they are to stay off the store.
    """
    table: dict[str, list[Any]] = {  # MLflow's page groups by the first column and compares the second
        "source": [example.source for example in examples],
        "prediction": [prediction.text for prediction in predictions],
        "reference": [example.target for example in examples],
        "id": [prediction.id for prediction in predictions],
        "nll": [prediction.nll for prediction in predictions],
        "tokens": [prediction.tokens for prediction in predictions],
    }
    if any(example.references != (example.target,) for example in examples):
        table["references"] = [json.dumps(list(example.references), ensure_ascii=False) for example in examples]
    if any(example.group is not None for example in examples):
        table["group"] = [example.group for example in examples]
    if any(example.fields.keys() - {"source"} for example in examples):  # which metrics of one's own may read
        table["fields"] = [json.dumps(dict(example.fields), ensure_ascii=False, default=str) for example in examples]
    if all(prediction.probabilities for prediction in predictions):
        table["probabilities"] = [json.dumps(said.probabilities, ensure_ascii=False) for said in predictions]
    if kept_off:
        lines = (dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True))
        text = "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines)
        write_whole(kept_off.file(tracker.run(run).name, split), text)
        table = _without_texts(table, examples, predictions, kept_off.metrics)
    tracker.table(run, table, Artifacts.predictions(split))


def _without_texts(
    table: Mapping[str, list[Any]],
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    metrics: Sequence[Metric],
) -> dict[str, list[Any]]:
    """Return the columns that may leave: ids, numbers, digests."""
    pairs = list(zip(predictions, examples, strict=True))
    kept = {name: table[name] for name in ("id", "nll", "tokens")}
    kept["empty"] = [not prediction.text.strip() for prediction in predictions]
    kept["statistics"] = [json.dumps(_statistics(metrics, *pair)) for pair in pairs]
    if "group" in table:
        kept["group"] = [None if group is None else digest(group) for group in table["group"]]
    return kept


def _statistics(metrics: Iterable[Metric], prediction: Prediction, example: Example) -> dict[str, list[float]]:
    """Return what a prediction contributes, by metric; of those that keep texts or objects nothing."""
    found = {metric.name: metric.contribution(prediction, example) for metric in (*metrics, EXACT_MATCH)}
    numbers = {name: value for name, value in found.items() if isinstance(value, np.ndarray)}
    return {name: [float(one) for one in value] for name, value in numbers.items() if value.dtype.kind in "biuf"}


def copy_predictions(
    tracker: RunStore, source: Run, run: str, split: str, kept_off: TextsKeptOff | None = None
) -> None:
    """Store one run's predictions as another's; see `write_predictions`."""
    columns = _columns(tracker, source, split)
    if kept_off and columns.keys() >= COLUMNS:
        said = read_examples(tracker, source, split), read_predictions(tracker, source, split)
        write_predictions(tracker, run, split, *said, kept_off)
    else:
        tracker.table(run, columns, Artifacts.predictions(split))


def read_predictions(tracker: RunStore, run: Run, split: str) -> tuple[Prediction, ...]:
    """Return a run's predictions on a split, in the order of the split's examples."""
    return tuple(_prediction(row) for row in _rows(tracker, run, split))


def _prediction(row: Mapping[str, Any]) -> Prediction:
    if "statistics" not in row:
        stated = json.loads(row["probabilities"]) if "probabilities" in row else None
        return Prediction(str(row["id"]), row["prediction"], row["nll"], row["tokens"], probabilities=stated)
    text = "" if row["empty"] else KEPT_OFF
    return Prediction(str(row["id"]), text, row["nll"], row["tokens"], json.loads(row["statistics"]))


def read_examples(tracker: RunStore, run: Run, split: str) -> tuple[Example, ...]:
    """Return the examples of a run's predictions, as far as metrics need them, in the same order."""
    return tuple(
        Example(
            id=str(row["id"]),
            fields=json.loads(row["fields"]) if "fields" in row else {"source": row.get("source", KEPT_OFF)},
            target=row.get("reference", KEPT_OFF),
            references=tuple(json.loads(row.get("references", "[]"))),
            group=row.get("group"),
        )
        for row in _rows(tracker, run, split)
    )


def read_asked(tracker: RunStore, runs: Sequence[Run], split: str) -> tuple[Example, ...]:
    """Return the examples that runs answered alike, with their texts if the store has them of any of these runs."""
    for run in runs:
        examples = read_examples(tracker, run, split)
        if examples[0].target != KEPT_OFF:
            break
    return examples


def is_whole(tracker: RunStore, run: Run, split: str, ids: Sequence[str] = ()) -> bool:
    """Return whether a run's predictions on a split are there, unchanged, and of these rows if they are given."""
    try:
        answered = _columns(tracker, run, split)["id"]
    except DamagedError:
        return False
    return not ids or [*map(str, answered)] == [*ids]


def _columns(tracker: RunStore, run: Run, split: str) -> dict[str, list[Any]]:
    file = Artifacts.predictions(split)
    try:
        content = parse_json(tracker.fetch(run.id, file))
        names, rows = content["columns"], content["data"]
        columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
        texts = ("statistics",) if "statistics" in columns else ("source", "prediction", "reference")
        whole = (
            (columns.keys() >= COLUMNS or columns.keys() >= STATISTICS)
            and all(isinstance(value, str) for name in texts for value in columns[name])
            and all(isinstance(value, int | float | None) for name in ("nll", "tokens") for value in columns[name])
            and all(isinstance(parse_json(value), list) for value in columns.get("references", ()))
            and all(isinstance(parse_json(value), dict) for value in columns.get("statistics", ()))
            and all(isinstance(parse_json(value), dict) for value in columns.get("fields", ()))
            and all(isinstance(parse_json(value), dict) for value in columns.get("probabilities", ()))
        )
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise DamagedError(damage(file, run, f"it is no table: {error!r}")) from error
    if not whole or not rows:
        should = f"texts and numbers of {', '.join(sorted(COLUMNS))}"
        reason = f"it has {len(rows)} rows of {', '.join(map(str, columns))}, not {should}"
        raise DamagedError(damage(file, run, reason))
    return columns


def _rows(tracker: RunStore, run: Run, split: str) -> list[dict[str, Any]]:
    columns = _columns(tracker, run, split)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
