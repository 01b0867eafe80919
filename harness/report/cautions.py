"""What a reader should know before believing a report: the weak spots of a study, each in a sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.report.collect import CellResult, Results
from harness.report.findings import Findings

__all__ = ["EDGE", "at_edge", "cautions"]

EDGE = 0.05
"""Share of the range of learning rates, in its logarithm, that counts as its edge at either end."""


def cautions(results: Results, findings: Findings) -> list[str]:
    """Return one sentence for each weak spot, the gravest first."""
    found = [
        *_without_finals(results, findings),
        *_diverged(results),
        *_few_seeds(findings),
        *_edges(results),
    ]
    return [sentence for sentence in found if sentence]


def at_edge(cell: CellResult, results: Results) -> str:
    """Return the end of the range, ``low`` or ``high``, that a cell's best learning rate lies at; else nothing."""
    if cell.learning_rate is None:
        return ""
    low, high = (math.log(results.search["learning_rate"][end]) for end in ("low", "high"))
    place = (math.log(cell.learning_rate) - low) / (high - low)
    return "low" if place <= EDGE else "high" if place >= 1 - EDGE else ""


def _edges(results: Results) -> list[str]:
    sentences = []
    for end, more in (("low", "lower"), ("high", "higher")):
        cells = [cell.id for cell in results.cells if at_edge(cell, results) == end]
        if cells:
            rate = results.search["learning_rate"][end]
            sentences.append(
                f"The best learning rate lies at the {end} end of the range ({rate:g}) for {_listed(cells)}: "
                f"{more} ones might do better, so widen the range before trusting these cells' scores."
            )
    return sentences


def _without_finals(results: Results, findings: Findings) -> list[str]:
    if findings.verdicts is None:
        return []
    missing = [cell.id for cell in results.cells if cell.id not in findings.verdicts.scores]
    return [f"No claim includes {_listed(missing)}: no final run on these test examples."] if missing else []


def _diverged(results: Results) -> list[str]:
    trials = [cell.id for cell in results.cells for trial in cell.trials if trial.state == "diverged"]
    if not trials:
        return []
    return [f"{len(trials)} trial{'s' * (len(trials) != 1)} diverged, in {_listed(sorted(set(trials)))}."]


def _few_seeds(findings: Findings) -> list[str]:
    scores = findings.verdicts.scores if findings.verdicts else {}
    single = [cell for cell, score in scores.items() if not score.covers_seeds]
    if not single:
        return []
    return [f"One final run says nothing of other seeds: intervals of {_listed(single)} hold for these models alone."]


def _listed(cells: Sequence[str], most: int = 8) -> str:
    shown = ", ".join(cells[:most])
    return shown if len(cells) <= most else f"{shown} and {len(cells) - most} more"
