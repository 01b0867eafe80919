"""What more training data would bring, and what choices are worth in it, in sentences; the words are in a template."""

from __future__ import annotations

from harness.report.number_format import places
from harness.report.templates import paragraphs
from harness.results.cell_result import CellResult
from harness.stats.verdicts import Verdicts

__all__ = ["more_data"]


def more_data(best: CellResult, verdicts: Verdicts) -> list[str]:
    """Return a paragraph on the curve that the best cell is on, and one on what it is worth; empty without curves."""
    if verdicts.curves is None or verdicts.untestable or (curve := verdicts.curves.of(best.id)) is None:
        return []
    return paragraphs(
        "text/more_data.md.j2",
        curve=curve,
        metric=verdicts.metric,
        decimals=places(verdicts.scores[best.id].value),
        open=curve.gain is not None and curve.gain.low < 0 < curve.gain.high,
        worths=[one for one in verdicts.curves.worths if one.curve == curve.name],
    )
