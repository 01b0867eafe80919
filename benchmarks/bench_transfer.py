"""What a further prompt costs a final run under `final.transfer`: at most 1.05 times its own prompt's test rows.

A study of four prompts whose texts are as long as one another, one tuning or several and some final seeds runs in this
process, with its stores on the disk that temporary files are on. A question is timed from the call that scores it to
the call that scores the next, so that encoding, predictions, metrics, storing and the driver are in it; the last one
ends where the run's scores are complete. Each run's further prompts are held against its own prompt; medians over runs.
Text that is generated stops at its most tokens, since a random model hardly ends one. A median beyond the bound ends
it with status 1.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from support import Shape, print_table, write_json, write_place, write_study

SHAPES = {
    "tiny": Shape(blocks=3, width=32, inner=64, heads=4, vocabulary=1_000, source=24, target=8),
    "6 blocks": Shape(),
}
BOUND = 1.05
"""The most that a further prompt may cost, in scorings of the own one."""
PROMPTS = [{"name": name, "text": f"w{number} {{{{ source }}}}"} for number, name in enumerate(("a", "b", "c", "d"))]

Run = list[float]
"""When each question of a final run began, its own prompt's first, and when the last had its answer; seconds."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", default=",".join(SHAPES))
    parser.add_argument("--test", type=int, default=200, help="test rows")
    parser.add_argument("--seeds", type=int, default=5, help="final runs of each cell")
    parser.add_argument("--tunings", default="last_blocks,full")
    options = parser.parse_args()
    found = []
    for name in options.shapes.split(","):
        with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
            found += [{"model": name, **row} for row in measure(Path(place), SHAPES[name], options)]
    print_table(found)
    write_json("transfer", {"options": vars(options), "bound": BOUND, "tunings": found})
    if broken := [f"{row['model']}, {row['tuning']}: {row['ratio']:.3f}" for row in found if row["ratio"] > BOUND]:
        raise SystemExit(f"a further prompt costs more than {BOUND} times the own one's rows: {'; '.join(broken)}")


def measure(folder: Path, shape: Shape, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Run a study and return a line for each tuning."""
    from harness.runner.study import Study

    write_place(folder, shape, {"train": 16, "validation": 8, "test": options.test})
    kinds: dict[str, Any] = {"last_blocks": {"last_blocks": 1}, "full": "full"}
    study = write_study(
        folder,
        "transfer",
        prompts=PROMPTS,
        tuning=[kinds[kind] for kind in options.tunings.split(",")],
        training={"epochs": 1, "batch_size": 8, "max_source_tokens": shape.source + 1, "device": "cpu"},
        generation={"max_new_tokens": shape.target, "stop": []},
        search={"trials": 1, "metric": "loss"},
        final={"seeds": list(range(options.seeds)), "models": "none", "transfer": True},
        generality="none",
    )
    runs: dict[str, list[Run]] = defaultdict(list)
    with _stamped(runs), mock.patch.dict(os.environ, {"MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}"}):
        Study.load(study).run(progress=False)
    return [_line(tuning, each) for tuning, each in runs.items() if tuning != "none"]


@contextlib.contextmanager
def _stamped(runs: dict[str, list[Run]]) -> Iterator[None]:
    """Note, by tuning, when test is scored, and when a final run has all its scores."""
    from harness.runner.executors.protocol import Event, Measured, Reply
    from harness.runner.finals.final_runs import FinalsQueue
    from harness.training.evaluation import SplitScores
    from harness.training.training_run import TrainingRun

    score: Callable[..., SplitScores] = TrainingRun.score
    handle: Callable[[FinalsQueue, Event], Reply] = FinalsQueue.handle
    open_run: Run = []

    def scored(run: TrainingRun, split: str, **options: Any) -> SplitScores:
        if split == "test":
            open_run.append(time.perf_counter())
        return score(run, split, **options)

    def handled(queue: FinalsQueue, event: Event) -> Reply:
        if isinstance(event, Measured):
            tuning = event.job.split("/")[1].split()[0]
            runs[tuning].append([*open_run, time.perf_counter()])
            open_run.clear()
        return handle(queue, event)

    with mock.patch.object(TrainingRun, "score", scored), mock.patch.object(FinalsQueue, "handle", handled):
        yield


def _line(tuning: str, runs: Sequence[Run]) -> dict[str, Any]:
    seconds = [[end - start for start, end in zip(run, run[1:], strict=False)] for run in runs]
    assert {len(each) for each in seconds} == {len(PROMPTS)}, "each run answers under every prompt"
    ratios = [further / own for own, *others in seconds for further in others]
    return {
        "tuning": tuning,
        "runs": len(runs),
        "own s": statistics.median(own for own, *_ in seconds),
        "further s": statistics.median(further for _, *others in seconds for further in others),
        "ratio": statistics.median(ratios),
        "least": min(ratios),
        "most": max(ratios),
    }


if __name__ == "__main__":
    main()
