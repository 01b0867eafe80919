"""What every cell took: its trials and final runs together; and what `harness plan` had predicted beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from harness.core.cost_names import PREFIX, summed
from harness.results.cell_result import CellResult
from harness.results.collect import Results

__all__ = ["CostRow", "PlanVsActual", "cost_table", "plan_vs_actual", "total_costs"]


class CostRow(NamedTuple):
    """One cell: its trials and final runs together; nan where the store does not say."""

    cell: str
    trainable_parameters: int | None
    trials: int
    pruned: int
    diverged: int
    finals: int
    seconds: float
    """From the start to the end of each run; what follows is in it."""
    train_seconds: float
    validation_seconds: float
    test_seconds: float
    recording_seconds: float
    """Making, reading and proving recordings of the frozen part."""
    examples: float
    """Rows trained on, each as often as it was seen."""
    tokens: float
    """Label tokens trained on."""
    tflop: float
    """10^12 operations of matrix products; see `harness.training.cost_meter.flops`."""
    tflop_saved: float
    """What computing the frozen part live would have added."""
    energy_kj: float
    """Of the whole machine meanwhile; see `harness.training.cost_meter.energy`."""
    peak_memory_mib: float
    """The most that the process, or the GPU, had held by the end of any of the runs."""


def cost_table(results: Results) -> list[CostRow]:
    """Return what each cell took, in grid order."""
    return [_row(cell) for cell in results.cells]


def _row(cell: CellResult) -> CostRow:
    states, total = [trial.state for trial in cell.trials], total_costs([cell])
    return CostRow(
        cell=cell.id,
        trainable_parameters=cell.trainable,
        trials=len(states),
        pruned=states.count("pruned"),
        diverged=states.count("diverged"),
        finals=len(cell.finals),
        seconds=cell.seconds,
        train_seconds=total.get("train_seconds", math.nan),
        validation_seconds=total.get("validation_seconds", math.nan),
        test_seconds=total.get("test_seconds", math.nan),
        recording_seconds=total.get("recording_seconds", math.nan),
        examples=total.get("examples", math.nan),
        tokens=total.get("tokens", math.nan),
        tflop=total.get("flops", math.nan) / 1e12,
        tflop_saved=total.get("flops_saved", math.nan) / 1e12,
        energy_kj=total.get("energy_joules", math.nan) / 1e3,
        peak_memory_mib=total.get("peak_memory_mib", math.nan),
    )


def total_costs(cells: Sequence[CellResult]) -> dict[str, float]:
    """Return what the runs of some cells cost together, by name."""
    runs = [trial.costs for cell in cells for trial in cell.trials]
    runs += [final.costs for cell in cells for final in cell.finals]
    total = summed({PREFIX + name: value for name, value in run.items()} for run in runs)
    return {name.removeprefix(PREFIX): value for name, value in total.items()}


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
    peak = total_costs(done).get("peak_memory_mib", math.nan)
    rows.append(PlanVsActual("peak memory (MiB)", forecast.peak_memory_mib, peak))
    if len(done) == len(results.cells) and forecast.recordings_mib:  # else what was recorded is not what was planned
        rows.append(PlanVsActual("recordings (MiB)", forecast.recordings_mib, results.recordings_mib))
    return rows
