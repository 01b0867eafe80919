"""All charts of a study, as far as its store has data for them; the page, the files and ``report.md`` show the same."""

from __future__ import annotations

from typing import NamedTuple

from harness.report.charts.chart import Chart, legible
from harness.report.charts.reliability import reliability_diagram
from harness.report.charts.scores import depths, expected_best, hyperparameters, learning_curves, learning_rates
from harness.report.charts.tradeoffs import tradeoffs
from harness.report.charts.training_sizes import training_sizes
from harness.report.text.findings import Findings
from harness.results.collect import Results

__all__ = ["Gallery", "gallery"]


class Gallery(NamedTuple):
    """The charts in the order of the report; ``None`` where there is nothing to draw."""

    depths: Chart | None
    learning_rates: Chart | None
    expected_best: Chart | None
    learning_curves: Chart | None
    training_sizes: Chart | None
    """Scores over the number of training examples, where cells differ in it."""
    reliability: Chart | None
    hyperparameters: list[Chart]
    """Over each that is searched beside the learning rate."""
    tradeoffs: list[Chart]

    def charts(self) -> list[Chart]:
        """Return those that are there."""
        return [chart for chart in (*self[:-2], *self.hyperparameters, *self.tradeoffs) if chart]


def gallery(results: Results, findings: Findings) -> Gallery:
    """Return the charts of a study."""
    charts = Gallery(
        depths(results, findings),
        learning_rates(results),
        expected_best(results),
        learning_curves(results),
        training_sizes(results, findings),
        reliability_diagram(results, findings),
        hyperparameters(results),
        tradeoffs(results),
    )
    return Gallery(*legible(charts))
