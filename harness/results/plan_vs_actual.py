"""What `harness plan` predicted beside what a study took."""

from __future__ import annotations

import math
from typing import NamedTuple

from harness.results.collect import Results

__all__ = ["PlanVsActual", "plan_vs_actual"]


class PlanVsActual(NamedTuple):
    """One quantity: predicted, and what it came to."""

    name: str
    """A cell, whose seconds these are, or a quantity with its unit."""
    predicted: float
    actual: float

    @property
    def ratio(self) -> float:
        """Actual over predicted; nan where nothing was predicted."""
        return self.actual / self.predicted if self.predicted else math.nan


def plan_vs_actual(results: Results) -> list[PlanVsActual]:
    """Return the rows for cells that were run as planned, for all of them, and for sizes; none without a plan."""
    forecast = results.forecast
    planned = forecast.cells if forecast else {}
    done = [
        cell
        for cell in results.cells
        if cell.id in planned and planned[cell.id][:2] == (len(cell.trials), len(cell.finals))
    ]
    if forecast is None or not done:
        return []
    rows = [PlanVsActual(cell.id, planned[cell.id].seconds, cell.seconds) for cell in done]
    rows.append(PlanVsActual("all (s)", sum(row.predicted for row in rows), sum(row.actual for row in rows)))
    costs = [trial.costs for cell in done for trial in cell.trials]
    costs += [final.costs for cell in done for final in cell.finals]
    peak = max((cost["peak_memory_mib"] for cost in costs if "peak_memory_mib" in cost), default=math.nan)
    rows.append(PlanVsActual("peak memory (MiB)", forecast.peak_memory_mib, peak))
    if len(done) == len(results.cells) and forecast.recordings_mib:  # else what was recorded is not what was planned
        rows.append(PlanVsActual("recordings (MiB)", forecast.recordings_mib, results.recordings_mib))
    return rows
