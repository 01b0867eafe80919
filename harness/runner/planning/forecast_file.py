"""The forecast of a planned study, kept on disk until the study is run as it was planned."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from harness.core.example import digest, fingerprint
from harness.core.workspace import Workspace
from harness.results.score_forecast import Forecast
from harness.runner.planning.plan import Plan
from harness.study.check import Checked

__all__ = ["keep_forecast", "kept_forecast"]


def keep_forecast(made: Plan, checked: Checked, workspace: Workspace) -> Path:
    """Write a plan's forecast for the report of the study that was planned, and return where."""
    file = _file(checked, workspace)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        json.dumps({"key": _key(checked, made.weights), "forecast": made.forecast.as_json()}), encoding="utf-8"
    )
    return file


def kept_forecast(checked: Checked, weights: str, workspace: Workspace) -> Forecast | None:
    """Return the forecast of this very study, ``None`` where there is none, or the study has changed since."""
    try:
        found = json.loads(_file(checked, workspace).read_text(encoding="utf-8"))
        return Forecast.from_json(found["forecast"]) if found["key"] == _key(checked, weights) else None
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # none, or cut short
        return None


def _file(checked: Checked, workspace: Workspace) -> Path:
    return workspace.study(checked.study.name) / "plan.json"


def _key(checked: Checked, weights: str) -> str:
    data = [fingerprint(examples) for examples in checked.examples.values()]
    prompts = [asdict(prompt) for prompt in checked.prompts]
    return digest([checked.study.model_dump(mode="json"), prompts, data, list(checked.test_ids), weights])
