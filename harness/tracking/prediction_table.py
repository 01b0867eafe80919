"""The table of predictions beside references that a final run or reference row stores: written here, and read here.

Verdicts are computed from it, never from a second scoring.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from harness.core.bounded_files import parse_json
from harness.core.errors import DamagedError
from harness.core.example import Example, Prediction, Split
from harness.tracking.schema import Artifacts
from harness.tracking.store_protocols import Run, RunStore, damage

__all__ = ["copy_predictions", "is_whole", "read_examples", "read_predictions", "write_predictions"]


COLUMNS = {"source", "prediction", "reference", "id", "nll", "tokens"}
"""What every table has."""


def write_predictions(
    tracker: RunStore, run: str, split: Split, examples: Sequence[Example], predictions: Sequence[Prediction]
) -> None:
    """Store a run's predictions on all examples of a split, in their order."""
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
    tracker.table(run, table, Artifacts.predictions(split))


def copy_predictions(tracker: RunStore, source: Run, run: str, split: Split) -> None:
    """Store one run's predictions as another's."""
    tracker.table(run, _columns(tracker, source, split), Artifacts.predictions(split))


def read_predictions(tracker: RunStore, run: Run, split: Split) -> tuple[Prediction, ...]:
    """Return a run's predictions on a split, in the order of the split's examples."""
    rows = _rows(tracker, run, split)
    return tuple(Prediction(str(row["id"]), row["prediction"], row["nll"], row["tokens"]) for row in rows)


def read_examples(tracker: RunStore, run: Run, split: Split) -> tuple[Example, ...]:
    """Return the examples of a run's predictions, as far as metrics need them, in the same order."""
    return tuple(
        Example(
            id=str(row["id"]),
            fields={"source": row["source"]},
            target=row["reference"],
            references=tuple(json.loads(row.get("references", "[]"))),
            group=row.get("group"),
        )
        for row in _rows(tracker, run, split)
    )


def is_whole(tracker: RunStore, run: Run, split: Split, ids: Sequence[str] = ()) -> bool:
    """Return whether a run's predictions on a split are there, unchanged, and of these rows if they are given."""
    try:
        answered = _columns(tracker, run, split)["id"]
    except DamagedError:
        return False
    return not ids or [*map(str, answered)] == [*ids]


def _columns(tracker: RunStore, run: Run, split: Split) -> dict[str, list[Any]]:
    file = Artifacts.predictions(split)
    try:
        content = parse_json(tracker.fetch(run.id, file))
        names, rows = content["columns"], content["data"]
        columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
        texts, numbers = ("source", "prediction", "reference"), ("nll", "tokens")
        whole = (
            columns.keys() >= COLUMNS
            and all(isinstance(value, str) for name in texts for value in columns[name])
            and all(isinstance(value, int | float | None) for name in numbers for value in columns[name])
            and all(isinstance(parse_json(value), list) for value in columns.get("references", ()))
        )
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise DamagedError(damage(file, run, f"it is no table: {error!r}")) from error
    if not whole or not rows:
        should = f"texts and numbers of {', '.join(sorted(COLUMNS))}"
        reason = f"it has {len(rows)} rows of {', '.join(map(str, columns))}, not {should}"
        raise DamagedError(damage(file, run, reason))
    return columns


def _rows(tracker: RunStore, run: Run, split: Split) -> list[dict[str, Any]]:
    columns = _columns(tracker, run, split)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
