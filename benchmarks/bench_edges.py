"""Whether winners lie at an end of their ranges, and what that costs, on recorded curves.

Searches run through `CellSearch` as in a study: each kind's own range with ``search.edges: extend``, and the one range
for all that studies had before, at as many trials in all. A trial reads its value off a curve of `curves.csv`, or of
`curves_beyond.csv` behind it; beyond what was recorded it diverges. Regret is what the winner lacks to the best of the
whole curve, as a share of what training gains.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optuna
from bench_search import CURVES, Curve, read_curves
from optuna.storages import InMemoryStorage

from harness.runner.search.optuna_search import CellSearch
from harness.study.search_space import SearchSpace
from harness.study.spec import StudySpec

BEYOND = Path(__file__).with_name("curves_beyond.csv")
BEFORE = {"low": 1e-5, "high": 1e-2}
"""The range of all tunings in studies that named none."""
NEAR = 0.02
"""Share of a range, on its scale, within which a winner lies at its end."""


class Found(NamedTuple):
    """What one search found."""

    kind: str
    at_end: bool
    regret: float
    trials: int


def joined() -> list[Curve]:
    """Return all curves, each over the whole reach that was recorded."""
    curves = read_curves(CURVES)
    for key, more in (read_curves(BEYOND) if BEYOND.exists() else {}).items():
        if key not in curves:
            curves[key] = more
            continue
        own = curves[key]
        joint = {name: np.vstack([own.epochs[name], more.epochs[name]]) for name in own.epochs}
        curves[key] = Curve(
            *key, np.concatenate([own.rates, more.rates]), joint, np.vstack([own.examples, more.examples]), own.seconds
        )
    return list(curves.values())


def searched(curve: Curve, *, trials: int, seed: int, search: dict[str, Any]) -> Found:
    """Run one search on a curve's metric."""
    tuning = curve.cell.split("/")[1]
    kind, _, blocks = tuning.partition("-")
    written = {kind: int(blocks)} if blocks else kind
    content = {"trials": trials, "seed": seed, **search}
    study = StudySpec.model_validate(
        {"name": "s", "task": "t", "prompts": ["p"], "tuning": [written], "search": content}
    )
    space = SearchSpace.of(study, study.tuning[0])
    cell = CellSearch(InMemoryStorage(), "cell", spec=study.search, space=space, maximize=True)
    while (trial := cell.ask()) is not None or cell.widen(cell.best()):
        if trial is None:
            continue
        rate = trial.hyperparameters.learning_rate
        if math.log(rate) > curve.rates[-1] + 1e-9:
            cell.fail(trial, "beyond the curve")
        else:
            cell.tell(trial.optuna.number, "complete", curve.at(rate, "metric"))
    best, rates = cell.best(), cell.reach.find("learning_rate")
    assert best is not None
    assert rates is not None
    values = curve.epochs["metric"][:, -1]
    place = rates.place(best.hyperparameters.learning_rate)
    regret = (max(values) - best.value) / (max(values) - values[0])
    return Found(kind, not NEAR < place < 1 - NEAR, float(regret), len(cell.counted()))


def simulated(trials: int, repeats: int, sampler: str) -> Iterator[tuple[str, Found]]:
    """Search every curve, before and now; before, with as many trials as it took now."""
    for curve in joined():
        for seed in range(repeats):
            now = searched(curve, trials=trials, seed=seed, search={"sampler": sampler, "edges": "extend"})
            yield "now", now
            search = {"sampler": sampler, "learning_rate": BEFORE}
            yield "before", searched(curve, trials=now.trials, seed=seed, search=search)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=6, help="search seeds per curve")
    parser.add_argument("--sampler", default="gp")
    asked = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    found: dict[tuple[str, str], list[Found]] = defaultdict(list)
    for when, one in simulated(asked.trials, asked.repeats, asked.sampler):
        found[when, one.kind].append(one)
        found[when, "all"].append(one)
    print(f"{'':8} {'kind':12} {'searches':>8} {'at an end':>9} {'regret':>7} {'trials':>7}")
    for (when, kind), own in sorted(found.items()):
        shares = statistics.fmean(one.at_end for one in own), statistics.fmean(one.regret for one in own)
        trials = statistics.fmean(one.trials for one in own)
        print(f"{when:8} {kind:12} {len(own):8} {shares[0]:9.1%} {shares[1]:7.3f} {trials:7.1f}")


if __name__ == "__main__":
    main()
