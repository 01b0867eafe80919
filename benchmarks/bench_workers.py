"""Two workers of one thread each, held against one, and against two separate processes, in the same run.

All train the same study, a tiny or a small model with everything trainable, by the command that users run. Start-up is
left out: trials are counted from the end of the so-many-th on, when each process has ended its first, to the end of the
last. What two processes that know nothing of each other reach on this machine, whose cores share memory and heat, is
what two workers can reach.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from support import Shape, print_table, write_json, write_place, write_study

SHAPES = {
    "tiny": Shape(blocks=2, width=64, inner=128, heads=4, vocabulary=2_000, source=48, target=16),
    "6 blocks": Shape(),
}
ROWS = {"train": 64, "validation": 32, "test": 8}


def begun(place: Path, *arguments: str) -> subprocess.Popen[str]:
    """Begin the study of a place in a process of its own, one thread each."""
    settings = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    command = [str(Path(sys.executable).with_name("harness")), "run", "workers.yaml", "--json", *arguments]
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    return subprocess.Popen(command, cwd=place, env={**settings, "OMP_NUM_THREADS": "1"}, **streams)


def ends(process: subprocess.Popen[str]) -> list[float]:
    """Return when each trial ended, in seconds."""
    out, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"a study ended with {process.returncode}")
    events = [json.loads(line) for line in out.splitlines()]
    return sorted(datetime.fromisoformat(event["time"]).timestamp() for event in events if event["event"] == "trial")


def speed(found: list[float], processes: int) -> float:
    """Return trials a second, from when each process has ended its first."""
    return (len(found) - processes) / (found[-1] - found[processes - 1])


def places(folder: Path, shape: Shape, trials: int) -> list[Path]:
    """Write four places with the same study."""
    first = folder / "0"
    first.mkdir()
    write_place(first, shape, ROWS)
    search = {"sampler": "random", "trials": trials, "metric": "loss"}
    training = {"epochs": 2, "batch_size": 8, "max_source_tokens": shape.source}
    write_study(first, "workers", tuning=["full"], training=training, search=search, generality="none")
    return [first, *(Path(shutil.copytree(first, folder / str(number))) for number in range(1, 4))]


def measured(shape: Shape, trials: int) -> dict[str, float]:
    """Return the speeds of one worker, of two, and of two processes that know nothing of each other."""
    with tempfile.TemporaryDirectory() as folder:
        one, two, left, right = places(Path(folder), shape, trials)
        single = speed(ends(begun(one, "--devices", "cpu")), 1)
        pair = speed(ends(begun(two, "--workers", "2")), 2)
        apart = [begun(left), begun(right)]
        found = [ends(process) for process in apart]
    end = min(times[-1] for times in found)  # while both are at work
    both = [[time for time in times if time <= end] for times in found]
    separate = sum(speed(times, 1) for times in both)
    return {"one": single, "two": pair, "separate": separate, "to one": pair / single, "to separate": pair / separate}


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shape", choices=list(SHAPES), default="6 blocks")
    options = parser.parse_args()
    rounds = [measured(SHAPES[options.shape], options.trials) for _ in range(options.rounds)]
    print_table(rounds)
    write_json("workers", {"shape": options.shape, "trials": options.trials, "rounds": rounds})


if __name__ == "__main__":
    main()
