"""The words of a report for who meets them for the first time; they are in ``glossary.md.j2``."""

from __future__ import annotations

import math

from harness.metrics.base import Metric
from harness.report.templates import paragraphs
from harness.report.text.findings import Findings
from harness.results.collect import Results
from harness.results.row_order import tunings
from harness.results.unlike_losses import loss_in_words
from harness.results.what_trains import tunings_in_words, untrained_model

__all__ = ["glossary"]


def glossary(results: Results, findings: Findings) -> dict[str, str]:
    """Return what each word means."""
    verdicts, metric = findings.verdicts, results.metric
    ends = metric.range if isinstance(metric, Metric) else (-math.inf, math.inf)
    lines = paragraphs(
        "text/glossary.md.j2",
        results=results,
        verdicts=verdicts,
        tunings=tunings(results),
        words=tunings_in_words(results),
        untrained=untrained_model(results),
        range=ends if all(map(math.isfinite, ends)) else None,
        one_run=verdicts is not None and not all(score.covers_seeds for score in verdicts.scores.values()),
        of_loss=loss_in_words(results.cells, results.answers),
        generality=any(not math.isnan(cell.generality_kept) for cell in results.cells),
    )
    return dict(line.split(": ", 1) for line in lines)
