"""Made-up studies whose true scores are known: what an example is worth, cell by cell and seed by seed.

A latent quality is the sum of a cell's mean and normal effects of the example (shared by all cells), of example and
cell (shared by the cell's seeds), of the seed, and of all three. ROUGE-like scores are the normal distribution function
of it, and 0 for some examples; BLEU-like statistics are lengths, and n-gram matches drawn with that probability; a
right answer is one whose quality lies above a bar that most clear. So expected values are closed forms, for the mean of
a normal distribution function is one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from harness.stats.trained_cells import Runs

Floats = NDArray[np.float64]

ABILITY, PAIRED = 0.5, 0.5
"""Variances of the latent effects of the example, and of what cells make of it; the latter is in part a seed's own."""
SPREAD = (1 + ABILITY + PAIRED) ** 0.5


def _mishaps(shape: tuple[int, ...], generator: np.random.Generator) -> Floats:
    """Return what nine seeds in ten hardly have, and one in ten has badly; mean 0, variance 1."""
    drawn = 0.3 * generator.standard_normal(shape) - 3.0 * (generator.random(shape) < 0.1)
    return (drawn + 0.3) / np.sqrt(0.09 + 9 * 0.09)


LAWS: dict[str, Callable[[tuple[int, ...], np.random.Generator], Floats]] = {
    "normal": lambda shape, generator: generator.standard_normal(shape),
    "student3": lambda shape, generator: generator.standard_t(3, shape) / np.sqrt(3),
    "mishaps": _mishaps,
}
"""What seeds add, with mean 0 and variance 1."""

DRAWN = {law: draw((40_000,), np.random.default_rng(2)) for law, draw in LAWS.items()}
DRAWN = {law: (drawn - drawn.mean()) / drawn.std() for law, drawn in DRAWN.items()}
"""Many seeds, for the truth over all of them."""


class Design(NamedTuple):
    """The size of a made-up study, and how far its seeds go apart."""

    seeds: int
    examples: int
    own: float
    """Variance that each seed adds to each example by itself, at most `PAIRED`."""
    deviations: Floats
    """Latent, of what a seed adds to all its examples, shape (cells,)."""
    law: str
    """How that is distributed, a key of `LAWS`."""


class World(Protocol):
    """A kind of metric, with a way to draw a study and its truth."""

    name: str
    full: float
    """The best score."""
    examples: int
    """How many a simulated study has."""
    slope: float
    """What a score gains by one latent unit, at latent mean 0."""

    def runs(self, quality: Floats, generator: np.random.Generator) -> list[Runs]:
        """Return each cell's runs for latent qualities of shape (cells, seeds, examples)."""

    def expected(self, mean: float | Floats) -> Floats:
        """Return the score on all examples of one trained model whose latent mean that is."""


def lucks(design: Design, generator: np.random.Generator) -> Floats:
    """Return what each seed adds to all its examples, latent, shape (cells, seeds)."""
    shape = (len(design.deviations), design.seeds)
    return design.deviations[:, None] * LAWS[design.law](shape, generator)


def latent(means: Floats, seeds: Floats, design: Design, generator: np.random.Generator) -> Floats:
    """Return latent qualities, shape (cells, seeds, examples)."""
    cells, normal = len(means), generator.standard_normal
    quality = means[:, None, None] + ABILITY**0.5 * normal((1, 1, design.examples))
    quality = quality + (PAIRED - design.own) ** 0.5 * normal((cells, 1, design.examples)) + seeds[:, :, None]
    return quality + design.own**0.5 * normal((cells, design.seeds, design.examples))


@cache
def _truth(world: World, mean: float, deviation: float, law: str) -> float:
    return float(np.mean(world.expected(mean + deviation * DRAWN[law])))


def truth(world: World, mean: float, design: Design, cell: int) -> float:
    """Return the score of the procedure: over all examples and all seeds."""
    return _truth(world, mean, float(design.deviations[cell]), design.law)


@cache
def _error(world: World, examples: int) -> float:
    """Return the standard error over examples of the score of one run."""
    design, generator = Design(1, examples, 0.0, np.zeros(1), "normal"), np.random.default_rng(0)
    scores = []
    for _ in range(400):
        (cell,) = world.runs(latent(np.zeros(1), np.zeros((1, 1)), design, generator), generator)
        scores.append(cell.scorers[0](np.ones((1, examples)))[0])
    return float(np.std(scores))


def deviation_of(world: World, share: float, examples: int) -> float:
    """Return the latent deviation of seeds that moves a score by that share of its standard error over examples."""
    return share * _error(world, examples) / world.slope


class Rouge:
    """A mean of scores between 0 and 1, a part of them 0 for every cell."""

    name = "ROUGE-like"
    full = 1.0
    examples = 200
    lost = 0.15
    """Share of examples that nobody scores on."""

    @property
    def slope(self) -> float:
        return float(self.expected(0.01) - self.expected(-0.01)) / 0.02

    def runs(self, quality: Floats, generator: np.random.Generator) -> list[Runs]:
        scores = ndtr(quality) * (generator.random(quality.shape[-1]) >= self.lost)
        return [Runs(tuple(partial(_averaged, run) for run in cell), quality.shape[-1], True) for cell in scores]

    def expected(self, mean: float | Floats) -> Floats:
        return (1 - self.lost) * ndtr(np.asarray(mean) / SPREAD)


class Bleu:
    """BLEU of lengths, matches and n-grams, orders 1 to 4, with a brevity penalty that bites."""

    name = "BLEU-like"
    full = 100.0
    examples = 200
    harder = np.array([0.0, 0.7, 1.1, 1.5])
    """What each order takes off the latent quality."""

    def __init__(self) -> None:
        said, _ = self._lengths(1_000_000, np.random.default_rng(1))
        self.ngrams = self._ngrams(said).mean(axis=0)
        """Expected number of n-grams said, by order."""
        self.slope = float(self.expected(0.01) - self.expected(-0.01)) / 0.02

    def runs(self, quality: Floats, generator: np.random.Generator) -> list[Runs]:
        said, wanted = self._lengths(quality.shape[-1], generator)
        ngrams = self._ngrams(said)
        matches = generator.binomial(ngrams.astype(int), ndtr(quality[..., None] - self.harder))
        lengths = np.stack([said, wanted], axis=1)
        return [
            Runs(tuple(partial(_bleu_of, np.hstack([lengths, run, ngrams])) for run in cell), len(said), True)
            for cell in matches
        ]

    def expected(self, mean: float | Floats) -> Floats:
        matches = self.ngrams * ndtr((np.asarray(mean)[..., None] - self.harder) / SPREAD)
        lengths = np.array([self.ngrams[0], self.ngrams[0] + 1.0])  # as `_lengths` draws them
        shape = matches.shape[:-1]
        return bleu(
            np.concatenate(
                [np.broadcast_to(lengths, (*shape, 2)), matches, np.broadcast_to(self.ngrams, (*shape, 4))], axis=-1
            )
        )

    @staticmethod
    def _lengths(examples: int, generator: np.random.Generator) -> tuple[Floats, Floats]:
        """Return words said and words wanted, one more on average."""
        wanted = 6.0 + generator.poisson(12, examples)
        return wanted + generator.integers(-3, 1, examples, endpoint=True), wanted

    @staticmethod
    def _ngrams(said: Floats) -> Floats:
        return np.maximum(said[:, None] - np.arange(4), 0)


class Right:
    """A share of right answers near the ceiling: about one example in forty is wrong in a run."""

    name = "near the ceiling"
    full = 1.0
    examples = 40
    ease = float(ndtri(0.97))
    """How far the average example lies above the bar."""

    @property
    def slope(self) -> float:
        return float(self.expected(0.01) - self.expected(-0.01)) / 0.02

    def runs(self, quality: Floats, generator: np.random.Generator) -> list[Runs]:
        scores = (quality + self.ease > 0).astype(np.float64)
        return [
            Runs(tuple(partial(_averaged, run) for run in cell), quality.shape[-1], True, binary=True)
            for cell in scores
        ]

    def expected(self, mean: float | Floats) -> Floats:
        return ndtr((np.asarray(mean) + self.ease) / (ABILITY + PAIRED) ** 0.5)


def bleu(sums: Floats) -> Floats:
    """Return BLEU of summed statistics, shape (..., 10): length, reference length, matches, n-grams.

    Papineni et al. 2002, section 2.3; 0 without a match of some order.
    """
    with np.errstate(divide="ignore"):
        precision = np.log(sums[..., 2:6] / sums[..., 6:]).mean(axis=-1)
    return 100 * np.exp(precision + np.minimum(0.0, 1 - sums[..., 1] / sums[..., 0]))


def _averaged(scores: Floats, counts: Floats) -> Floats:
    return counts @ scores / counts.sum(axis=1)


def _bleu_of(statistics: Floats, counts: Floats) -> Floats:
    return bleu(counts @ statistics)
