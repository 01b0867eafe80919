"""What the searches' budgets bought: expected bests, how firm the first place is, and what validation flattered."""

from __future__ import annotations

import math
from typing import NamedTuple

from harness.results.cell_result import CellResult, Trial
from harness.results.collect import Results
from harness.results.searched_cells import is_searched
from harness.stats import expected_best, mean
from harness.tracking.schema import Metrics, score_name

__all__ = [
    "Budget",
    "RankFlip",
    "best_trial",
    "constant_metrics",
    "expected_best_curve",
    "generalization_gap",
    "outcome",
    "rank_flip",
    "rises",
    "unequal_budgets",
]


class Budget(NamedTuple):
    """What a cell's score was bought with."""

    trials: int
    """That the winner is the best of, but for those beyond its range."""
    finals: int
    """Diverged ones included."""


class RankFlip(NamedTuple):
    """How firmly one cell comes first by its best trial."""

    leader: str
    chance: float
    """That another cell would lead, had each search been one trial shorter."""


class _Top(NamedTuple):
    """One cell's search; higher is better."""

    best: float
    second: float
    """The best without the best trial; minus infinity where no other completed."""
    trials: int
    """0 where nothing is searched."""

    def within(self, bound: float) -> float:
        """Return the chance that the best of all trials but a random one is at most this."""
        if self.best <= bound:
            return 1.0
        return 1 / self.trials if self.trials and self.second <= bound else 0.0


def expected_best_curve(cell: CellResult, results: Results) -> list[float]:
    """Return the expected best objective of 1, 2, ... of a cell's trials; see `harness.stats.expected_best`.

    A pruned trial counts by the value it was pruned at: that it was stopped says that this was a poor one, and to leave
    it out would make the budget look smaller than it was. A diverged one counts as the worst.
    """
    return expected_best([outcome(trial, results) for trial in cell.trials], maximize=rises(results))


def best_trial(cell: CellResult, results: Results) -> Trial | None:
    """Return the trial whose hyperparameters a cell has, while its search is not over the best so far.

    Of equal objectives the lower validation loss is the better one, then the earlier trial, as the search has it
    (`harness.runner.search.optuna_search.CellSearch.best`); ``None`` where no trial completed.
    """
    complete, sign = [trial for trial in cell.trials if math.isfinite(trial.value)], 1.0 if rises(results) else -1.0

    def merit(trial: Trial) -> tuple[bool, float, float, int]:
        loss = trial.metrics.get(Metrics.VALIDATION_LOSS, math.inf)
        return trial.index == cell.winner, sign * trial.value, -loss, -trial.index

    return max(complete, key=merit, default=None)


def outcome(trial: Trial, results: Results) -> float:
    """Return what a trial counts by: its objective, of a pruned one that at which it was stopped; nan of others."""
    if trial.state == "pruned":
        return trial.metrics.get(score_name("validation", results.objective), math.nan)
    return trial.value if trial.state == "complete" else math.nan


def rises(results: Results) -> bool:
    """Return whether a higher objective is better; it is the metric that leads, or the loss."""
    return results.maximize and results.objective == results.lead


def rank_flip(results: Results) -> RankFlip | None:
    """Return how likely it is that the last trial of each search decided which cell comes first.

    Were a cell's trials exchangeable, any of them could have been the last. So the chance is the share, among all ways
    to leave out one trial of each cell, of those in which another cell has the best trial: counted exactly, and never
    more than one in the leader's number of trials. Grid points and random draws are exchangeable; those of a sampler
    that learns (``gp``, ``tpe``) and a warm start's first one are not. Zero-shot cells take part with their one score.

    Returns:
        ``None`` where no cell has a score, or the leader has one trial alone, without which nothing is left.
    """
    tops = {cell.id: _top(cell, results) for cell in results.cells}
    leader = max(tops, key=lambda cell: tops[cell].best, default="")
    if not leader or tops[leader].best == -math.inf or tops[leader].trials == 1:
        return None
    first = tops[leader]
    if not first.trials:
        return RankFlip(leader, 0.0)
    stays = math.prod(top.within(first.second) for cell, top in tops.items() if cell != leader)
    return RankFlip(leader, (1 - stays) / first.trials)


def _top(cell: CellResult, results: Results) -> _Top:
    sign = 1.0 if rises(results) else -1.0
    if cell.tuning == "none":
        score = cell.score(score_name("validation", results.objective))
        return _Top(-math.inf if math.isnan(score) else sign * score, -math.inf, 0)
    complete = sorted((sign * trial.value for trial in cell.trials if trial.state == "complete"), reverse=True)
    best, second = [*complete, -math.inf, -math.inf][:2]
    return _Top(best, second, len(cell.trials))


def generalization_gap(cell: CellResult, results: Results) -> float:
    """Return validation minus test of the metric that leads, mean over final runs; nan without any."""
    names = [f"{split}/{results.lead}" for split in ("validation", "test")]
    both = [[final.metrics[name] for name in names] for final in cell.finals if final.metrics.keys() >= {*names}]
    return mean([validation - test for validation, test in both])


def unequal_budgets(results: Results) -> dict[Budget, list[str]]:
    """Return budgets with the ids of their cells, where cells that train and are ranked together have unequal ones.

    One whose trials all diverged has no rank, and final runs in no study.
    """
    budgets: dict[Budget, list[str]] = {}
    for cell in results.cells:
        # Where settings of generation are compared, what its search was given is told of the first one's cell.
        if cell.tuning != "none" and not cell.all_diverged and is_searched(cell.factors, results.settings):
            budget = Budget(len(cell.trials) - cell.added_trials, len(cell.finals) + cell.diverged_finals)
            budgets.setdefault(budget, []).append(cell.id)
    return budgets if len(budgets) > 1 else {}


def constant_metrics(results: Results) -> dict[str, tuple[float, int]]:
    """Return the metrics that tell no trial of the study from another, each with its one value and how many have it."""
    scores = [trial.metrics for cell in results.cells for trial in cell.trials if trial.state == "complete"]
    names = {metric: score_name("validation", metric) for metric in results.metrics}
    values = {metric: [own[name] for own in scores if name in own] for metric, name in names.items()}
    return {metric: (own[0], len(own)) for metric, own in values.items() if len(own) > 1 and len(set(own)) == 1}
