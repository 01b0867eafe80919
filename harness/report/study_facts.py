"""What was run, when and at which settings, and where its best model is."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import yaml

from harness.report.number_format import amount, percent
from harness.report.templates import count
from harness.results.collect import Results
from harness.tracking.schema import Params

__all__ = ["BestModel", "best_model", "study_facts", "study_file"]

PASSWORD = re.compile(r"(://[^:/@\s]*:)[^@\s]+@")


class BestModel(NamedTuple):
    """The stored model of the final run that was kept as the best."""

    uri: str
    cell: str | None
    command: str
    """Has it answer a file."""
    python: str
    """Loads it."""


def study_facts(results: Results) -> dict[str, str]:
    """Return the facts for the head of a report, by name; what the store does not say is left out."""
    facts = {
        "date": _date(results.started),
        "model": str(results.settings.get("model", {}).get("name", "")),
        "weights": _weights(results),
        "epochs": _setting(results, "epochs"),
        "batch size": _setting(results, "batch_size"),
        "runs": _runs(results),
    }
    return {name: value for name, value in facts.items() if value}


def _date(started: float) -> str:
    return "" if math.isnan(started) else f"{datetime.fromtimestamp(started, UTC):%Y-%m-%d}"


def _setting(results: Results, key: str) -> str:
    """Return a key of the study's training section; several values where cells differ in it."""
    name = f"{Params.TRAINING}{key}"
    values = dict.fromkeys(cell.params[name] for cell in results.cells if name in cell.params)
    return ", ".join(values) or str(results.settings.get("training", {}).get(key, ""))


def _weights(results: Results) -> str:
    """Return how many weights a model has, and which share of them the tunings train."""
    sizes = {cell.parameters for cell in results.cells if cell.parameters}
    size = " to ".join(dict.fromkeys(map(amount, (min(sizes), max(sizes))))) if sizes else ""
    shares = {cell.tuning: cell.trained_share for cell in results.cells if cell.trained_share > 0}
    parts = [f"{name} trains {percent(share)}" for name, share in sorted(shares.items(), key=lambda one: one[1])]
    return "; ".join([size, *parts]) if sizes else ""


def _runs(results: Results) -> str:
    trials = sum(len(cell.trials) for cell in results.cells)
    finals = sum(len(cell.finals) for cell in results.cells)
    return ", ".join(map(count, (len(results.cells), trials, finals), ("cell", "trial", "final run")))


def study_file(results: Results) -> str:
    """Return the study file with all defaults, as YAML; keys without a value are left out, passwords are hidden."""
    text = yaml.safe_dump(_said(results.settings), sort_keys=False, allow_unicode=True) if results.settings else ""
    return PASSWORD.sub(r"\1***@", text)


def _said(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _said(inner) for key, inner in value.items() if inner is not None}
    return [_said(inner) for inner in value] if isinstance(value, list | tuple) else value


def best_model(results: Results) -> BestModel | None:
    """Return where the best model is, ``None`` where none is stored."""
    uri, cell = results.kept.model, results.kept.cell
    if uri is None:
        return None
    command = f"harness predict {results.study} --input rows.jsonl --output answers.jsonl"
    return BestModel(uri, cell, command, f'model = mlflow.pyfunc.load_model("{uri}")')
