"""What a reader should know before believing a report: the weak spots of a study, each in a sentence.

The sentences are in ``cautions.md.j2``, the gravest first.
"""

from __future__ import annotations

from harness.core.failures import STARVED
from harness.data.row_groups import FEW_TESTED
from harness.report.templates import paragraphs
from harness.report.text.findings import Findings
from harness.report.text.recommendation import leading_references
from harness.results.cell_result import CellResult
from harness.results.collect import Results
from harness.results.degenerate import empty_shares
from harness.results.search_budget import constant_metrics, generalization_gap, rank_flip, unequal_budgets
from harness.results.unfinished import unfinished
from harness.stats.answers import units
from harness.study.dimension import Dimension
from harness.study.search_space import title

__all__ = ["RANK_FLIP", "at_edge", "caption_on_test", "cautions"]

EMPTY = 0.05
"""Share of empty predictions from which on it is a caution."""

RANK_FLIP = 0.1
"""Chance of another first place from which on it is a caution: twice the 5% that a verdict may err with, since a rank
is shown and not claimed. It is never more than one in the number of trials, so more than ten are free of it."""


def cautions(results: Results, findings: Findings) -> list[str]:
    """Return one sentence for each weak spot, the gravest first."""
    flip = rank_flip(results)
    verdicts, trials = findings.verdicts, [(cell.id, trial) for cell in results.cells for trial in cell.trials]
    failed = [(cell, trial) for cell, trial in trials if trial.state == "diverged"]
    scores = verdicts.scores if verdicts else {}
    cells = [*(cell.id for cell in results.cells), *results.absent]
    rows, unit = _test_units(results)
    return paragraphs(
        "text/cautions.md.j2",
        results=results,
        findings=findings,
        budgets=unequal_budgets(results),
        unfinished=unfinished(results),
        left_out=[cell for cell in cells if results.orders.leaves_out(cell)],
        constant=constant_metrics(results),
        leading=leading_references(results),
        first=next(iter(results.ranked()), None),
        undefined=[cell.id for cell in results.cells if _undefined(cell, results)],
        rows=rows,
        unit=unit,
        fewest=FEW_TESTED,
        empty=_empty(results),
        unclaimed=[cell for cell in cells if cell not in scores] if verdicts else [],
        flattered_by=_flattered_by(results, findings),
        diverged=[cell for cell, trial in failed if not trial.error.startswith(STARVED)],
        starved=[cell for cell, trial in failed if trial.error.startswith(STARVED)],
        single=[cell for cell, score in scores.items() if not score.covers_seeds],
        edges=_edges(results),
        flip=flip if flip and flip.chance >= RANK_FLIP else None,
        learns=results.search["sampler"] in ("gp", "tpe")
        or bool(results.search.get("first"))
        or any(trial.warm_start for _, trial in trials),
    )


def caption_on_test(results: Results) -> str:
    """Return how often the test split was scored for a study, and by what."""
    return paragraphs("text/test_access.md.j2", scorings=results.test_access.scorings)[0]


def at_edge(cell: CellResult, dimension: Dimension) -> str:
    """Return the end of a range, ``low`` or ``high``, that a cell's best value lies at; else nothing."""
    return dimension.end_at(cell.hyperparameters[dimension.name]) if dimension.name in cell.hyperparameters else ""


def _flattered_by(results: Results, findings: Findings) -> float | None:
    """Return how far the best cell's validation score is beyond what test finds likely; ``None`` if it is not."""
    if findings.verdicts is None:
        return None
    best = next(cell for cell in results.cells if cell.id == findings.first)
    estimate, gap = findings.verdicts.scores[best.id], generalization_gap(best, results)
    ahead = gap if results.maximize else -gap
    return gap if ahead > (estimate.high - estimate.low) / 2 else None


def _undefined(cell: CellResult, results: Results) -> bool:
    return bool(cell.finals) and not cell.ranks_by(results.lead)


def _test_units(results: Results) -> tuple[int, str]:
    """Return how many examples, or groups of them, tests resample, and what they are called; 0 without any."""
    examples = results.answers.examples if results.answers else ()
    return units(examples), "group" if any(example.group is not None for example in examples) else "example"


def _empty(results: Results) -> list[tuple[str, float]]:
    """Return the cells that answered nothing so often that a reader must know, and how often."""
    return [(cell, share) for cell, share in empty_shares(results).items() if share >= EMPTY]


def _edges(results: Results) -> list[tuple[str, str, str, list[str]]]:
    """Return ends of ranges that best values lie at: the hyperparameter, which end, its value, the cells."""
    edges: dict[tuple[str, str, float], list[str]] = {}
    for cell in results.cells:
        for dimension in results.space_of(cell).dimensions:
            if end := at_edge(cell, dimension):
                limit = dimension.low if end == "low" else dimension.high
                edges.setdefault((dimension.name, end, limit), []).append(cell.id)
    order = results.space.names
    found = sorted(edges.items(), key=lambda edge: (order.index(edge[0][0]), edge[0][1] == "high", edge[0][2]))
    return [(title(name), end, f"{limit:g}", cells) for (name, end, limit), cells in found]
