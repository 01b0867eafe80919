"""Made-up studies whose true scores are known: what an example is worth, cell by cell and seed by seed.

A latent quality is the sum of a cell's mean and normal effects of the example (shared by all cells), of example and
cell (shared by the cell's seeds), of the seed, and of all three. ROUGE-like scores are the normal distribution function
of it, and 0 for some examples; BLEU-like statistics are lengths, and n-gram matches drawn with that probability. So
expected values are closed forms, for the mean of a normal distribution function is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from harness.stats.contrasts import Runs

Floats = NDArray[np.float64]

ABILITY, PAIRED = 0.5, 0.5
"""Variances of the latent effects of the example, and of what cells make of it; the latter is in part a seed's own."""
SPREAD = (1 + ABILITY + PAIRED) ** 0.5
NODES, SHARES = np.polynomial.hermite_e.hermegauss(15)


class Design(NamedTuple):
    """The size of a made-up study, and how far its seeds go apart."""

    seeds: int
    examples: int
    own: float
    """Variance that each seed adds to each example by itself, at most `PAIRED`."""
    deviation: float
    """Latent, of what a seed adds to all its examples."""


class World(Protocol):
    """A kind of metric, with a way to draw a study and its truth."""

    name: str

    def runs(self, quality: Floats, generator: np.random.Generator) -> list[Runs]:
        """Return each cell's runs for latent qualities of shape (cells, seeds, examples)."""

    def expected(self, mean: float | Floats) -> Floats:
        """Return the score on all examples of one trained model whose latent mean that is."""


def latent(means: Sequence[float], design: Design, generator: np.random.Generator) -> Floats:
    """Return latent qualities, shape (cells, seeds, examples)."""
    cells, normal = len(means), generator.standard_normal
    quality = np.asarray(means)[:, None, None] + ABILITY**0.5 * normal((1, 1, design.examples))
    quality = quality + (PAIRED - design.own) ** 0.5 * normal((cells, 1, design.examples))
    quality = quality + design.deviation * normal((cells, design.seeds, 1))
    return quality + design.own**0.5 * normal((cells, design.seeds, design.examples))


def truth(world: World, mean: float, deviation: float) -> float:
    """Return the score of the procedure: over all examples and all seeds."""
    return float(world.expected(mean + deviation * NODES) @ SHARES / SHARES.sum())


def deviation_of(world: World, share: float, examples: int) -> float:
    """Return the latent deviation of seeds that moves a score by that share of its standard error over examples."""
    design, generator, scores = Design(1, examples, own=0.0, deviation=0.0), np.random.default_rng(0), []
    for _ in range(400):
        (cell,) = world.runs(latent([0.0], design, generator), generator)
        scores.append(cell.scorers[0](np.ones((1, examples)))[0])
    slope = (world.expected(0.01) - world.expected(-0.01)) / 0.02
    return float(share * np.std(scores) / slope)


class Rouge:
    """A mean of scores between 0 and 1, a part of them 0 for every cell."""

    name = "ROUGE-like"
    lost = 0.15
    """Share of examples that nobody scores on."""

    def runs(self, quality: Floats, generator: np.random.Generator) -> list[Runs]:
        scores = ndtr(quality) * (generator.random(quality.shape[-1]) >= self.lost)
        return [Runs(tuple(partial(_averaged, run) for run in cell), quality.shape[-1], True) for cell in scores]

    def expected(self, mean: float | Floats) -> Floats:
        return (1 - self.lost) * ndtr(np.asarray(mean) / SPREAD)


class Bleu:
    """BLEU of lengths, matches and n-grams, orders 1 to 4, with a brevity penalty that bites."""

    name = "BLEU-like"
    harder = np.array([0.0, 0.7, 1.1, 1.5])
    """What each order takes off the latent quality."""

    def __init__(self) -> None:
        said, _ = self._lengths(1_000_000, np.random.default_rng(1))
        self.ngrams = self._ngrams(said).mean(axis=0)
        """Expected number of n-grams said, by order."""

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
