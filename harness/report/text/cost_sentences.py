"""What a study took, in sentences: how long its runs took, and what replaying the frozen part saved them."""

from __future__ import annotations

import math
from collections.abc import Mapping

from harness.report.number_format import significant
from harness.results.collect import Results
from harness.results.cost_table import total_costs
from harness.stats import mean

__all__ = ["cost_sentences"]


def cost_sentences(results: Results) -> str:
    """Return the sentences."""
    trials = [trial for cell in results.cells for trial in cell.trials]
    finals = [final for cell in results.cells for final in cell.finals]
    spent = [_seconds(trial.costs) for trial in trials]
    seconds, per_trial = sum(spent) + sum(_seconds(final.costs) for final in finals), mean(spent)
    text = f"{len(trials)} trials and {len(finals)} final runs took {seconds:.0f} seconds of training and scoring"
    text += "" if math.isnan(per_trial) else f", {per_trial:.1f} a trial"
    total = total_costs(results.cells)
    return f"{text}. By cell: `costs.csv`.{_saved(total)}{_used(total)}"


def _saved(total: Mapping[str, float]) -> str:
    saved, done = total.get("flops_saved", 0.0), total.get("flops", 0.0)
    if not saved:
        return ""
    return (
        f" Replaying the frozen part spared {saved / (saved + done):.0%} of the operations of matrix products that "
        f"computing it live would have taken ({significant(saved / 1e12)} of {significant((saved + done) / 1e12)} "
        f"TFLOP); making, reading and proving its recordings took {total.get('recording_seconds', math.nan):.1f} "
        "seconds."
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
