"""What a study took, in sentences: how long its runs took, and what replaying the frozen part saved them."""

from __future__ import annotations

from collections.abc import Sequence

from harness.report.templates import paragraphs
from harness.results.collect import Final, Results, Trial
from harness.results.cost_table import total_costs

__all__ = ["cost_sentences"]


def cost_sentences(results: Results) -> str:
    """Return the sentences, which are in ``cost_sentences.md.j2``."""
    trials = _seconds([trial for cell in results.cells for trial in cell.trials])
    finals = _seconds([final for cell in results.cells for final in cell.finals])
    total = total_costs(results.cells)
    return " ".join(paragraphs("text/cost_sentences.md.j2", trials=trials, finals=finals, total=total))


def _seconds(runs: Sequence[Trial | Final]) -> list[float]:
    return [sum(cost for name, cost in run.costs.items() if name.endswith("_seconds")) for run in runs]
