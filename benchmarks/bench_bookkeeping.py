"""What the driver of a large study does for each trial, beside training: trials a second, memory, and whether it grows.

Cells times trials of a stand-in job that takes no time, under the real driver with its real stores, searches alone
(``final.seeds: []``)::

    python benchmarks/bench_bookkeeping.py --cells 400 --trials 10 --store postgresql --workers 8

``growth`` is the time of a trial in the last hundredth of the study to that in the first; wanted: at most 1.2. What
other programs take of the processor moves it, but not how many statements a trial takes to the databases, which are
counted beside it. Only a machine that does nothing else gives seconds. ``KiB a trial`` is what sqlite files take.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import create_engine, make_url, text
from stand_in import Stamp, growth, stamped
from support import Shape, print_table, write_json, write_place, write_study
from tracking_server import database

SHAPE = Shape(blocks=2, width=16, inner=32, heads=2, vocabulary=600, source=12, target=4)
TUNINGS = ["head", "norms", {"last_blocks": 1}, {"last_blocks": 2}, "full"]
HUNDREDTH = 100


def bookkeeping(
    folder: Path, cells: int, trials: int, *, workers: int, epochs: int = 1, storage: str = ""
) -> list[Stamp]:
    """Run a study in a folder, and return the clocks at its start and at the end of each of its trials.

    Args:
        folder: An empty one.
        cells: How many; in fives.
        trials: Of each.
        workers: Jobs under way at a time.
        epochs: Of each trial, each with a score.
        storage: Optuna's; left out: a file in the folder.
    """
    from harness.runner.study import Study

    write_place(folder, SHAPE, {"train": 8, "validation": 4, "test": 4})
    prompts = [{"name": f"p{number}", "text": f"w{number} {{{{ source }}}}"} for number in range(-(-cells // 5))]
    search = {"trials": trials, "sampler": "random", **({"storage": storage} if storage else {})}
    file = write_study(
        folder,
        "bookkeeping",
        prompts=prompts,
        tuning=TUNINGS[: min(cells, 5)],
        training={"epochs": epochs, "max_source_tokens": 24},
        search=search,
        generality="none",
    )
    with contextlib.chdir(folder):
        study = Study.load(file.name)
        return stamped(study.checked, study.workspace, workers)


@contextlib.contextmanager
def stores(kind: str, folder: Path) -> Iterator[str]:
    """Have the tracking store be a new database; yield Optuna's."""
    if kind == "sqlite":
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        yield f"sqlite:///{folder}/optuna.db"
        return
    with database() as address:
        os.environ["MLFLOW_TRACKING_URI"] = address
        engine = create_engine(address, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text("create database trials"))  # each library has its own
        engine.dispose()
        yield make_url(address).set(database="trials").render_as_string(hide_password=False)


def measured(cells: int, trials: int, epochs: int, kind: str, workers: int) -> dict[str, Any]:
    """Return what a study took."""
    with tempfile.TemporaryDirectory() as folder, stores(kind, Path(folder)) as storage:
        begun = time.perf_counter()
        stamps = bookkeeping(Path(folder), cells, trials, workers=workers, epochs=epochs, storage=storage)
        ended = time.perf_counter()
        size = sum(file.stat().st_size for file in Path(folder).glob("*.db*"))
    more = growth(stamps, HUNDREDTH, workers=workers)
    return {
        "cells": cells,
        "trials": len(stamps) - 1,
        "epochs": epochs,
        "store": kind,
        "workers": workers,
        "trials a second": (len(stamps) - 1) / (stamps[-1].wall - stamps[0].wall),
        "ms a trial": 1000 * (stamps[-1].wall - stamps[0].wall) / (len(stamps) - 1),
        "of them busy": 1000 * (stamps[-1].busy - stamps[0].busy) / (len(stamps) - 1),
        "statements a trial": (stamps[-1].asked - stamps[0].asked) / (len(stamps) - 1),
        "KiB a trial": size / 1024 / (len(stamps) - 1),
        "growth": more.wall,
        "growth busy": more.busy,
        "growth statements": more.asked,
        "s before": stamps[0].wall - begun,
        "s behind": ended - stamps[-1].wall,
        "peak MiB": psutil.Process().memory_info().rss / 2**20,
    }


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=40)
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--store", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--workers", type=int, default=8)
    told = parser.parse_args()
    found = measured(told.cells, told.trials, told.epochs, told.store, told.workers)
    print_table([found])
    write_json(f"bookkeeping_{told.store}_{told.cells}x{told.trials}", found)


if __name__ == "__main__":
    main()
