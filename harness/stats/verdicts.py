"""What a study may claim: its final runs compared on test, from stored predictions alone.

No model is asked again, and nothing is scored on test that was not scored before. Claims speak of the training
procedure at the learning rate that was found, other seeds included (`harness.stats.contrasts`); where a cell has one
run alone they speak of the trained models, and say so. Chance enters with a fixed seed: the same predictions give the
same verdicts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from harness.metrics.base import Metric
from harness.stats import (
    Comparison,
    Effects,
    Estimate,
    Runs,
    Trained,
    all_pairs,
    estimate,
    not_distinguishable,
    selection_luck,
    some_pairs,
    with_best,
)
from harness.stats import resample as rescore_cells
from harness.stats import to_baseline as against
from harness.stats.answers import Answers, Scored
from harness.stats.axis_levels import NO_AXES, AxisLevels
from harness.stats.difference_of_interest import Needed, needed
from harness.stats.learning_curves import LearningCurves
from harness.stats.scored_runs import affordable, are_stacked, prepared_runs
from harness.stats.seed_variance import SeedVariance
from harness.stats.untested import held_against, without_interval

__all__ = ["InStudy", "Verdicts", "compare_two", "in_study", "judge"]

SEED = 20261123
"""Of the resamples."""


class InStudy(NamedTuple):
    """A cell as the table of its study has it."""

    score: Estimate
    mean_seeds: SeedVariance | None
    """The mean over the trained cells of the study; None where the cell's own runs say nothing of seeds."""
    mean_interaction: SeedVariance | None = None
    """Likewise of the interaction of seeds and cells of the same weights; None where there are none."""

    def among(self, cell: Trained) -> Trained:
        """Return the cell, resampled with few others, as it is among all cells of its study."""
        interaction = self.mean_interaction or cell.mean_interaction
        return replace(cell, mean_seeds=self.mean_seeds, mean_interaction=interaction)


@dataclass(frozen=True)
class Verdicts:
    """The comparisons of a study on one split by one metric, at 95%, each family of them together."""

    metric: str
    higher_is_better: bool
    examples: int
    resamples: int
    best: str
    """The cell that validation likes best: chosen without a look at the numbers here."""
    baseline: str
    scores: Mapping[str, Estimate]
    """Each cell's score; the best cell's interval allows for its having been chosen by the same runs."""
    seeds: Mapping[str, int]
    """How many final runs each cell has."""
    to_baseline: tuple[Comparison, ...]
    """Every other cell against the baseline; empty where the baseline has no final run."""
    with_best: tuple[Comparison, ...]
    """Every other cell against the best."""
    pairs: tuple[Comparison, ...]
    """All pairs, where they were asked for."""
    effects: Effects | None
    """Of every axis, held against the baseline's level; ``None`` without the baseline, or where no levels are known."""
    features: Mapping[str, Effects]
    """Of the parts of prompts, by the prompt that has them, held against the first wording of each at the baseline's
    other levels; each a family of its own."""
    references: Mapping[str, Estimate]
    """Each reference row's score."""
    to_references: tuple[Comparison, ...]
    """Every reference row against the best cell, one family."""
    curves: LearningCurves | None = None
    """Over the number of training examples; ``None`` where cells do not differ in it."""
    needed: Needed | None = None
    """``None`` where the best cell and the baseline are told apart or are one, where no difference of interest is
    known, or where each set of rows is scored from its texts, which takes long."""
    untestable: str = ""
    """Why there are no tests by this metric, empty where there are."""
    unclaimed: Mapping[str, str] = field(default_factory=dict)
    """Cells that take no part in tests, and why."""
    calibrated: tuple[Comparison, ...] = ()
    """Each cell whose labels are calibrated against the one that is the same without, where there is one."""

    def __repr__(self) -> str:
        head = f"{self.metric}, {self.examples} examples, best {self.best!r}, baseline {self.baseline!r}"
        return "\n".join([f"Verdicts({head}; to_baseline:", *(f"    {one!r}," for one in self.to_baseline), ")"])

    @property
    def group(self) -> tuple[str, ...]:
        """The best cell, and those that were tested and are not told apart from it."""
        return not_distinguishable(self.best, self.with_best)

    @property
    def disputed(self) -> tuple[str, ...]:
        """The cells that one family tells apart from the best and the other does not: the pair is in both.

        Each family is right about its own question; words leave open what one of them alone shows.
        """
        pairs = [one.turned if one.a == self.best else one for one in self.to_baseline if self.best in (one.a, one.b)]
        told = {one.a: one.verdict != "undecided" for one in pairs if not one.reason}
        tested = [one for one in self.with_best if one.a in told and not one.reason]
        return tuple(one.a for one in tested if told[one.a] != (one.verdict != "undecided"))

    @property
    def may_be_as_good(self) -> tuple[str, ...]:
        """The cells of which words say that they cannot be told apart from the best: the group's, and `disputed`."""
        return tuple(one.a for one in self.with_best if one.a in {*self.group, *self.disputed})

    def against_baseline(self, cell: str) -> Comparison | None:
        """Return a cell's comparison with the baseline, ``None`` for the baseline itself."""
        return next((comparison for comparison in self.to_baseline if comparison.a == cell), None)


def judge(
    answers: Answers,
    scored: Scored,
    metric: Metric,
    *,
    best: str,
    baseline: str,
    axes: AxisLevels = NO_AXES,
    chosen: bool = True,
    pairs: bool = False,
    calibrated: Sequence[tuple[str, str]] = (),
    smallest_difference: float | None = None,
    unclaimed: Mapping[str, str] = MappingProxyType({}),
    own: Mapping[str, InStudy] = MappingProxyType({}),
) -> Verdicts:
    """Compare all cells with the baseline and with the best, in families of `harness.stats.multiple_comparisons`.

    Args:
        answers: Of two `harness.stats.answers.units` or more, else a ``ValueError``.
        scored: From `harness.stats.answers.score_answers`.
        metric: What scored them.
        best: Which cell the claims are about, by validation; one of those with answers.
        baseline: What others are held against, as far as it has answers.
        axes: Where cells lie on them.
        chosen: Whether the best cell was chosen by its own runs' validation scores, so that its interval allows for it.
        pairs: Whether each cell is to be compared with each.
        calibrated: Cells whose labels are calibrated, each with the one that is the same without.
        smallest_difference: Of interest, in the metric's units; the metric's own where it is None.
        unclaimed: Cells that take no part in tests, and why; their comparisons say so.
        own: Cells of which more is known than these answers say: from `in_study`, of the study that each is from.
    """
    prepared, resamples, higher = prepared_runs(answers, scored, metric), affordable(scored), metric.higher_is_better
    drawn = _drawn(prepared, resamples, own)
    trained, fixed = ({name: drawn[name] for name in part} for part in (answers.cells, answers.references))
    tested = {name: cell for name, cell in trained.items() if name not in unclaimed}
    to_others = partial(held_against, unclaimed=unclaimed, compare=partial(against, higher_is_better=higher))
    bounded = partial(_bounded, metric)
    to_baseline = bounded(to_others(baseline, trained) if baseline in trained else ())
    matched = [pair for pair in calibrated if tested.keys() >= {*pair}]
    return Verdicts(
        metric=metric.name,
        higher_is_better=higher,
        examples=len(answers.examples),
        resamples=resamples,
        best=best,
        baseline=baseline,
        scores=_scores(trained, metric, best if chosen else None, unclaimed, own),
        seeds={name: len(cell.runs) for name, cell in answers.cells.items()},
        to_baseline=to_baseline,
        with_best=bounded(held_against(best, trained, unclaimed, partial(with_best, higher_is_better=higher))),
        pairs=bounded(all_pairs(tested, higher_is_better=higher) if pairs else ()),
        calibrated=bounded(some_pairs(tested, matched, higher_is_better=higher)),
        **axes.judged(tested, baseline, higher_is_better=higher, ends=metric.range, seed=SEED),
        references=_scores(fixed, metric, None, {}),
        to_references=bounded(to_others(best, {best: trained[best], **fixed})),
        needed=needed(best, to_baseline, prepared, trained, _wanted(metric, scored, smallest_difference), seed=SEED),
        untestable=_untestable(metric, drawn),
        unclaimed=unclaimed,
    )


def _wanted(metric: Metric, scored: Scored, smallest: float | None) -> float | None:
    """Return the smallest difference of interest; ``None`` where plans cannot be made from these scores."""
    if not are_stacked(scored):
        return None
    return metric.smallest_difference if smallest is None else smallest


def _drawn(prepared: Mapping[str, Runs], resamples: int, own: Mapping[str, InStudy]) -> dict[str, Trained]:
    drawn = rescore_cells(prepared, generator=np.random.default_rng(SEED), resamples=resamples)
    return drawn | {name: one.among(drawn[name]) for name, one in own.items()}


def in_study(
    answers: Answers, scored: Scored, metric: Metric, *, best: str | None, unclaimed: Mapping[str, str]
) -> dict[str, InStudy]:
    """Return every cell of a study as `judge` has it among the others, for comparisons with cells of other studies.

    Args:
        answers: Of all cells of the study, of two `harness.stats.answers.units` or more.
        scored: From `harness.stats.answers.score_answers`.
        metric: What scored them.
        best: The cell that was chosen by its own runs' validation scores; ``None``: none was by this metric.
        unclaimed: Cells of which nothing may be claimed, and why.
    """
    drawn = _drawn(prepared_runs(answers, scored, metric), affordable(scored), {})
    trained = {name: drawn[name] for name in answers.cells}
    scores = _scores(trained, metric, best, unclaimed)
    return {name: InStudy(scores[name], one.mean_seeds, one.mean_interaction) for name, one in trained.items()}


def _scores(
    cells: Mapping[str, Trained],
    metric: Metric,
    best: str | None,
    unclaimed: Mapping[str, str],
    own: Mapping[str, InStudy] = MappingProxyType({}),
) -> dict[str, Estimate]:
    """Return each cell's score with its interval, which ends where the metric does.

    That of the best cell, where it was chosen, allows for it; cells of which nothing is claimed have none.
    """
    chosen = selection_luck(len(cells), higher_is_better=metric.higher_is_better)
    scores = {name: estimate({name: 1.0}, cells, luck=chosen if name == best else (1.0, 1.0)) for name in cells}
    alone = {
        name: without_interval(score) if name in unclaimed else _within(score, metric.range)
        for name, score in scores.items()
    }
    return alone | {name: one.score for name, one in own.items()}


def _bounded(metric: Metric, comparisons: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """Return comparisons whose intervals end where a difference of two scores does."""
    widest = metric.range[1] - metric.range[0]
    return tuple(one._replace(difference=_within(one.difference, (-widest, widest))) for one in comparisons)


def _within(score: Estimate, ends: tuple[float, float]) -> Estimate:
    low, high = ends
    return score._replace(low=max(score.low, low), high=min(score.high, high)) if score.low == score.low else score


def _untestable(metric: Metric, cells: Mapping[str, Trained]) -> str:
    if any(cell.biased for cell in cells.values()):
        return f"{metric.name} of resampled examples is far from that of all (it depends on how many there are)"
    return ""


def compare_two(answers: Answers, scored: Scored, metric: Metric, *, one: str, other: str) -> Comparison:
    """Compare two cells alone, as `judge` holds a cell against the baseline; there is nothing to correct for.

    Args:
        answers: Of two `harness.stats.answers.units` or more.
        scored: From `harness.stats.answers.score_answers`.
        metric: What scored them.
        one: Whose difference is asked for.
        other: What it is held against.

    Raises:
        ValueError: Fewer than two units.
    """
    prepared = prepared_runs(answers, scored, metric)
    pair = {name: prepared[name] for name in (one, other)}
    drawn = rescore_cells(pair, generator=np.random.default_rng(SEED), resamples=affordable(scored))
    (comparison,) = against(drawn, other, higher_is_better=metric.higher_is_better)
    return comparison
