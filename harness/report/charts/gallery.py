"""All charts of a study, as far as its store has data for them; the page, the files and ``report.md`` show the same."""

from __future__ import annotations

from dataclasses import dataclass

from harness.report.charts.chart import Chart
from harness.report.charts.scores import depths, expected, learning_curves, learning_rates
from harness.report.charts.tradeoffs import Tradeoff, tradeoffs
from harness.report.text.findings import Findings
from harness.results.collect import Results

__all__ = ["Gallery", "gallery"]


@dataclass(frozen=True)
class Gallery:
    """The charts; ``None`` where there is nothing to draw."""

    depths: Chart | None
    learning_rates: Chart | None
    expected: Chart | None
    learning_curves: Chart | None
    tradeoffs: tuple[Tradeoff, ...]

    def charts(self) -> list[Chart]:
        """Return those that are there, in the order of the report."""
        single = (self.depths, self.learning_rates, self.expected, self.learning_curves)
        return [*(chart for chart in single if chart), *(found.chart for found in self.tradeoffs)]


def gallery(results: Results, findings: Findings) -> Gallery:
    """Return the charts of a study."""
    return Gallery(
        depths=depths(results, findings),
        learning_rates=learning_rates(results),
        expected=expected(results),
        learning_curves=learning_curves(results),
        tradeoffs=tuple(tradeoffs(results)),
    )
