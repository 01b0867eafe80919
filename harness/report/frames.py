"""Results as pandas frames: the columns of the files for programs, with values in place of text."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pandas as pd

from harness.core.closest_match import closest
from harness.core.errors import UserError
from harness.core.example import SPLITS, Split
from harness.report.compare.compared_pair import find_side
from harness.report.csv_tables import results_csv
from harness.results.collect import Results
from harness.stats.learning_curves import FORECAST_LEVEL, LEVEL, LearningCurves
from harness.tracking.address import StudyAddress
from harness.tracking.prediction_table import read_examples, read_predictions
from harness.tracking.schema import Params

__all__ = ["curves_frame", "predictions_frame", "results_frame", "trials_frame"]

SCORED = tuple(split for split in SPLITS if split != "train")


def results_frame(results: Results) -> pd.DataFrame:
    """Return ``results.csv`` with numbers for texts: a row per cell in grid order, NaN where it is empty."""
    header, *rows = csv.reader(io.StringIO(results_csv(results)))
    columns = dict(zip(header, zip(*rows, strict=True), strict=True)) if rows else {}
    named = ("cell", *results.axes)
    values = {name: texts if name in named else _values(texts) for name, texts in columns.items()}
    return pd.DataFrame(values, columns=header)


def _values(texts: Sequence[str]) -> Sequence[int | float | str | None]:
    """Return a column's whole numbers, else its numbers, else its texts; exact, which pandas is not in all versions."""
    for kind in (int, float):
        with suppress(ValueError):
            return [kind(text) if text else math.nan for text in texts]
    return [text or None for text in texts]


def trials_frame(results: Results) -> pd.DataFrame:
    """Return a row per trial that counts, in the order of cells and draws."""
    rows: list[dict[str, Any]] = []
    for cell in results.cells:
        for trial in cell.trials:
            scores = {name.replace("/", "_"): value for name, value in trial.metrics.items()}
            said = {"cell": cell.id, **cell.factors, "trial": trial.index, "state": trial.state, "value": trial.value}
            notes = {"warm_start": trial.warm_start, "error": trial.error}
            rows.append({**said, **trial.hyperparameters, **scores, **trial.costs, **notes})
    columns = ["cell", *results.axes, "trial", "state", "value", *results.space.names]
    return pd.DataFrame(rows, columns=list(dict.fromkeys([*columns, *(name for row in rows for name in row)])))


def curves_frame(curves: LearningCurves | None) -> pd.DataFrame:
    """Return the scores and the fitted curve of each choice by number of examples, up to twice the largest.

    Columns: ``curve``, the axes but the one of sizes, ``examples``, ``fitted`` with ``low`` and ``high``, and ``level``
    of that interval: 0.95, and 0.8 of what is a forecast.
    """
    rows = [
        {
            "curve": curve.name,
            **curve.levels,
            "examples": size,
            "fitted": one.value,
            "low": one.low,
            "high": one.high,
            "level": LEVEL if size <= curve.last else FORECAST_LEVEL,
        }
        for curve in (curves.curves if curves else ())
        for size, one in curve.fitted
    ]
    return pd.DataFrame(
        rows, columns=list(rows[0]) if rows else ["curve", "examples", "fitted", "low", "high", "level"]
    )


def predictions_frame(study: StudyAddress, cell: str, split: str) -> pd.DataFrame:
    """Return what the final runs of a cell said to a split's examples: a row per run and example.

    Raises:
        UserError: There is no such cell or split, or the cell has no final runs there.
    """
    if split not in SCORED:
        raise UserError(f"split is {split!r}; {closest(split, SCORED)}")
    on: Split = "test" if split == "test" else "validation"
    if not cell:  # which would stand for the best one
        raise UserError(f"study {study.study!r} has no cell ''; name one, or take the best: result.best.cell")
    side = find_side(study, on, cell)
    rows = [
        {
            "seed": int(seed) if (seed := run.params[Params.SEED]).isdecimal() else None,
            "id": prediction.id,
            "source": example.source,
            "prediction": prediction.text,
            "reference": example.target,
            "nll": prediction.nll,
            "tokens": prediction.tokens,
        }
        for run in side.runs
        for example, prediction in zip(
            read_examples(side.tracker, run, on), read_predictions(side.tracker, run, on), strict=True
        )
    ]
    return pd.DataFrame(rows)
