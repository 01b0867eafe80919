"""How long the report of a large study takes, from the store to the last file, and how large its page is.

60 cells, 20 trials and 5 final runs each, 200 test examples: 1,321 runs in a sqlite store, 1,770 pairs of cells.
Asked for: under 20 seconds and under 5 MiB. The studies beside it say what the time grows with.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from support import print_table, write_json
from synthetic_store import NAME, Size, write_store

from harness.report.write_report import write_report
from harness.results.collect import collect

SIZES = (
    Size(prompts=3, tunings=4, trials=4, seeds=2),
    Size(trials=5, seeds=2),
    Size(),
)


def measured(size: Size) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        tracker = write_store(size)
        start = time.perf_counter()
        results = collect(tracker, NAME)
        read = time.perf_counter()
        write_report(results, Path("report"))
        done = time.perf_counter()
        page = Path("report/report.html").stat().st_size
    cells = size.prompts * size.tunings
    return {
        "cells": cells,
        "trials": size.trials,
        "seeds": size.seeds,
        "examples": size.examples,
        "reading (s)": read - start,
        "judging, drawing, writing (s)": done - read,
        "all (s)": done - start,
        "page (MiB)": page / 2**20,
    }


def main() -> None:
    rows = [measured(size) for size in SIZES]
    print_table(rows)
    write_json("report", rows)


if __name__ == "__main__":
    main()
