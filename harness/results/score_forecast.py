"""What `harness plan` predicted of a study, kept on disk until the study is run as it was planned."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from harness.core.bounded_files import OutOfBounds, read_json
from harness.core.example import digest, fingerprint
from harness.core.format_versions import FORMAT, refuse_newer
from harness.core.stored_values import of_kind
from harness.core.whole_files import write_whole
from harness.core.workspace import Workspace
from harness.data.prompt_forms import stored_fields
from harness.study.checked_study import Checked

__all__ = ["CellForecast", "Forecast", "keep_forecast", "kept_forecast"]

PLAN = "plan.json"

PLAN_FORMAT = 1
"""The newest version of it."""


class CellForecast(NamedTuple):
    """One cell, from nothing to its last final run."""

    trials: int
    finals: int
    seconds: float
    """Of all its runs together."""


@dataclass(frozen=True)
class Forecast:
    """A whole study, or those of its cells that were planned."""

    cells: Mapping[str, CellForecast]
    """By id, in grid order."""

    peak_memory_mib: float
    """The most that the process, or the GPU, holds at a time."""

    recordings_mib: float
    """What is recorded of the frozen parts."""

    @property
    def seconds(self) -> float:
        """Of all runs together; loading the model and writing the report come on top."""
        return sum(cell.seconds for cell in self.cells.values())

    def as_json(self) -> dict[str, Any]:
        """Return what `from_json` takes."""
        return asdict(self) | {"cells": {name: cell._asdict() for name, cell in self.cells.items()}}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Forecast:
        """Return what was written.

        Raises:
            ValueError: Not by `as_json`.
        """
        forecast: Forecast = of_kind(cls, value)
        return forecast


def keep_forecast(forecast: Forecast, weights: str, checked: Checked, workspace: Workspace) -> Path:
    """Write what was predicted of a study and a model with this digest of its weights; return where.

    Raises:
        NewerError: A newer version's prediction stands there.
    """
    _kept(checked, workspace)
    file = workspace.study(checked.study.name) / PLAN
    content = {FORMAT: PLAN_FORMAT, "key": _key(checked, weights), "forecast": forecast.as_json()}
    write_whole(file, json.dumps(content))
    return file


def kept_forecast(weights: str, checked: Checked, workspace: Workspace) -> Forecast | None:
    """Return what was predicted of this very study, ``None`` where nothing was, or the study has changed since.

    Raises:
        NewerError: A newer version predicted it.
    """
    kept = _kept(checked, workspace)
    try:
        return Forecast.from_json(kept["forecast"]) if kept and kept["key"] == _key(checked, weights) else None
    except (LookupError, TypeError, ValueError, AttributeError):  # not by `keep_forecast`
        return None


def _kept(checked: Checked, workspace: Workspace) -> dict[str, Any] | None:
    """Return what is kept of a study, ``None`` where nothing is that can be read: it is soon predicted again."""
    file = workspace.study(checked.study.name) / PLAN
    try:
        kept: dict[str, Any] = read_json(file)
        refuse_newer(str(file), kept.get(FORMAT), PLAN_FORMAT)
    except (FileNotFoundError, OutOfBounds, ValueError, AttributeError):
        return None
    return kept


def _key(checked: Checked, weights: str) -> str:
    data = [fingerprint(examples) for examples in checked.examples.values()]
    prompts = [stored_fields(prompt) for prompt in checked.prompts]
    return digest([checked.file.study.model_dump(mode="json"), prompts, data, list(checked.test_ids), weights])
