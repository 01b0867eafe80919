"""The reliability diagram: how often a label is right that is predicted with some probability."""

from __future__ import annotations

import math

from harness.metrics.classification import CALIBRATION_ERROR, reliability
from harness.report.charts.chart import Axis, Chart, Line, Panel, Point
from harness.report.label_tables import labelled_answers
from harness.report.text.findings import Findings
from harness.results.collect import Results

__all__ = ["reliability_diagram"]


def reliability_diagram(results: Results, findings: Findings) -> Chart | None:
    """Return the diagram of the first-ranked cell on test (Guo et al. 2017, figure 1).

    There is none without labels, nor where a probability is no number.
    """
    pairs = labelled_answers(results, findings)
    if not pairs or findings.first is None:
        return None
    count, stated, right = reliability([CALIBRATION_ERROR.statistics(*pair) for pair in pairs])
    if math.isnan(count.sum()):
        return None
    met = [place for place in range(len(count)) if count[place]]
    points = tuple(
        Point(
            float(stated[place] / count[place]), float(right[place] / count[place]), name=f"{int(count[place])} answers"
        )
        for place in met
    )
    words = ", ".join(f"{point.y:.2f} right of those at {point.x:.2f}" for point in points)
    lines = (
        Line("as stated", -1, (Point(0.0, 0.0), Point(1.0, 1.0)), "thin"),
        Line(findings.first, 0, points),
    )
    return Chart(
        "reliability",
        f"How far the probabilities of {findings.first} can be trusted, on test",
        Axis("probability of the predicted label", span=(0.0, 1.0)),
        Axis("share that is right", span=(0.0, 1.0)),
        (Panel("", lines, words),),
        legend="what is drawn",
    )
