"""How often the report's importances claim an effect on noise, and find one that is there.

Studies of one cell and 24 trials over four hyperparameters, drawn by `CellSearch` as in a study; a trial's value is
noise, and where it is said so two seed deviations more at one of two levels, and a parabola over the learning rate.
"""

from __future__ import annotations

import argparse
import time
from typing import NamedTuple

import numpy as np
import optuna
from optuna.storages import InMemoryStorage

from harness.results.search_effects import terms_of
from harness.runner.search.optuna_search import CellSearch
from harness.stats.importance import importances
from harness.study.dimension import Dimension
from harness.study.search_space import Hyperparameters, SearchSpace
from harness.study.spec import Search

LEVEL, RATE = "training.schedule", "learning_rate"
SPACE = SearchSpace(
    (
        Dimension(RATE, 1e-5, 1e-2, "log"),
        Dimension("training.epochs", choices=(1, 2, 3)),
        Dimension(LEVEL, choices=("linear", "cosine")),
        Dimension("training.warmup", 0.0, 0.2),
    )
)


class World(NamedTuple):
    """What is true: by how many seed deviations a level differs, and the learning rate."""

    level: float
    rate: float

    def value(self, drawn: Hyperparameters, generator: np.random.Generator) -> float:
        place = SPACE.dimensions[0].place(drawn[RATE])
        return float(generator.normal() + self.level * (drawn[LEVEL] == "cosine") + 4 * self.rate * (place - 0.6) ** 2)


def study(world: World, sampler: str, seed: int) -> set[str]:
    """Return what one study claims an effect of."""
    generator, spec = (
        np.random.default_rng(seed),
        Search.model_validate({"sampler": sampler, "trials": 24, "seed": seed}),
    )
    cell = CellSearch(InMemoryStorage(), "cell", spec=spec, space=SPACE, maximize=False)
    drawn, values = [], []
    while (trial := cell.ask()) is not None:
        drawn.append(trial.hyperparameters)
        values.append(world.value(trial.hyperparameters, generator))
        cell.tell(trial.optuna.number, "complete", values[-1])
    terms = {d.name: np.array([terms_of(d, one[d.name]) for one in drawn]) for d in SPACE.dimensions}
    return {name for name, effect in importances(values, [0] * len(values), terms).items() if effect.p <= 0.05}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--samplers", nargs="*", default=["random", "tpe"], help="gp as well takes minutes more")
    asked = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print(f"{'sampler':8} {'level':>6} {'rate':>6} {'found':>7} {'false':>7} {'seconds':>8}")
    for sampler in asked.samplers:
        for world in (World(0, 0), World(2, 0), World(2, 5), World(0, 5)):
            began = time.perf_counter()
            true = {name for name, size in ((LEVEL, world.level), (RATE, world.rate)) if size}
            claims = [study(world, sampler, seed) for seed in range(asked.studies)]
            found = np.mean([LEVEL in claim for claim in claims])
            false = np.mean([bool(claim - true) for claim in claims])
            seconds = time.perf_counter() - began
            print(f"{sampler:8} {world.level:6} {world.rate:6} {found:7.1%} {false:7.1%} {seconds:8.0f}")


if __name__ == "__main__":
    main()
