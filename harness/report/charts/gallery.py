"""All charts of a study, as far as its store has data for them; the page, the files and ``report.md`` show the same."""

from __future__ import annotations

from dataclasses import dataclass

from harness.report.charts.chart import Chart
from harness.report.charts.scores import depths, expected_best, learning_curves, learning_rates
from harness.report.charts.tradeoffs import Tradeoff, tradeoffs
from harness.report.text.findings import Findings
from harness.results.collect import Results

__all__ = ["Gallery", "gallery"]


@dataclass(frozen=True)
class Gallery:
    """The charts; ``None`` where there is nothing to draw."""

    depths: Chart | None
    learning_rates: Chart | None
    expected_best: Chart | None
    learning_curves: Chart | None
    tradeoffs: tuple[Tradeoff, ...]

    def charts(self) -> list[Chart]:
        """Return those that are there, in the order of the report."""
        return [*([self.depths] if self.depths else []), *(chart for _, chart in self.headed())]

    def headed(self) -> list[tuple[str, Chart]]:
        """Return those behind the depths, with their headings."""
        charts = [
            ("Score over learning rate", self.learning_rates),
            ("What a smaller search would have found", self.expected_best),
            ("Learning curves", self.learning_curves),
            *((f"Quality against {tradeoff.chart.x.label}", tradeoff.chart) for tradeoff in self.tradeoffs),
        ]
        return [(heading, chart) for heading, chart in charts if chart]


def gallery(results: Results, findings: Findings) -> Gallery:
    """Return the charts of a study."""
    return Gallery(
        depths=depths(results, findings),
        learning_rates=learning_rates(results),
        expected_best=expected_best(results),
        learning_curves=learning_curves(results),
        tradeoffs=tuple(tradeoffs(results)),
    )
