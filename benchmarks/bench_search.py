"""How good a learning rate each way of searching finds, on the recorded curves of `record_curves.py`.

A search runs as in a study, through `CellSearch`, but a trial reads its value off a curve (linear between grid points,
over the logarithm of the learning rate) in place of training. Regret is what the found learning rate lacks to the best
of the curve, as a share of what training gains: best minus the value at the lowest learning rate, where next to nothing
moves. ``fresh`` is the regret of the same learning rate on the other seed's curve, as a final run sees it.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import statistics
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.pruners import HyperbandPruner, MedianPruner, NopPruner, SuccessiveHalvingPruner, WilcoxonPruner
from optuna.storages import InMemoryStorage

from harness.data.template import Template
from harness.runner.search.optuna_search import CellSearch, OpenTrial
from harness.study.grid import expand, neighbor
from harness.study.search_space import Hyperparameters, SearchSpace
from harness.study.spec import StudySpec

ROOT = Path(__file__).parents[1]
CURVES = Path(__file__).with_name("curves.csv")
SAMPLERS = ("grid", "random", "tpe", "gp")
BUDGETS = (4, 6, 8)
LOW, HIGH = 1e-5, 1e-2
"""The range that a study searches by default; the curves go on to 0.1."""
CHUNK = 16
"""Rows after which the Wilcoxon pruner is asked: the batch that validation would be cut into."""

Objective = Literal["metric", "loss"]


@dataclass(frozen=True)
class Curve:
    """One cell and seed: values over the learning rate, interpolated in its logarithm."""

    task: str
    cell: str
    seed: int
    rates: NDArray[np.float64]
    """Logarithms, ascending."""
    epochs: dict[Objective, NDArray[np.float64]]
    """Rates x epochs."""
    examples: NDArray[np.float64]
    """Rates x validation rows: the metric of each at the last epoch."""
    seconds: tuple[float, float]
    """What an epoch of training and one validation took, medians over the curve."""

    def at(self, rate: float, objective: Objective, epoch: int = -1) -> float:
        """Return the value after an epoch, the last where none is named."""
        return float(np.interp(math.log(rate), self.rates, self.epochs[objective][:, epoch]))

    def rows_at(self, rate: float) -> list[float]:
        """Return the metric of every validation row at the last epoch."""
        return [float(np.interp(math.log(rate), self.rates, column)) for column in self.examples.T]

    def regret(self, rate: float, objective: Objective) -> float:
        """Return what a learning rate lacks to the best within the searched range, as a share of the gain."""
        inside = (self.rates >= math.log(LOW) - 1e-9) & (self.rates <= math.log(HIGH) + 1e-9)
        values, sign = self.epochs[objective][inside, -1], 1.0 if objective == "metric" else -1.0
        best = float(max(sign * values))
        return (best - sign * self.at(rate, objective)) / (best - sign * float(values[0]))


Curves = dict[tuple[str, str, int], Curve]


def read_curves(file: Path) -> Curves:
    """Return the recorded curves by task, cell and seed."""
    rows: dict[tuple[str, str, int], list[dict[str, str]]] = defaultdict(list)
    with file.open(encoding="utf-8", newline="") as text:
        for row in csv.DictReader(text):
            task, cell = row["cell"].split("/", 1)
            rows[task, cell, int(row["seed"])].append(row)
    return {key: _curve(key, found) for key, found in rows.items()}


def _curve(key: tuple[str, str, int], rows: list[dict[str, str]]) -> Curve:
    last = max(int(row["epoch"]) for row in rows)
    rates = sorted({float(row["learning_rate"]) for row in rows if int(row["epoch"]) == last})
    rows = [row for row in rows if float(row["learning_rate"]) in rates]  # where a run diverged, a curve ends
    ordered = sorted(rows, key=lambda row: (float(row["learning_rate"]), int(row["epoch"])))
    assert len(ordered) == len(rates) * last, f"{key} lacks epochs"

    def table(field: str) -> NDArray[np.float64]:
        return np.array([float(row[field]) for row in ordered]).reshape(len(rates), last)

    return Curve(
        *key,
        rates=np.log(rates),
        epochs={"metric": table("metric"), "loss": table("loss")},
        examples=np.array([row["examples"].split() for row in ordered if row["examples"]], dtype=np.float64),
        seconds=(float(np.median(table("train_seconds"))), float(np.median(table("validation_seconds")))),
    )


def opened(objective: Objective, storage: InMemoryStorage, name: str, **search: object) -> CellSearch:
    """Open a search over the range, as a study does."""
    content = {"learning_rate": {"low": LOW, "high": HIGH}, **search}
    study = StudySpec.model_validate(
        {"name": "s", "task": "t", "prompts": ["p"], "tuning": ["full"], "search": content}
    )
    return CellSearch(storage, name, spec=study.search, space=SearchSpace.of(study), maximize=objective == "metric")


def searched(curve: Curve, objective: Objective, *, spec: dict[str, object], start: float | None) -> float:
    """Run one search through the harness on a curve and return the learning rate that wins."""
    cell = opened(objective, InMemoryStorage(), "cell", **spec)
    first = None if start is None else Hyperparameters({"learning_rate": start})
    while (trial := cell.ask(first)) is not None:
        cell.tell(trial.optuna.number, "complete", curve.at(trial.hyperparameters.learning_rate, objective))
    best = cell.best()
    assert best is not None
    return best.hyperparameters.learning_rate


def parents(curves: Curves) -> dict[tuple[str, str], str | None]:
    """Return, by task and cell in grid order, the cell that a warm-started search starts from."""
    found: dict[tuple[str, str], str | None] = {}
    for task in dict.fromkeys(task for task, _, _ in curves):
        ids = dict.fromkeys(cell.split("/")[0] for name, cell, _ in curves if name == task)
        tuning = ["none", "head", {"last_blocks": 1}, {"last_blocks": 2}, "full"]
        content = {"name": "s", "task": task, "prompts": list(ids), "tuning": tuning}
        study = StudySpec.model_validate({**content, "search": {"warm_start": "neighbor"}})
        grid = expand(study, [Template(name, name) for name in ids])
        for cell in (cell for cell in grid if cell.tuning.trains):
            above = neighbor(cell, study, grid)
            found[task, cell.id] = above.id if above else None
    return found


class Regret(NamedTuple):
    """What one search found, on its own curve and on the other seed's."""

    own: float
    fresh: float
    """nan where there is no other seed."""


def study_regrets(
    curves: Curves, objective: Objective, *, spec: dict[str, object], warm: bool
) -> Iterator[tuple[tuple[str, str, int], Regret]]:
    """Search every cell of every task, as a study does, once per seed of the curves."""
    tree = parents(curves)
    for seed in (0, 1):
        found: dict[tuple[str, str], float] = {}
        for (task, cell), above in tree.items():
            if (curve := curves.get((task, cell, seed))) is None:
                continue
            start = found[task, above] if warm and above else None
            rate = found[task, cell] = searched(curve, objective, spec=spec, start=start)
            other = curves.get((task, cell, 1 - seed))
            fresh = other.regret(rate, objective) if other else math.nan
            yield (task, cell, seed), Regret(curve.regret(rate, objective), fresh)


def compare_samplers(curves: Curves, objective: Objective, repeats: int) -> list[dict[str, object]]:
    """Return the mean regret of every sampler, warm start and budget, over cells and search seeds."""
    lines: list[dict[str, object]] = []
    for sampler in SAMPLERS:
        for warm in (False, True):
            for trials in BUDGETS:
                own, fresh = [], []
                for seed in range(1 if sampler == "grid" else repeats):
                    spec: dict[str, object] = {"sampler": sampler, "trials": trials, "seed": seed}
                    regrets = [regret for _, regret in study_regrets(curves, objective, spec=spec, warm=warm)]
                    own.append(statistics.fmean(regret.own for regret in regrets))
                    fresh.append(statistics.fmean(r.fresh for r in regrets if not math.isnan(r.fresh)))
                error = statistics.stdev(own) / math.sqrt(len(own)) if len(own) > 1 else math.nan
                values = {"regret": statistics.fmean(own), "error": error, "fresh": statistics.fmean(fresh)}
                key = {"sampler": sampler, "warm": warm, "trials": trials, "objective": objective}
                lines.append({**key, **values, "by_seed": own})
    return lines


def pruner(name: str, epochs: int) -> optuna.pruners.BasePruner:
    """Return a pruner as a study would set it up for so few trials and epochs."""
    return {
        "none": NopPruner(),
        "median": MedianPruner(n_startup_trials=2),
        "halving": SuccessiveHalvingPruner(min_resource=1, reduction_factor=2),
        "hyperband": HyperbandPruner(min_resource=1, max_resource=epochs, reduction_factor=2),
        "wilcoxon": WilcoxonPruner(p_threshold=0.1, n_startup_steps=2),
    }[name]


def pruned_search(curve: Curve, name: str, *, trials: int, seed: int) -> tuple[float, float]:
    """Search one curve on its metric under a pruner; return the regret and the share of the time that was spent."""
    storage, spent = InMemoryStorage(), 0.0
    cell = opened("metric", storage, f"cell {seed}", trials=trials, seed=seed)
    rungs = pruner(name, curve.epochs["metric"].shape[1])
    study = optuna.load_study(study_name=f"cell {seed}", storage=storage, pruner=rungs)
    while (trial := cell.ask()) is not None:

        def stops(number: int = trial.optuna.number) -> bool:
            return rungs.prune(study, study.get_trials(deepcopy=False)[number])

        rate = trial.hyperparameters.learning_rate
        share, stopped = (_by_example if name == "wilcoxon" else _by_epoch)(curve, trial, stops)
        spent += share
        cell.tell(
            trial.optuna.number, "pruned" if stopped else "complete", None if stopped else curve.at(rate, "metric")
        )
    best = cell.best()
    assert best is not None
    return curve.regret(best.hyperparameters.learning_rate, "metric"), spent / trials


def _by_epoch(curve: Curve, trial: OpenTrial, stops: Callable[[], bool]) -> tuple[float, bool]:
    """Report one value per epoch; return the share of the trial that ran, and whether it was stopped."""
    epochs = curve.epochs["metric"].shape[1]
    for epoch in range(1, epochs + 1):
        trial.optuna.report(curve.at(trial.hyperparameters.learning_rate, "metric", epoch - 1), epoch)
        if epoch < epochs and stops():
            return epoch / epochs, True
    return 1.0, False


def _by_example(curve: Curve, trial: OpenTrial, stops: Callable[[], bool]) -> tuple[float, bool]:
    """Report one value per row of the last validation, chunk by chunk."""
    train, validation = curve.seconds
    whole = curve.epochs["metric"].shape[1] * (train + validation)
    rows = curve.rows_at(trial.hyperparameters.learning_rate)
    for index, value in enumerate(rows):
        trial.optuna.report(value, index)
        done = index + 1
        if done % CHUNK == 0 and done < len(rows) and stops():
            return 1.0 - validation * (1 - done / len(rows)) / whole, True
    return 1.0, False


def compare_pruners(curves: Curves, repeats: int) -> list[dict[str, object]]:
    """Return the mean regret and the share of time saved by pruner, and by just doing fewer trials."""
    lines: list[dict[str, object]] = []
    for name, trials in (
        *(("none", trials) for trials in BUDGETS),
        *((name, 8) for name in ("median", "halving", "hyperband", "wilcoxon")),
    ):
        found = [
            pruned_search(curve, name, trials=trials, seed=seed) for curve in curves.values() for seed in range(repeats)
        ]
        saved = 1 - statistics.fmean(share for _, share in found) * trials / 8
        regret = statistics.fmean(regret for regret, _ in found)
        lines.append({"pruner": name, "trials": trials, "regret": regret, "saved": saved})
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="search seeds per curve")
    parser.add_argument("--curves", type=Path, default=CURVES)
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # a flat curve makes the Gaussian process complain
    warnings.filterwarnings("ignore", "WilcoxonPruner is experimental")
    curves = read_curves(arguments.curves)
    print(f"{len(curves)} curves of {len({key[:2] for key in curves})} cells, {arguments.repeats} search seeds")
    samplers: list[dict[str, object]] = []
    objectives: tuple[Objective, ...] = ("metric", "loss")
    for objective in objectives:
        print(f"\nmean regret, searched on {objective} (standard error over search seeds; fresh: on the other seed)")
        print(f"{'sampler':8} {'start':8} " + " ".join(f"{f'{trials} trials':>24}" for trials in BUDGETS))
        found = compare_samplers(curves, objective, arguments.repeats)
        for first in range(0, len(found), len(BUDGETS)):
            line = found[first : first + len(BUDGETS)]
            shown = [f"{one['regret']:.4f} ({one['error']:.4f}) {one['fresh']:.4f}" for one in line]
            start = "neighbor" if line[0]["warm"] else "none"
            print(f"{line[0]['sampler']:8} {start:8} " + " ".join(f"{text:>24}" for text in shown))
        samplers += found
    pruners = compare_pruners(curves, arguments.repeats)
    print(f"\n{'pruner':10} {'trials':>6} {'regret':>8} {'time saved':>11}")
    for line in pruners:
        print(f"{line['pruner']:10} {line['trials']:6} {line['regret']:8.4f} {line['saved']:11.1%}")
    out = ROOT / "benchmarks" / "out"
    out.mkdir(exist_ok=True)
    (out / "search.json").write_text(json.dumps({"samplers": samplers, "pruners": pruners}, indent=2))


if __name__ == "__main__":
    main()
