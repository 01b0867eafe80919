"""Cells made ready for tests: their final runs, and all of them scored on the same resamples of the examples."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from harness.stats.intervals import least_variance
from harness.stats.resampling import RESAMPLES, Floats, Reduce, Rescore, draw, rescorer
from harness.stats.seed_variance import SeedVariance, mean_seed_variance, own_seed_variance
from harness.stats.shared_seeds import SharedSeeds, shared_seeds

__all__ = ["Runs", "Trained", "resample", "rescored", "runs"]


class Runs(NamedTuple):
    """The final runs of one cell, ready to be scored on any resample of the test examples."""

    scorers: tuple[Rescore, ...]
    """One for each run; all over the same examples in the same order."""
    examples: int
    seeded: bool
    """Whether another seed would give another run; not so for a cell that trains nothing and for reference rows."""
    groups: tuple[int, ...] | None = None
    """Of each example, counted from 0: examples of one group are resampled together. None where each is by itself."""
    binary: bool = False
    """Whether a run's score is the share of examples that are right."""
    weights: tuple[str, ...] = ()
    """What names each run's weights; cells whose runs have the same ones, in one order, are paired by seed. Empty: they
    are the cell's own."""

    @property
    def units(self) -> int:
        """How many there are to resample: examples, or groups of them."""
        return self.examples if self.groups is None else max(self.groups) + 1


def runs(
    statistics: Sequence[Sequence[Any]],
    reduce: Reduce,
    *,
    seeded: bool = True,
    groups: Sequence[Hashable] | None = None,
    weights: Sequence[str] = (),
) -> Runs:
    """Return a cell's runs from their per-example statistics.

    Args:
        statistics: For each final run, one statistic for each example; examples in one order in all cells.
        reduce: The metric's reduction.
        seeded: Whether another seed would give another run.
        groups: To which group each example belongs (turns of one dialogue); such examples are resampled together.
        weights: What names each run's weights, where runs of other cells may have the same ones: these are paired.

    Raises:
        ValueError: There are no runs, no examples, or runs or groups of different numbers of examples.
    """
    lengths = {len(run) for run in statistics}
    if len(lengths) != 1:
        raise ValueError(f"runs must answer the same examples; these have {sorted(lengths) or 'no runs'}")
    examples = lengths.pop()
    if groups is not None and len(groups) != examples:
        raise ValueError(f"each example has one group; there are {examples} examples and {len(groups)} groups")
    numbers = {group: place for place, group in enumerate(dict.fromkeys(groups or ()))}
    return Runs(
        tuple(rescorer(run, reduce) for run in statistics),
        examples,
        seeded,
        groups=None if groups is None else tuple(numbers[group] for group in groups),
        binary=all(_is_share(run, reduce) for run in statistics),
        weights=tuple(weights),
    )


def _is_share(run: Sequence[Any], reduce: Reduce) -> bool:
    """Return whether the statistics are 0 or 1, one each, and the score is their mean."""
    if not all(isinstance(one, np.ndarray) and one.shape == (1,) and one[0] in (0.0, 1.0) for one in run):
        return False
    return bool(np.isclose(reduce(run), np.mean(run)))


@dataclass(frozen=True)
class Trained:
    """One cell: its runs' scores, and what resampled examples and other seeds do to their mean."""

    scores: tuple[float, ...]
    """Of each run, on all examples."""
    draws: Floats
    """Mean over runs on each resample, shape (resamples,); the same resamples for all cells."""
    by_examples: float
    """The part of the variance of one run's score, over runs, that is examples moving runs apart."""
    own_seeds: SeedVariance | None
    """Of one run's score; None where it cannot be known from one run, or where there are no seeds."""
    mean_seeds: SeedVariance | None
    """Its mean over the trained cells that were resampled with this one; None where there are none."""
    units: int
    """Examples, or groups of them."""
    covers_seeds: bool
    """Whether the variance over seeds is known: two runs or more, or a cell without seeds."""
    binary: bool = False
    """Whether scores are shares of examples that are right."""
    shared: SharedSeeds | None = None
    """Of all cells whose runs have the same weights; None where it is the only one."""
    place: int = 0
    """Which of these it is."""
    mean_interaction: SeedVariance | None = None
    """Of one run's score, by what a cell and a seed do together beyond what each does: the mean over all sets of cells
    that share their weights; None where there are none."""

    @property
    def value(self) -> float:
        """The mean over runs."""
        return math.fsum(self.scores) / len(self.scores)

    @property
    def least_variance(self) -> float:
        """By how much a share of right examples varies at least over examples; 0 of any other score."""
        return least_variance(self.units) if self.binary else 0.0

    @property
    def biased(self) -> bool:
        """Whether resampled scores lie more than their own standard deviation off the score (distinct-n falls)."""
        with np.errstate(invalid="ignore"):
            return bool(abs(self.draws.mean() - self.value) > self.draws.std(ddof=1) + 1e-12 * abs(self.value))


def resample(
    cells: Mapping[str, Runs], *, generator: np.random.Generator, resamples: int = RESAMPLES
) -> dict[str, Trained]:
    """Score all cells on the same resamples of the examples.

    Args:
        cells: Runs by cell name, all over the same examples in the same order.
        generator: Where chance comes from.
        resamples: How many; they serve variances and quantiles, not the tails of a p-value.

    Raises:
        ValueError: Fewer than two examples, or cells with different numbers of them.
    """
    drawn = dict(zip(cells, rescored(list(cells.values()), generator=generator, resamples=resamples), strict=True))
    trained = {name: _trained(cell, drawn[name]) for name, cell in cells.items()}
    alike = [names for names in _of_same_weights(cells) if trained[names[0]].own_seeds]
    mean = mean_seed_variance(_pooled([trained[name] for name in names]) for names in alike)
    trained = {name: replace(cell, mean_seeds=mean if cell.own_seeds else None) for name, cell in trained.items()}
    return trained | _paired(trained, drawn, [names for names in alike if len(names) > 1])


def _of_same_weights(cells: Mapping[str, Runs]) -> list[list[str]]:
    """Return the names of cells, those together whose runs have the same weights; most are alone."""
    found = dict[tuple[str, ...], list[str]]()
    for name, cell in cells.items():
        is_known = cell.seeded and len(cell.weights) == len(cell.scorers) > 1
        found.setdefault(cell.weights if is_known else (name,), []).append(name)
    return list(found.values())


def _pooled(cells: Sequence[Trained]) -> tuple[SeedVariance, float]:
    """Return the variance over seeds of cells with the same weights, on average, and the part of it by examples.

    Their seeds are the same, so that together they have the degrees of freedom of one.
    """
    own = [cell.own_seeds for cell in cells if cell.own_seeds]
    variance, square = (
        math.fsum(values) / len(own) for values in zip(*((o.variance, o.square) for o in own), strict=True)
    )
    return SeedVariance(variance, square, own[0].degrees), math.fsum(cell.by_examples for cell in cells) / len(own)


def _paired(
    cells: Mapping[str, Trained], drawn: Mapping[str, Floats], alike: Sequence[Sequence[str]]
) -> dict[str, Trained]:
    """Return the cells that share their weights with others, with what they share.

    Args:
        cells: All of them.
        drawn: Of each, every run's score on each resample, shape (runs, resamples).
        alike: The names of those with the same weights, together.
    """
    shared = [shared_seeds([cells[name].scores for name in names], [drawn[name] for name in names]) for names in alike]
    mean = mean_seed_variance(one.interaction for one in shared)
    return {
        name: replace(cells[name], shared=one, place=place, mean_interaction=mean)
        for names, one in zip(alike, shared, strict=True)
        for place, name in enumerate(names)
    }


def rescored(
    cells: Sequence[Runs], *, generator: np.random.Generator, resamples: int, size: int | None = None
) -> list[Floats]:
    """Return every run's score on the same resamples, for each cell shape (runs, resamples).

    Deviations from their mean are stretched by sqrt(n / (n - 1)), so that their variance is without bias.

    Raises:
        ValueError: Fewer than two examples, or cells with different numbers of them.
    """
    units = {(cell.examples, cell.groups) for cell in cells}
    if len(units) != 1:
        numbers = sorted({cell.examples for cell in cells})
        raise ValueError(f"cells must answer the same examples, in the same groups; these answer {numbers}")
    number, groups = cells[0].units, cells[0].groups
    if number < 2:
        raise ValueError(f"two examples (or groups of them) or more can be resampled; there are {number}")
    chunks: list[list[Floats]] = [[] for _ in cells]
    for counts in draw(number, resamples, generator, size=size):
        spread = counts if groups is None else counts[:, np.asarray(groups)]
        for chunk, cell in zip(chunks, cells, strict=True):
            chunk.append(np.stack([scorer(spread) for scorer in cell.scorers]))
    return [_stretched(np.concatenate(chunk, axis=1), math.sqrt(number / (number - 1))) for chunk in chunks]


def _stretched(scores: Floats, factor: float) -> Floats:
    with np.errstate(invalid="ignore"):  # an infinite perplexity has no deviation
        center = scores.mean(axis=1, keepdims=True)
        stretched: Floats = center + factor * (scores - center)
    return stretched


def _trained(cell: Runs, drawn: Floats) -> Trained:
    number = len(cell.scorers)
    everything = np.ones((1, cell.examples))
    scores = tuple(float(scorer(everything)[0]) for scorer in cell.scorers)
    by_examples, own = 0.0, None
    if cell.seeded and number > 1:
        with np.errstate(invalid="ignore"):
            by_examples = float((drawn - drawn.mean(axis=0)).var(axis=1, ddof=1).sum() / (number - 1))
        own = own_seed_variance(scores, by_examples)
    return Trained(
        scores=scores,
        draws=drawn.mean(axis=0),
        by_examples=by_examples,
        own_seeds=own,
        mean_seeds=None,
        units=cell.units,
        covers_seeds=number > 1 or not cell.seeded,
        binary=cell.binary,
    )
