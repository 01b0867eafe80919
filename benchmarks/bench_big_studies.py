"""What commands on big studies take: CPU seconds, wall seconds and memory, each in a process of its own.

* ``check`` of 200,000 rows and 2 prompts;
* ``run`` with nothing to do, ``report``, and the size of ``verdicts.json``, of 300 cells with 8 trials each, in a store
  that an executor filled whose answers are made up;
* the first trial of a small study, and ``run`` with nothing to do once it is done.

Wanted on two free cores: check in 30 s and 600 MiB, the report in 15 s and 600 MiB, nothing to do in 3 s (small) and
15 s (300 cells), the first trial of a small study 6 s after the command. ``--only check``, ``cells`` or ``small`` takes
one of them; ``--tree CHECKOUT`` runs the commands of another version, to compare with; ``--share 0.1`` takes a tenth of
the rows and cells.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from support import ROOT, print_table, write_json

ROWS, CELLS, TRIALS = 200_000, 300, 8
BEYOND = 1000
"""Rows of validation and of test."""
WORDS, NAMES = 40, 6
"""Of a row, and how many of them are names of a hundred thousand."""

FILL = """\
import sys
sys.path.insert(0, {benchmarks!r})
from made_up_runs import run_made_up
run_made_up("study.yaml")
"""


class Taken(NamedTuple):
    """What a command took."""

    cpu: float
    wall: float
    peak: float
    """MiB."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["check", "cells", "small"], default=None)
    parser.add_argument("--tree", type=Path, default=ROOT)
    parser.add_argument("--share", type=float, default=1.0)
    told = parser.parse_args()
    parts = {"check": check_of_rows, "cells": many_cells, "small": small_study}
    rows = []
    for name, part in parts.items():
        if told.only in (None, name):
            with tempfile.TemporaryDirectory() as folder:
                rows += [{"command": what, **taken} for what, taken in part(Path(folder), told.tree, told.share)]
    print_table(rows)
    write_json("big_studies", rows)


def check_of_rows(folder: Path, tree: Path, share: float) -> list[tuple[str, dict[str, Any]]]:
    rows = round(ROWS * share)
    write_rows(folder / "data", rows)
    write_study(folder, data={"path": "data"}, prompts=["cue", "instruction"], tuning=["none", "head"])
    return [(f"check, {rows:,} rows", measured(["check", "study.yaml"], folder, tree)._asdict())]


def many_cells(folder: Path, tree: Path, share: float) -> list[tuple[str, dict[str, Any]]]:
    prompts = [{"name": f"p{number}", "text": f"Note {number}: {{{{ source }}}}\n"} for number in range(CELLS // 5)]
    prompts = prompts[: max(1, round(len(prompts) * share))]
    tuning = ["none", "head", {"last_blocks": 2}, {"last_blocks": 4}, "full"]
    write_study(folder, prompts=prompts, tuning=tuning, data={"train": 64, "validation": 32, "test": 200})
    run([sys.executable, "-c", FILL.format(benchmarks=str(tree / "benchmarks"))], folder, tree)
    cells = f"{len(prompts) * len(tuning)} cells"
    again = measured(["run", "study.yaml"], folder, tree)
    report = measured(["report", "big"], folder, tree)
    size = (folder / "reports" / "big" / "verdicts.json").stat().st_size / 2**20
    return [
        (f"run, nothing to do, {cells}", again._asdict()),
        (f"report, {cells}, verdicts.json of {size:.1f} MiB", report._asdict()),
    ]


def small_study(folder: Path, tree: Path, share: float) -> list[tuple[str, dict[str, Any]]]:
    write_study(
        folder, prompts=["bare", "cue"], tuning=["none", "head"], data={"train": 64, "validation": 16, "test": 32}
    )
    started = time.time()
    run(command(["run", "study.yaml"]), folder, tree)
    measured(["run", "study.yaml"], folder, tree)  # writes down what the first one found
    again = measured(["run", "study.yaml"], folder, tree)
    first = {"cpu": float("nan"), "wall": first_trial(folder, tree) - started, "peak": float("nan")}
    return [("small study, to the end of its first trial", first), ("small study, nothing to do", again._asdict())]


def first_trial(folder: Path, tree: Path) -> float:
    """Return when the first trial ended."""
    code = (
        "from mlflow import MlflowClient\n"
        "client = MlflowClient('sqlite:///mlflow.db')\n"
        "ids = [client.get_experiment_by_name('big').experiment_id]\n"
        "runs = client.search_runs(ids, filter_string=\"tags.phase = 'search'\")\n"
        "print(min(run.info.end_time for run in runs) / 1000)\n"
    )
    return float(run([sys.executable, "-c", code], folder, tree).splitlines()[-1])


def write_study(folder: Path, **sections: Any) -> None:
    study = {
        "name": "big",
        "task": "summarization",
        "model": {"name": "embedded", "dtype": "float32"},
        "training": {"epochs": 1, "max_source_tokens": 128},
        "generation": {"max_new_tokens": 12},
        "search": {
            "learning_rate": {"low": 3.0e-4, "high": 1.0e-2, "scale": "log"},
            "trials": TRIALS,
            "sampler": "random",
        },
        "final": {"seeds": [11]},
        **sections,
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")


def write_rows(folder: Path, rows: int) -> None:
    """Write rows of words as frequent as in a language, with some names, which are rare."""
    words = sorted(set(re.findall(r"[a-z]+", (ROOT / "tasks" / "general" / "plain.txt").read_text().lower())))
    generator = np.random.default_rng(0)
    generator.shuffle(words)
    weights = 1 / np.arange(1, len(words) + 1)
    folder.mkdir()
    for split, size in {"train": rows, "validation": BEYOND, "test": BEYOND}.items():
        with (folder / f"{split}.jsonl").open("w", encoding="utf-8") as file:
            for number in range(size):
                chosen = [words[place] for place in generator.choice(len(words), WORDS, p=weights / weights.sum())]
                for place in generator.integers(WORDS, size=NAMES):
                    chosen[place] = f"Name{int(1e5 * generator.random() ** 2)}"
                source, target = " ".join(chosen[8:]), " ".join(chosen[:8])
                row = {
                    "id": f"{split}-{number}",
                    "source": f"{source.capitalize()}.",
                    "target": f"{target.capitalize()}.",
                }
                file.write(json.dumps(row) + "\n")


def command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "harness", *arguments]


def run(arguments: Sequence[str], folder: Path, tree: Path) -> str:
    settings = {**os.environ, "PYTHONPATH": str(tree)}
    settings.pop("MLFLOW_TRACKING_URI", None)
    done = subprocess.run(arguments, cwd=folder, env=settings, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{arguments} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


def measured(arguments: Sequence[str], folder: Path, tree: Path) -> Taken:
    """Run a command of a version of the harness, with its children, and return what it took."""
    settings = {**os.environ, "PYTHONPATH": str(tree)}
    settings.pop("MLFLOW_TRACKING_URI", None)
    with (folder / "log.txt").open("w") as output:
        start = time.perf_counter()
        process = subprocess.Popen(command(arguments), cwd=folder, env=settings, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{arguments} ended with {process.returncode}:\n{(folder / 'log.txt').read_text()[-3000:]}")
    return Taken(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024)


if __name__ == "__main__":
    main()
