"""Whether forecasts of twice the data hold: studies drawn from recorded learning curves, the truth among the records.

From `sizes.csv`: a study sees some sizes in a row, a resample of the recorded rows as its test examples and three
seeds whose deviations are recorded ones; its forecast is for the next size, twice its last, where the truth is the mean
of all that was recorded there. Prints the share of 80% intervals that hold it, by number of sizes and by metric. Exits
with 1 where the share of all is not between 70 and 90%.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.stats import Runs, resample, runs
from harness.stats.learning_curves import learning_curves

RECORDS = Path(__file__).with_name("sizes.csv")
SEEDS = 3
RESAMPLES = 400
Rows = NDArray[np.float64]
"""Shape (seeds, rows): a cell's score on each row, by seed."""


class Outcome(NamedTuple):
    """One forecast and what it was of."""

    curve: str
    sizes: int
    inside: bool
    width: float
    error: float


def records(file: Path = RECORDS) -> dict[str, dict[int, Rows]]:
    """Return the recorded curves: by cell and metric, by size."""
    found: dict[str, dict[int, list[list[float]]]] = {}
    with file.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            for metric in ("loss", "metric"):
                values = [int(value) / 1000 for value in row[metric].split()]
                found.setdefault(f"{row['cell']} {metric}", {}).setdefault(int(row["size"]), []).append(values)
    return {name: {size: np.array(rows) for size, rows in sizes.items()} for name, sizes in found.items()}


def study(curve: Mapping[int, Rows], generator: np.random.Generator) -> dict[str, Runs]:
    """Return the final runs of a study of some sizes, as another sample of rows and seeds would have had them."""
    number = next(iter(curve.values())).shape[1]
    rows = generator.integers(number, size=number)
    made = {}
    for size, known in curve.items():
        mean, seeds = known.mean(axis=0), len(known)
        apart = (known - mean) * np.sqrt(seeds / (seeds - 1))
        drawn = mean + apart[generator.integers(seeds, size=SEEDS)]
        made[str(size)] = runs([[np.array([value]) for value in run[rows]] for run in drawn], mean_of)
    return made


def mean_of(statistics: object) -> float:
    return float(np.mean(np.asarray(statistics)))


def outcomes(curves: Mapping[str, Mapping[int, Rows]], repeats: int, *, sizes: tuple[int, ...]) -> Iterator[Outcome]:
    """Forecast from every stretch of each curve that a recorded size follows."""
    generator = np.random.default_rng(0)
    for name, curve in curves.items():
        known = sorted(curve)
        ends = (0.0, np.inf) if name.endswith("loss") else (0.0, 1.0)
        for number in sizes:
            for start in range(len(known) - number):
                seen, target = known[start : start + number], known[start + number]
                if target != 2 * seen[-1]:
                    continue
                truth = float(curve[target].mean())
                for _ in range(repeats):
                    yield _outcome(name, {size: curve[size] for size in seen}, truth, ends, generator)


def _outcome(
    name: str, seen: Mapping[int, Rows], truth: float, ends: tuple[float, float], generator: np.random.Generator
) -> Outcome:
    cells = resample(study(seen, generator), generator=generator, resamples=RESAMPLES)
    factors = {size: {"prompt": name, "train_size": size} for size in cells}
    reference = next(iter(cells))
    found = learning_curves(cells, factors, along="train_size", reference=reference, ends=ends, seed=0)
    assert found is not None
    value, low, high = found.curves[0].forecast or (np.nan, np.nan, np.nan)
    return Outcome(name, len(seen), low <= truth <= high, high - low, abs(value - truth))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=10, help="studies drawn of each stretch of a curve")
    parser.add_argument("--each", action="store_true", help="tell each curve")
    asked = parser.parse_args()
    every = list(outcomes(records(), asked.repeats, sizes=(3, 4, 5, 6)))
    for key in sorted({one.sizes for one in every}):
        _tell(f"{key} sizes", [one for one in every if one.sizes == key])
    for metric in ("loss", "metric"):
        _tell(metric, [one for one in every if one.curve.endswith(metric)])
    for name in dict.fromkeys(one.curve for one in every) if asked.each else ():
        _tell(name, [one for one in every if one.curve == name])
    share = _tell("all", every)
    sys.exit(0 if 0.7 <= share <= 0.9 else 1)


def _tell(name: str, some: list[Outcome]) -> float:
    share = float(np.mean([one.inside for one in some]))
    width, error = np.median([one.width for one in some]), np.median([one.error for one in some])
    print(f"{name}: {share:.1%} of {len(some)} hold the truth; median width {width:.3g}, median error {error:.3g}")
    return share


if __name__ == "__main__":
    main()
