"""The table of predictions beside references that a final run stores."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from harness.core.example import Example, Prediction, Split
from harness.tracking.store_protocols import Run, Tracker

__all__ = ["TABLE", "read_examples", "read_predictions", "read_table"]


TABLE = "predictions/{}.json"
"""The artifact of a final run that holds its predictions on a split beside the references."""


def read_examples(tracker: Tracker, run: Run, split: Split) -> tuple[Example, ...]:
    """Return what a final run was asked, as far as metrics need it, in the order of its predictions."""
    return tuple(_example(row) for row in _rows(tracker, run, split))


def read_table(tracker: Tracker, run: Run, split: Split) -> dict[str, list[Any]]:
    """Return a final run's answers as it stored them, column by column."""
    content = json.loads(tracker.fetch(run.id, TABLE.format(split)))
    return {name: [row[place] for row in content["data"]] for place, name in enumerate(content["columns"])}


def _rows(tracker: Tracker, run: Run, split: Split) -> list[dict[str, Any]]:
    table = read_table(tracker, run, split)
    return [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]


def read_predictions(tracker: Tracker, run: Run, split: Split) -> tuple[Prediction, ...]:
    """Return what a final run answered, as it was stored."""
    rows = _rows(tracker, run, split)
    return tuple(Prediction(str(row["id"]), row["prediction"], row["nll"], row["tokens"]) for row in rows)


def _example(row: Mapping[str, Any]) -> Example:
    references = tuple(json.loads(row["references"])) if "references" in row else ()
    return Example(str(row["id"]), {"source": row["source"]}, row["reference"], references)
