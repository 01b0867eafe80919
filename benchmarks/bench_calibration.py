"""Do intervals cover and do tests keep their promise? By simulation of studies whose truth is known.

Each simulated study has 12 equal cells of 2, 3 or 5 seeds and is judged as the harness judges: scores with their 95%
intervals, and each family of tests (against the baseline, with the best by validation, all pairs, effects). Seeds
deviate by 0 to 7 times the standard error that a cell's score has over examples: by as much in all cells, by .005 to
.08 from cell to cell, or heavy-tailed (Student's with 3 degrees of freedom, and a mixture in which one seed in ten goes
badly). Scores are ROUGE- or BLEU-like (200 examples), or shares of right answers near the ceiling (40). The best cell
is the one that validation likes best, by the same runs. Power: of the baseline family, for one cell that is better by
.05 (3 seeds, 100 examples).

A false claim in more than 5% of studies, an interval that covers in less than 94% (a single cell's: 93%), each beyond
three errors of the simulation, ends it with status 1. All settings take about an hour on two cores; ``--hardest``
takes the three that no simpler method passed and one of shares, some minutes, and runs in the slow tests.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
from calibration.worlds import Bleu, Design, Floats, Right, Rouge, World, deviation_of, latent, lucks, truth
from support import print_table, write_json

from harness.stats import all_pairs, effects, estimate, resample, selection_luck, to_baseline, with_best
from harness.stats.multiple_comparisons import Comparison
from harness.stats.trained_cells import Trained

WORLDS: dict[str, Callable[[], World]] = {"ROUGE-like": Rouge, "BLEU-like": Bleu, "near the ceiling": Right}
CELLS, RESAMPLES = 12, 1000
UNEQUAL = np.linspace(0.005, 0.08, CELLS)
"""Deviations over seeds of a score from 0 to 1, the steadiest cell first."""
FALSE, COVERED, SINGLE = 0.05, 0.94, 0.93
"""The most studies with a false claim, and the least shares of intervals: of all and the best cell, of any one cell."""
POWER = {0.0: 0.25, 0.01: 0.16, 0.03: 0.05}
"""Least power of the baseline family by the seeds' deviation."""
PARTS = 8
"""Pieces of a simulation, each with chance of its own, so that the result does not depend on the number of workers."""


class Setting(NamedTuple):
    """How a simulated study's seeds behave."""

    world: str
    seeds: int
    law: str
    """A key of `worlds.LAWS`."""
    deviation: float | None
    """In standard errors over examples, for all cells; None: `UNEQUAL`."""

    def design(self) -> Design:
        world = _world(self.world)
        if self.deviation is None:
            deviations = UNEQUAL * world.full / world.slope
        else:
            deviations = np.full(CELLS, deviation_of(world, self.deviation, world.examples))
        return Design(self.seeds, world.examples, 0.3, deviations, self.law)

    def row(self) -> dict[str, Any]:
        named = {"metric": self.world, "seeds": self.seeds, "law": self.law}
        return {**named, "deviation": ".005-.08" if self.deviation is None else self.deviation}


def settings(seeds: Sequence[int]) -> list[Setting]:
    """Return all settings: the full list for ROUGE-like scores, some for BLEU-like ones and for shares."""
    equal = [("normal", times) for times in (0.0, 0.5, 1.0, 2.0, 4.0, 7.0)]
    others = [("normal", None), ("student3", 1.0), ("student3", 4.0), ("mishaps", 2.0), ("student3", None)]
    rouge = [Setting("ROUGE-like", number, *kind) for number in seeds for kind in [*equal, *others]]
    bleu = [Setting("BLEU-like", number, "normal", times) for number in seeds for times in (0.0, 2.0)]
    shares = [("normal", 0.0), ("normal", 1.0), ("normal", 2.0), ("mishaps", 2.0)]
    return rouge + bleu + [Setting("near the ceiling", number, *kind) for number in seeds for kind in shares]


HARDEST = [
    Setting("ROUGE-like", 3, "normal", 2.0),
    Setting("ROUGE-like", 2, "normal", 2.0),
    Setting("ROUGE-like", 2, "normal", None),
    Setting("near the ceiling", 2, "normal", 1.0),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=600, help="simulated studies in each setting")
    parser.add_argument("--seeds", default="2,3,5", help="final seeds of each cell")
    parser.add_argument("--hardest", action="store_true", help="four settings alone, and no power")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    started, rows, power = time.perf_counter(), [], []
    with ProcessPoolExecutor(options.workers) as pool:
        every = settings([int(number) for number in options.seeds.split(",")])
        for setting in HARDEST if options.hardest else every:
            rows.append(setting.row() | simulated(pool, partial(judged, setting), options.studies))
            print_table(rows[-1:])
        for deviation in () if options.hardest else POWER:
            share = simulated(pool, partial(seen, deviation), 4 * options.studies)
            power.append({"deviation over seeds": deviation, **share})
    print(f"\nShares of studies of {CELLS} equal cells with a false claim, and of 95% intervals that hold the truth")
    print_table(rows)
    if power:
        print("\nPower of the baseline family: a cell that is .05 better, 3 seeds, 100 examples")
        print_table(power)
    seconds = round(time.perf_counter() - started)
    write_json("calibration", {"options": vars(options), "settings": rows, "power": power, "seconds": seconds})
    broken = [*filter(None, (broken_promise(row, options.studies) for row in rows))]
    broken += [
        f"power {row}"
        for row in power
        if row["power"] + error(row["power"], 4 * options.studies) < POWER[row["deviation over seeds"]]
    ]
    if broken:
        raise SystemExit("\n".join(broken))


def broken_promise(row: Mapping[str, Any], studies: int) -> str:
    """Return what does not hold in a setting beyond three standard errors of the simulation; empty where all does."""
    false = {name: share for name, share in row.items() if name in FAMILIES}
    held = {"all cells": COVERED, "best cell": COVERED, "worst cell": SINGLE}
    wrong = [name for name, share in false.items() if share > FALSE + error(FALSE, studies)]
    wrong += [name for name, least in held.items() if row[name] < least - error(least, studies)]
    return f"{row}: {', '.join(wrong)}" if wrong else ""


def error(share: float, studies: int) -> float:
    return 3.0 * float(np.sqrt(share * (1 - share) / studies))


def simulated(
    pool: ProcessPoolExecutor, simulation: Callable[[np.random.Generator], dict[str, Any]], studies: int
) -> dict[str, Any]:
    """Return means over simulated studies; of a list, its mean and its least mean."""
    pieces = pool.map(
        partial(_part, simulation), [len(range(start, studies, PARTS)) for start in range(PARTS)], range(PARTS)
    )
    held = [one for piece in pieces for one in piece]
    means = {key: np.mean([one[key] for one in held], axis=0) for key in held[0]}
    shares = {key: round(float(np.mean(value)), 4) for key, value in means.items()}
    return shares | {"worst cell": round(float(np.min(means["all cells"])), 4)} if "all cells" in means else shares


def _part(simulation: Callable[[np.random.Generator], dict[str, Any]], times: int, part: int) -> list[dict[str, Any]]:
    generator = np.random.default_rng(part)
    return [simulation(generator) for _ in range(times)]


FAMILIES = ("baseline steady", "baseline unsteady", "with best", "all pairs", "effects")


@cache
def _world(name: str) -> World:
    return WORLDS[name]()


@cache
def _design(setting: Setting) -> Design:
    return setting.design()


def judged(setting: Setting, generator: np.random.Generator) -> dict[str, Any]:
    """Return which families of one simulated study of equal cells make a false claim, and which intervals hold."""
    world, design = _world(setting.world), _design(setting)
    cells, best = studied(world, design, np.zeros(CELLS), generator)
    names = list(cells)
    grid = {name: {"prompt": str(place // 4), "tuning": str(place % 4)} for place, name in enumerate(names)}
    told = effects(cells, grid, reference=names[0], higher_is_better=True)
    families = (
        to_baseline(cells, names[0], higher_is_better=True),
        to_baseline(cells, names[-1], higher_is_better=True),
        with_best(cells, best, higher_is_better=True),
        all_pairs(cells, higher_is_better=True),
        [row for rows in (*told.main.values(), *told.interactions.values()) for row in rows],
    )
    luck = selection_luck(CELLS, higher_is_better=True)
    truths = [truth(world, 0.0, design, place) for place in range(CELLS)]
    held = [
        holds(cells, name, true, luck if chosen and name == best else (1.0, 1.0))
        for chosen in (False, True)
        for name, true in zip(names, truths, strict=True)
    ]
    plain, lucky = held[:CELLS], held[CELLS:]
    return {
        **{name: claims(family) for name, family in zip(FAMILIES, families, strict=True)},
        "all cells": plain,
        "best cell": lucky[names.index(best)],
        "best cell, as any": plain[names.index(best)],
    }


def claims(family: Sequence[Comparison]) -> bool:
    return any(comparison.verdict != "undecided" for comparison in family)


def holds(cells: Mapping[str, Trained], name: str, true: float, luck: tuple[float, float]) -> bool:
    score = estimate({name: 1.0}, cells, luck=luck)
    return score.low <= true <= score.high


def studied(
    world: World, design: Design, means: Floats, generator: np.random.Generator
) -> tuple[dict[str, Trained], str]:
    """Return a study's cells as tested, and which of them validation likes best: other examples, the same seeds."""
    seeds = lucks(design, generator)
    runs = world.runs(latent(means, seeds, design, generator), generator)
    everything = np.ones((1, design.examples))
    validation = world.runs(latent(means, seeds, design, generator), generator)
    scores = [np.mean([scorer(everything)[0] for scorer in cell.scorers]) for cell in validation]
    named = {str(place): cell for place, cell in enumerate(runs)}
    return resample(named, generator=generator, resamples=RESAMPLES), str(int(np.argmax(scores)))


def seen(deviation: float, generator: np.random.Generator) -> dict[str, Any]:
    """Return whether a cell that is .05 better is told apart from the baseline."""
    world = _world("ROUGE-like")
    design = Design(3, 100, 0.3, np.full(CELLS, deviation / world.slope), "normal")
    means = np.zeros(CELLS)
    means[1] = 0.05 / world.slope
    cells, _ = studied(world, design, means, generator)
    return {"power": to_baseline(cells, "0", higher_is_better=True)[0].verdict == "better"}


if __name__ == "__main__":
    main()
