"""Contextual calibration in tables: what labels' probabilities were divided by, and what that did on test."""

from __future__ import annotations

from typing import NamedTuple

from harness.report.number_format import score
from harness.report.plain_tables import PlainTable
from harness.report.text.findings import Findings
from harness.results.calibrated_cells import label_priors
from harness.results.collect import Results
from harness.stats import Comparison

__all__ = ["CalibrationFacts", "calibration_facts"]

CAPTION = (
    "What models say of each label behind inputs that say nothing (N/A, an empty text, [MASK]) in the place of a row, "
    "mean over final runs. By it the probabilities of each row are divided; where it is the same for all labels, that "
    "changes nothing."
)
PAIRED = "Each calibrated cell against the same without calibration, on test; all of these are tested together, at 5%."


class CalibrationFacts(NamedTuple):
    """What a report shows of it."""

    priors: PlainTable
    caption: str
    rows: tuple[Comparison, ...]
    """Empty where no prompt is there with and without, or nothing is claimed."""
    note: str


def calibration_facts(results: Results, findings: Findings) -> CalibrationFacts | None:
    """Return them; ``None`` where no cell is calibrated."""
    priors, verdicts = label_priors(results), findings.verdicts
    if not priors:
        return None
    labels = list(next(iter(priors.values())))
    table = PlainTable(
        ["cell", *labels], [[cell, *(score(prior[label], 3) for label in labels)] for cell, prior in priors.items()]
    )
    return CalibrationFacts(table, CAPTION, verdicts.calibrated if verdicts and not verdicts.untestable else (), PAIRED)
