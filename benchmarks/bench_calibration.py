"""Do intervals cover and do tests keep their promise? By simulation of studies whose truth is known.

Coverage: of 95% intervals for a cell and for the true difference of two cells, by the method that the harness uses
and by plainer ones (models as they are; seeds drawn with replacement; their deviations stretched by sqrt(S / (S - 1)))
over simulated pairs of cells. Families: 12 cells that are all alike; the share of studies in which
Holm's correction lets some cell beat the baseline, or differ from it at all. Seeds deviate by 0, 0.5 and 1 times the
standard error that a cell's score has over examples.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from calibration.worlds import Bleu, Design, Floats, Rouge, World, deviation_of, latent, truth
from support import print_table, write_json

from harness.stats import Runs, Trained, estimate, resample, to_baseline
from harness.stats.contrasts import rescored

WORLDS: dict[str, Callable[[], World]] = {"ROUGE-like": Rouge, "BLEU-like": Bleu}
SHARES = (0.0, 0.5, 1.0)
"""Deviations of seeds, in standard errors over examples."""
MEANS = (0.0, 0.1)
"""Latent means of the two cells whose difference is to be covered."""
LEAST, MOST, FAMILY = 0.93, 0.97, 0.06
"""How often intervals must cover, and the most studies in which some equal cell may be called better or worse."""
CELLS = 12
RESAMPLES = 1000
PARTS = 8
"""Pieces of a simulation, each with chance of its own, so that the result does not depend on the number of workers."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=2000, help="simulated pairs of cells for coverage")
    parser.add_argument("--studies", type=int, default=1000, help="simulated studies of 12 equal cells")
    parser.add_argument("--examples", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3, help="final seeds of each cell")
    parser.add_argument("--own", type=float, default=0.3, help="0 to 0.5: how far seeds disagree about single examples")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    started = time.perf_counter()
    with ProcessPoolExecutor(options.workers) as pool:
        coverage = [_row(pool, covered, options.pairs, place, options) for place in _places()]
        families = [_row(pool, claimed, options.studies, place, options) for place in _places()]
    print("Share of 95% intervals that hold the true difference (cell: the true score)")
    print_table(coverage)
    print(f"\nShare of studies of {CELLS} equal cells with a false claim, at a nominal 0.05")
    print_table(families)
    seconds = time.perf_counter() - started
    write_json(
        "calibration", {"options": vars(options), "coverage": coverage, "families": families, "seconds": seconds}
    )
    broken = [row for row in coverage if not LEAST <= row["harness"] <= MOST]
    broken += [row for row in families if row["some differ"] > FAMILY]
    if broken:
        raise SystemExit(f"beyond {LEAST:.0%} to {MOST:.0%} of intervals, or {FAMILY:.0%} of studies: {broken}")


def _places() -> list[tuple[str, float]]:
    return [(world, share) for world in WORLDS for share in SHARES]


Simulation = Callable[[World, Design, np.random.Generator], Mapping[str, bool]]
"""From a world, a design and chance to what held in one simulated study."""


def _row(
    pool: ProcessPoolExecutor, simulation: Simulation, times: int, place: tuple[str, float], options: argparse.Namespace
) -> dict[str, Any]:
    """Return shares over simulated studies at one place."""
    name, share = place
    design = Design(options.seeds, options.examples, options.own, deviation_of(WORLDS[name](), share, options.examples))
    part = partial(_part, simulation, name, design)
    pieces = list(pool.map(part, [len(range(start, times, PARTS)) for start in range(PARTS)], range(PARTS)))
    held = [one for piece in pieces for one in piece]
    shares = {key: float(np.mean([one[key] for one in held])) for key in held[0]}
    return {"metric": name, "seed sd / error": share, **shares}


def _part(simulation: Simulation, name: str, design: Design, times: int, part: int) -> list[Mapping[str, bool]]:
    world, generator = WORLDS[name](), np.random.default_rng(part)
    return [simulation(world, design, generator) for _ in range(times)]


def covered(world: World, design: Design, generator: np.random.Generator) -> dict[str, bool]:
    """Return which intervals hold the truth in one simulated pair of cells."""
    pair = world.runs(latent(MEANS, design, generator), generator)
    first, second = (truth(world, mean, design.deviation) for mean in MEANS)
    cells = _resampled(pair, generator)
    difference = {"1": 1.0, "0": -1.0}
    scores = rescored(pair, generator=generator, resamples=RESAMPLES)
    intervals = {
        "harness": estimate(difference, cells)[1:3],
        "these models": estimate(difference, cells, of="models")[1:3],
        "seeds resampled": _hierarchical(scores, generator, 1.0),
        "and stretched": _hierarchical(scores, generator, (design.seeds / (design.seeds - 1)) ** 0.5),
    }
    held = {name: low <= second - first <= high for name, (low, high) in intervals.items()}
    low, high = estimate({"0": 1.0}, cells)[1:3]
    return {**held, "cell": low <= first <= high}


def claimed(world: World, design: Design, generator: np.random.Generator) -> dict[str, bool]:
    """Return which false claims one simulated study of equal cells makes."""
    cells = _resampled(world.runs(latent([0.0] * CELLS, design, generator), generator), generator)
    verdicts = {one.verdict for one in to_baseline(cells, "0", higher_is_better=True)}
    models = {one.verdict for one in to_baseline(cells, "0", higher_is_better=True, of="models")}
    return {
        "some better": "better" in verdicts,
        "some differ": verdicts != {"undecided"},
        "some better, these models": "better" in models,
    }


def _resampled(cells: Sequence[Runs], generator: np.random.Generator) -> dict[str, Trained]:
    named = {str(place): cell for place, cell in enumerate(cells)}
    return resample(named, generator=generator, resamples=RESAMPLES)


def _hierarchical(scores: Sequence[Floats], generator: np.random.Generator, stretch: float) -> tuple[float, float]:
    """Return the percentile interval of the difference with seeds drawn with replacement on every resample."""
    means = []
    for cell in scores:
        drawn = np.take_along_axis(cell, generator.integers(len(cell), size=cell.shape), axis=0).mean(axis=0)
        center = cell.mean(axis=0)
        means.append(center + stretch * (drawn - center))
    low, high = np.quantile(means[1] - means[0], [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    main()
