"""What `harness plan` predicted beside what a study took."""

from __future__ import annotations

import math

from harness.results.collect import Results

__all__ = ["predicted_rows"]


def predicted_rows(results: Results) -> list[list[str]]:
    """Return predicted, actual and their ratio: of cells that were run as planned, of all of them, and of sizes."""
    forecast = results.forecast
    planned = forecast.cells if forecast else {}
    done = [
        (planned[cell.id].seconds, cell)
        for cell in results.cells
        if cell.id in planned and planned[cell.id][:2] == (len(cell.trials), len(cell.finals))
    ]
    if forecast is None or not done:
        return []
    rows = [_beside(cell.id, predicted, cell.seconds) for predicted, cell in done]
    rows.append(_beside("all (s)", sum(predicted for predicted, _ in done), sum(cell.seconds for _, cell in done)))
    costs = [trial.costs for _, cell in done for trial in cell.trials]
    costs += [final.costs for _, cell in done for final in cell.finals]
    peak = max((cost["peak_memory_mib"] for cost in costs if "peak_memory_mib" in cost), default=math.nan)
    rows.append(_beside("peak memory (MiB)", forecast.peak_memory_mib, peak))
    if len(done) == len(results.cells) and forecast.recordings_mib:  # else what was recorded is not what was planned
        rows.append(_beside("recordings (MiB)", forecast.recordings_mib, results.recordings_mib))
    return rows


def _beside(name: str, predicted: float, actual: float) -> list[str]:
    ratio = f"{actual / predicted:.2f}" if predicted and math.isfinite(actual) else "-"
    return [name, f"{predicted:,.1f}", "-" if math.isnan(actual) else f"{actual:,.1f}", ratio]
