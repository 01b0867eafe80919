"""What a report says of the searches: where they began, what was stopped, how well the loss stood in for the metric.

The words are in ``searches.md.j2``.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from harness.report.number_format import difference, percent, places, probability, score
from harness.report.templates import count, paragraphs
from harness.results.cell_result import CellResult
from harness.results.collect import Results
from harness.results.search_budget import expected_best_curve, generalization_gap
from harness.results.search_effects import search_effects
from harness.study.search_space import drawn_from, title
from harness.study.spec import PROXIED
from harness.study.written_space import RATE
from harness.tracking.schema import score_name

__all__ = ["Agreement", "agreement", "searches"]


ALPHA = 0.05
"""The chance of seeing an effect of any hyperparameter where none has one."""


class Agreement(NamedTuple):
    """How far low loss and a good metric went together."""

    correlation: float
    """Spearman's, on ranks within each cell; 1: the same order; nan where either never differs."""
    points: int
    """Trials."""
    cells: int
    """Cells that these are from."""


def searches(results: Results) -> str:
    """Return the paragraphs on the searches, empty lines between them; a list is one of its own."""
    trials = [(cell.id, trial) for cell in results.cells for trial in cell.trials]
    blocks = paragraphs(
        "text/searches.md.j2",
        results=results,
        trials=[trial for _, trial in trials],
        warm_starts=[(cell, trial) for cell, trial in trials if trial.warm_start],
        dimensions=[*_rates(results), *map(drawn_from, results.space.beyond_learning_rate.dimensions)],
        effects=_effects(results),
        searches_more=len(results.space.names) > 1,
        bought=_all_bought(results),
        agreement=agreement(results),
        proxied=PROXIED,
    )
    return "\n\n".join(blocks)


def _rates(results: Results) -> list[str]:
    """Say which learning rates were searched: once where cells of all tunings had the same, else for each tuning."""
    rates = {c.tuning: r for c in results.cells if c.tuning != "none" and (r := results.space_of(c).find(RATE))}
    if len(set(rates.values())) < 2:
        found = next(iter(rates.values()), results.space.find(RATE))
        return [drawn_from(found)] if found else []
    search = results.search
    is_named = search.get(RATE) is not None or RATE in (search.get("space") or {})
    own = "" if is_named or search.get("ranges") else ", each kind's own since the study names none"
    several = "; ".join(f"{tuning} {drawn_from(one).partition(' from ')[2]}" for tuning, one in rates.items())
    return [f"learning rates by tuning ({several}{own})"]


def _effects(results: Results) -> list[str]:
    """Say of each hyperparameter what it has to do with the values of trials."""
    told = []
    for name, effect in search_effects(results).items():
        chance = f"p {'=' * (effect.p >= 0.001)} {probability(effect.p)}".replace("  ", " ")
        seen = f"{percent(effect.share)} of the differences" if effect.p <= ALPHA else "no effect seen"
        told.append(f"{title(name)}: {seen} ({chance})")
    return told


def _all_bought(results: Results) -> dict[str, str]:
    """Return `_bought` by cell; nothing where no number of trials would have found another score than another."""
    found = {value for cell in results.cells for value in expected_best_curve(cell, results) if math.isfinite(value)}
    words = {cell.id: _bought(cell, results) for cell in results.cells} if len(found) > 1 else {}
    return {cell: said for cell, said in words.items() if said}


def _bought(cell: CellResult, results: Results) -> str:
    """Say what another number of trials could be expected to find, and how far test fell behind validation."""
    curve, gap = expected_best_curve(cell, results), generalization_gap(cell, results)
    sizes = dict.fromkeys([1, (len(curve) + 1) // 2, len(curve)] if curve else [])
    decimals = places(curve[-1]) if curve else 0
    bests = [f"{count(size, 'trial')} {score(curve[size - 1], decimals)}" for size in sizes if math.isfinite(curve[-1])]
    parts = [", ".join(bests)]
    if not math.isnan(gap):
        decimals = places(cell.score(score_name("test", results.lead)))
        parts.append(f"validation minus test {difference(gap, decimals)}")
    return "; ".join(filter(None, parts))


def agreement(results: Results) -> Agreement:
    """Compare the loss with the leading metric over the best trials of each cell.

    Spearman's rank correlation (Spearman 1904, "The Proof and Measurement of Association between Two Things") with
    ranks taken within each cell and centered there, so that differences between cells count for nothing. A cell with
    fewer than two scored trials says nothing and is left out.
    """
    ranks = [_ranks(merits) for merits in (_merits(cell, results) for cell in results.cells) if len(merits) > 1]
    points = np.concatenate(ranks) if ranks else np.empty((0, 2))
    products = points.T @ points
    size = math.sqrt(products[0, 0] * products[1, 1])
    return Agreement(float(products[0, 1]) / size if size else math.nan, len(points), len(ranks))


def _merits(cell: CellResult, results: Results) -> list[tuple[float, float]]:
    """Return the merits, higher is better, of a cell's best trials by loss: of the loss, and of the metric."""
    complete = [trial for trial in cell.trials if trial.state == "complete"]
    best = sorted(complete, key=lambda trial: (trial.value, trial.index))[:PROXIED]
    metric, sign = score_name("validation", results.lead), 1.0 if results.maximize else -1.0
    scored = [(-trial.value, sign * trial.metrics.get(metric, math.nan)) for trial in best]
    return [merits for merits in scored if math.isfinite(merits[1])]


def _ranks(merits: list[tuple[float, float]]) -> np.ndarray:
    from scipy.stats import rankdata  # heavy, and few studies have trials enough

    ranks = np.asarray(rankdata(merits, axis=0), dtype=float)
    centered: np.ndarray = ranks - ranks.mean(axis=0)
    return centered
