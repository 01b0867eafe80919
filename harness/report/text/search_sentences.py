"""What a report says of the searches: where they began, what was stopped, how well the loss stood in for the metric."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from scipy.stats import rankdata

from harness.report.number_format import difference, learning_rate, places, score
from harness.report.text.sentence_parts import count
from harness.results.collect import CellResult, Results
from harness.results.search_budget import expected_best_curve, generalization_gap
from harness.stats import mean
from harness.study.dimension import Dimension
from harness.study.search_space import Hyperparameters, shown_value, title
from harness.study.spec import PROXIED
from harness.tracking.schema import score_name

__all__ = ["Agreement", "agreement", "searches"]


class Agreement(NamedTuple):
    """How far low loss and a good metric went together."""

    correlation: float
    """Spearman's, on ranks within each cell; 1: the same order; nan where either never differs."""
    points: int
    """Trials."""
    cells: int
    """Cells that these are from."""


def searches(results: Results) -> str:
    """Return the paragraphs on the searches."""
    parts = [_budget(results), _starts(results), _stopped(results), _bought(results), _proxy(results)]
    return "\n\n".join(filter(None, parts))


def _budget(results: Results) -> str:
    search = results.search
    drawn = ", ".join([f"{search['trials']} trials", *map(_drawn_from, results.space.dimensions)])
    return (
        f"Every cell that trains: {drawn}, sampler {search['sampler']}, compared by {results.objective} on validation."
    )


def _drawn_from(dimension: Dimension) -> str:
    if dimension.choices:
        return f"{title(dimension.name)} among {', '.join(map(shown_value, dimension.choices))}"
    plural = "s" * (dimension.name == "learning_rate")
    return f"{title(dimension.name)}{plural} from {dimension.low:g} to {dimension.high:g}"


def _starts(results: Results) -> str:
    """Say which cells' first trials came from which others."""
    first = [(cell.id, trial) for cell in results.cells for trial in cell.trials if trial.warm_start]
    if not first:
        return ""
    lines = [f"- {cell} from {trial.warm_start}: {_taken(trial.hyperparameters)}" for cell, trial in first]
    rule = (
        "Warm start: the first trial of these cells is the best learning rate of another cell, within the same budget. "
        "Their searches are therefore not independent of each other."
    )
    return "\n".join([rule, "", *lines])


def _taken(hyperparameters: Hyperparameters) -> str:
    if len(hyperparameters) > 1:
        return hyperparameters.in_words()
    return learning_rate(hyperparameters.learning_rate)


def _stopped(results: Results) -> str:
    trials = [trial for cell in results.cells for trial in cell.trials]
    stopped = sum(trial.state == "pruned" for trial in trials)
    if results.search["pruner"] == "none":
        return ""
    rule = f"The {results.search['pruner']} pruner stopped {stopped} of {len(trials)} trials early"
    return f"{rule}; a stopped trial cannot win, even where it would have been best in the end."


def _bought(results: Results) -> str:
    """Say what another number of trials could be expected to find, and how far test fell behind validation."""
    lines = [f"- {cell.id}: {text}" for cell in results.cells if (text := _bought_by(cell, results))]
    rule = (
        f"What the budget bought: the best validation {results.objective} to expect of 1, half and all of a cell's "
        "trials (Dodge et al. 2019, drawn without replacement; a diverged trial counts as the worst, a stopped one by "
        f"where it was stopped; `expected_best.csv` has all numbers), and validation minus test {results.lead}, mean "
        "over final runs."
    )
    return "\n".join([rule, "", *lines]) if lines else ""


def _bought_by(cell: CellResult, results: Results) -> str:
    curve, gap = expected_best_curve(cell, results), generalization_gap(cell, results)
    sizes = dict.fromkeys([1, (len(curve) + 1) // 2, len(curve)] if curve else [])
    bests = [f"{score(curve[size - 1], places(curve[-1]))} of {size}" for size in sizes if math.isfinite(curve[-1])]
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
    pairs = [
        (losses, scores) for cell in results.cells for losses, scores in [_points(cell, results)] if len(losses) > 1
    ]
    if not pairs:
        return Agreement(math.nan, 0, 0)
    by_loss = [rank for losses, _ in pairs for rank in _centered(losses)]
    by_metric = [rank for _, scores in pairs for rank in _centered(scores)]
    size = math.sqrt(_product(by_loss, by_loss) * _product(by_metric, by_metric))
    correlation = _product(by_loss, by_metric) / size if size else math.nan
    return Agreement(correlation, len(by_loss), len(pairs))


def _points(cell: CellResult, results: Results) -> tuple[list[float], list[float]]:
    """Return the merits, higher is better, of a cell's best trials by loss: of the loss, and of the metric."""
    complete = [trial for trial in cell.trials if trial.state == "complete"]
    best = sorted(complete, key=lambda trial: (trial.value, trial.index))[:PROXIED]
    metric, sign = score_name("validation", results.lead), 1.0 if results.maximize else -1.0
    scored = [trial for trial in best if math.isfinite(trial.metrics.get(metric, math.nan))]
    return [-trial.value for trial in scored], [sign * trial.metrics[metric] for trial in scored]


def _centered(values: Sequence[float]) -> list[float]:
    ranks = [float(rank) for rank in rankdata(values)]
    return [rank - mean(ranks) for rank in ranks]


def _product(left: Sequence[float], right: Sequence[float]) -> float:
    return math.fsum(a * b for a, b in zip(left, right, strict=True))


def _proxy(results: Results) -> str:
    """Say how well the loss stood in for the metric that ranks."""
    if results.objective != "loss" or results.lead == "loss":
        return ""
    rank = agreement(results)
    if math.isnan(rank.correlation):
        return f"The loss stood in for {results.lead}; too few trials differ in both to say how well."
    points = f"{rank.points} trials of {count(rank.cells, 'cell')}"
    what = f"over the {PROXIED} trials of lowest loss in each cell ({points})"
    return (
        f"The loss stood in for {results.lead}. Rank correlation of low loss and good {results.lead} {what}: "
        f"{rank.correlation:.2f} (Spearman, ranks within each cell; 1: the same order). These are the best trials by "
        f"loss alone, close to each other, and few: a high value supports the choice among them, a low one says that "
        f"the loss does not settle it; neither says what trials of higher loss would have scored."
    )
