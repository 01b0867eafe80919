"""What every cell took, in numbers, as csv, and in two sentences."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from harness.core.cost_names import PREFIX, summed
from harness.results.collect import CellResult, Results
from harness.stats import mean

__all__ = ["CostRow", "cost_line", "costs_csv", "table"]


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


def table(results: Results) -> list[CostRow]:
    """Return what each cell took, in grid order."""
    return [_row(cell) for cell in results.cells]


def _row(cell: CellResult) -> CostRow:
    states, total = [trial.state for trial in cell.trials], _total([cell])
    trainable = cell.params.get("trainable_parameters")
    return CostRow(
        cell=cell.id,
        trainable_parameters=int(trainable) if trainable else None,
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


def _total(cells: Sequence[CellResult]) -> dict[str, float]:
    """Return what the runs of some cells cost together, by name."""
    runs = [run.costs for cell in cells for run in cell.trials]
    runs += [run.costs for cell in cells for run in cell.finals]
    found = summed({PREFIX + name: value for name, value in run.items()} for run in runs)
    return {name.removeprefix(PREFIX): value for name, value in found.items()}


def costs_csv(results: Results) -> str:
    """Return `table` with a header; empty where the store does not say."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CostRow._fields)
    writer.writerows([_exact(value) for value in row] for row in table(results))
    return text.getvalue()


def _exact(value: str | float | None) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return "" if value is None else str(value)


def cost_line(results: Results) -> str:
    """Say how long the runs took, and what replaying the frozen part saved them."""
    trials = [trial for cell in results.cells for trial in cell.trials]
    finals = [final for cell in results.cells for final in cell.finals]
    spent = [_seconds(trial.costs) for trial in trials]
    seconds, per_trial = sum(spent) + sum(_seconds(final.costs) for final in finals), mean(spent)
    text = f"{len(trials)} trials and {len(finals)} final runs took {seconds:.0f} seconds of training and scoring"
    text += "" if math.isnan(per_trial) else f", {per_trial:.1f} a trial"
    total = _total(results.cells)
    return f"{text}. By cell: `costs.csv`.{_saved(total)}{_used(total)}"


def _saved(total: Mapping[str, float]) -> str:
    saved, done = total.get("flops_saved", 0.0), total.get("flops", 0.0)
    if not saved:
        return ""
    return (
        f" Replaying the frozen part spared {saved / (saved + done):.0%} of the operations of matrix products that "
        f"computing it live would have taken ({saved / 1e12:.3g} of {(saved + done) / 1e12:.3g} TFLOP); making, "
        f"reading and proving its recordings took {total.get('recording_seconds', math.nan):.1f} seconds."
    )


def _used(total: Mapping[str, float]) -> str:
    if "energy_joules" not in total:
        return ""
    return (
        f" Meanwhile the machine's own counters, of processors and where one is used of the GPU, went up by "
        f"{total['energy_joules'] / 1e3:.1f} kJ, whoever used them."
    )


def _seconds(costs: Mapping[str, float]) -> float:
    return sum(cost for name, cost in costs.items() if name.endswith("_seconds"))
