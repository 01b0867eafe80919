"""Two workers of one thread each, held against one, and against two separate processes, in the same run.

All train the same study, a small model with everything trainable, by the command that users run: trials of a second or
two. Start-up and the end are left out: trials count from when each process has ended its first to when the first of
them has ended its last. What two processes that know nothing of each other reach on this machine, whose cores share
memory and heat, is what two workers can reach; ``waits`` is how long a worker is without a job between two of them.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from support import Shape, print_table, write_json, write_place, write_study

from harness.core.ends_with_parent import ending_with_parent
from harness.core.python_child import python

SHAPES = {
    "4 blocks": Shape(blocks=4, width=192, inner=512, heads=6, vocabulary=2_000, source=48, target=16),
    "6 blocks": Shape(),
}
ROWS = {"train": 64, "validation": 32, "test": 8}
SAID = re.compile(r"(?m)^(\S+ \S+) INFO \S+ .* trial \d+: (begun|ended)")
"""What a worker's log says of a trial."""


class Way(NamedTuple):
    """How the trials of one process followed each other."""

    ends: list[float]
    """Seconds."""
    waits: list[float]
    """Between the end of one and the beginning of the next; empty where that is not told."""


SAYS = "said.jsonl"
"""What a study prints, in its place."""


def begun(place: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Begin the study of a place in a process of its own, one thread each; it ends with this one."""
    settings = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    command = ending_with_parent(python("-m", "harness", "run", "workers.yaml", "--json", *arguments))
    with (place / SAYS).open("wb") as said:
        return subprocess.Popen(
            command,
            cwd=place,
            env={**settings, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


def end(process: subprocess.Popen[bytes]) -> None:
    """Wait for a study that ends well."""
    if process.wait():
        raise RuntimeError(f"a study ended with {process.returncode}")


def alone(place: Path) -> Way:
    """Return the way of a process that trained itself."""
    events = [json.loads(line) for line in (place / SAYS).read_text(encoding="utf-8").splitlines()]
    ends = [datetime.fromisoformat(event["time"]).timestamp() for event in events if event["event"] == "trial"]
    return Way(sorted(ends), [])


def with_workers(place: Path) -> list[Way]:
    """Return the ways of a study's workers, as their logs tell them."""
    ways = []
    for log in sorted((place / ".harness" / "workers").glob("worker-*.log")):
        told = [(_seconds(when), what) for when, what in SAID.findall(log.read_text(encoding="utf-8"))]
        waits = [b - a for (a, was), (b, now) in pairwise(told) if (was, now) == ("ended", "begun")]
        ways.append(Way([when for when, what in told if what == "ended"], waits))
    return ways


def _seconds(when: str) -> float:
    return datetime.strptime(when, "%Y-%m-%d %H:%M:%S,%f").astimezone().timestamp()


def speed(ways: Sequence[Way]) -> float:
    """Return trials a second while all processes are at work.

    Raises:
        RuntimeError: One of them ended no two trials in that time.
    """
    begin, end = max(way.ends[0] for way in ways), min(way.ends[-1] for way in ways)
    within = [[time for time in way.ends if begin <= time <= end] for way in ways]
    if min(map(len, within)) < 2:
        raise RuntimeError("the processes were hardly at work at the same time; take more --trials")
    return sum((len(times) - 1) / (times[-1] - times[0]) for times in within)


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
        end(begun(one, "--devices", "cpu"))
        more = 3 * trials  # the first worker is alone while the second one loads
        end(begun(two, "--workers", "2", "--set", f"search.trials={more}"))
        for process in [begun(left), begun(right)]:
            end(process)
        single, pair, apart = with_workers(one), with_workers(two), [alone(left), alone(right)]
    of_one, of_two, separate = speed(single), speed(pair), speed(apart)
    waits = [wait for way in pair for wait in way.waits]
    return {
        "one": of_one,
        "two": of_two,
        "separate": separate,
        "to one": of_two / of_one,
        "to separate": of_two / separate,
        "waits ms": 1000 * statistics.mean(waits),
    }


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=12, help="of each process")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--shape", choices=list(SHAPES), default="4 blocks")
    options = parser.parse_args()
    rounds = [measured(SHAPES[options.shape], options.trials) for _ in range(options.rounds)]
    print_table(rounds)
    write_json("workers", {"shape": options.shape, "trials": options.trials, "rounds": rounds})


if __name__ == "__main__":
    main()
