"""What a search costs besides the model's arithmetic: MLflow, Optuna, files, Python between trials.

A study of two cells tuned on loss runs in this process, with its stores on the disk that temporary files are on, and
with timers around every call of the tracker and of the search. A trial's wall time reaches from the end of the one
before it to its own end; what training and validation took is as the run logged it. Medians over a cell's trials, so
that the first one's recordings of the frozen part, which are arithmetic too, do not count.

The tiny model shows the overhead; the 6 blocks of `bench_study_speed` show its share.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from support import Shape, print_table, write_json, write_place, write_study

SHAPES = {
    "tiny": Shape(blocks=3, width=32, inner=64, heads=4, vocabulary=1_000, source=24, target=8),
    "6 blocks": Shape(),
}
TRACKER = ("runs", "run", "start", "inputs", "reopen", "mark", "params", "tags", "metrics", "text", "files", "end")
SEARCH = ("ask", "tell", "fail", "best", "finished")
TRIAL = ("report", "should_prune", "set_user_attr")


class Stamp(NamedTuple):
    """The state of the clocks at one moment."""

    time: float
    spent: dict[str, float]
    calls: dict[str, int]


class Clocks:
    """Adds up the wall time of calls by part; a call within a call counts for the outer one."""

    def __init__(self) -> None:
        self._spent: dict[str, float] = {}
        self._calls: dict[str, int] = {}
        self._busy = False

    def timed(self, part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return a call that is timed."""

        def run(*arguments: Any, **options: Any) -> Any:
            if self._busy:
                return call(*arguments, **options)
            self._busy, start = True, time.perf_counter()
            try:
                return call(*arguments, **options)
            finally:
                self._busy = False
                self._spent[part] = self._spent.get(part, 0.0) + time.perf_counter() - start
                self._calls[part] = self._calls.get(part, 0) + 1

        return run

    def stamp(self) -> Stamp:
        """Return what was spent up to now."""
        return Stamp(time.perf_counter(), dict(self._spent), dict(self._calls))


class Watcher:
    """Hears of every trial's end and notes the clocks then."""

    def __init__(self, clocks: Clocks) -> None:
        self._clocks, self.stamps = clocks, list[tuple[str, Stamp]]()

    def start(self, work: Mapping[str, int]) -> None:
        self.stamps.append(("", self._clocks.stamp()))

    def done(self, cell: str, what: str, *, score: float, best: float, seconds: float) -> None:
        self.stamps.append((cell, self._clocks.stamp()))

    def say(self, text: str) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=128, help="training rows; a quarter as many validate")
    parser.add_argument("--trials", type=int, default=6, help="trials a cell")
    parser.add_argument("--shapes", default=",".join(SHAPES))
    parser.add_argument("--sampler", default="grid")
    options = parser.parse_args()
    found = []
    for name in options.shapes.split(","):
        with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
            found += [{"model": name, **row} for row in measure(Path(place), SHAPES[name], options)]
    print_table(found)
    write_json("overhead", {"options": vars(options), "cells": found})


def measure(folder: Path, shape: Shape, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Run a study and return a line for each cell."""
    write_place(folder, shape, {"train": options.rows, "validation": options.rows // 4, "test": 8})
    study = write_study(
        folder,
        "overhead",
        tuning=[{"last_blocks": 1}, "full"],
        training={"epochs": 3, "batch_size": 8, "max_source_tokens": shape.source, "device": "cpu"},
        search={"trials": options.trials, "sampler": options.sampler, "metric": "loss"},
    )
    clocks = Clocks()
    watcher = Watcher(clocks)
    with _timers(clocks, f"sqlite:///{folder / 'mlflow.db'}"):
        run(study, watcher)
    return [_line(cell, trials) for cell, trials in _trials(watcher, arithmetic(folder)).items()]


@contextlib.contextmanager
def _timers(clocks: Clocks, store: str) -> Iterator[None]:
    """Put timers around all calls of the tracker, the search and Optuna's trials."""
    import optuna

    from harness.runner.search.optuna_search import CellSearch
    from harness.tracking.mlflow.mlflow_tracker import MlflowTracker

    parts = (("MLflow", MlflowTracker, TRACKER), ("Optuna", CellSearch, SEARCH), ("Optuna", optuna.trial.Trial, TRIAL))
    with contextlib.ExitStack() as undo:
        undo.enter_context(mock.patch.dict(os.environ))
        os.environ["MLFLOW_TRACKING_URI"] = store  # by its absolute path: MLflow keeps a connection for each address
        for part, owner, names in parts:
            for name in names:
                undo.enter_context(mock.patch.object(owner, name, _method(clocks, part, getattr(owner, name))))
        yield


def _method(clocks: Clocks, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
    timed = clocks.timed(part, function)
    return lambda *arguments, **options: timed(*arguments, **options)  # a function, so that it binds as a method


def run(study: Path, watcher: Watcher) -> None:
    """Run a study as the command does."""
    from harness.runner.study import Study

    Study.load(study).run(progress=watcher)


def arithmetic(folder: Path) -> dict[str, list[float]]:
    """Return the seconds of training, validation and recordings that every trial logged, by cell, in order."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("overhead")
    assert experiment is not None
    found: dict[str, list[float]] = {}
    for trial in client.search_runs([experiment.experiment_id], "tags.phase = 'search'", order_by=["start_time"]):
        costs = trial.data.metrics
        seconds = sum(costs[f"cost/{part}_seconds"] for part in ("train", "validation", "recording"))
        found.setdefault(trial.data.tags["cell"], []).append(seconds)
    return found


def _trials(watcher: Watcher, logged: Mapping[str, list[float]]) -> dict[str, list[dict[str, float]]]:
    """Return every trial's wall time, arithmetic, and time and calls by part."""
    found: dict[str, list[dict[str, float]]] = {cell: [] for cell in logged}
    for (_, before), (cell, after) in zip(watcher.stamps, watcher.stamps[1:], strict=False):
        if cell in found and len(found[cell]) < len(logged[cell]):
            trial = {"wall": after.time - before.time, "arithmetic": logged[cell][len(found[cell])]}
            for part in ("MLflow", "Optuna"):
                trial[part] = after.spent.get(part, 0.0) - before.spent.get(part, 0.0)
                trial[f"{part} calls"] = after.calls.get(part, 0) - before.calls.get(part, 0)
            found[cell].append(trial)
    return found


def _line(cell: str, trials: list[dict[str, float]]) -> dict[str, Any]:
    for trial in trials:
        trial["overhead"] = trial["wall"] - trial["arithmetic"]
        trial["rest"] = trial["overhead"] - trial["MLflow"] - trial["Optuna"]
    middle = {name: statistics.median(trial[name] for trial in trials) for name in trials[0]}
    return {
        "cell": cell,
        "trials": len(trials),
        "trial ms": 1000 * middle["wall"],
        "overhead ms": 1000 * middle["overhead"],
        "overhead %": 100 * middle["overhead"] / middle["wall"],
        "MLflow ms": 1000 * middle["MLflow"],
        "MLflow calls": int(middle["MLflow calls"]),
        "Optuna ms": 1000 * middle["Optuna"],
        "Optuna calls": int(middle["Optuna calls"]),
        "the rest ms": 1000 * middle["rest"],
        "first trial's extra ms": 1000 * (trials[0]["overhead"] - middle["overhead"]),
    }


if __name__ == "__main__":
    main()
