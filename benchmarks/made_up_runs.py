"""A study that is run without training: its model is loaded, and losses, scores and answers are made up."""

from __future__ import annotations

import math
import random
from collections.abc import Generator, Sequence
from pathlib import Path

from harness.core.example import Example, Prediction, digest
from harness.core.progress import Progress
from harness.core.workspace import Workspace
from harness.metrics.evaluate_hub import resolve_all
from harness.runner.executors.crew import Crew
from harness.runner.executors.executor_table import EXECUTORS
from harness.runner.executors.in_process import InProcess
from harness.runner.executors.protocol import Ended, EpochEnded, Event, Job, JobQueue, Measured, Reply, Scored, Trained
from harness.runner.study import Study
from harness.serving.recipe import recipe_of_run
from harness.serving.stored_model import save_model
from harness.study.checked_study import Checked

COSTS = {"train_seconds": 1.0, "flops": 1e12, "peak_memory_mib": 900.0}


class MadeUp:
    """Does no job, and tells how it went."""

    def __init__(self, checked: Checked, workspace: Workspace, progress: Progress, crew: Crew) -> None:
        self._inner, self._checked = InProcess(checked, workspace, progress), checked
        self._trainer = self._inner._models.resident.trainer
        self._metrics = resolve_all(checked.metrics)
        self._rows = dict(checked.examples)
        self.facts, self.recorded, self.close = self._inner.facts, self._inner.recorded, self._inner.close

    def open_test(self, examples: Sequence[Example]) -> None:
        self._rows["test"] = list(examples)
        self._inner.open_test(examples)

    def run(self, queue: JobQueue) -> Generator[Event, Reply, None]:
        while names := queue.waiting():
            yield from self._do(queue.take(names[0]))

    def _do(self, job: Job) -> Generator[Event, Reply, None]:
        rate = float(job.hyperparameters.get("learning_rate", 1e-3) or 1e-3) if job.hyperparameters else 1e-3
        quality = 0.5 - 0.1 * abs(math.log10(rate) + 2.5) + 0.1 * random.Random(job.cell).random()
        name, reply = job.name, Reply()
        if job.hyperparameters:
            loss = {"train/loss": 2 - quality, "validation/loss": 2 - quality, "validation/rougeL": quality}
            yield EpochEnded(name, 1, 4, 1, True, quality, loss)
            reply = yield Trained(name, 1, 4, quality, {}, {})
        split = reply.score or job.scores
        while split is not None:
            reply = yield self._scored(job, split, quality)
            split = reply.score
        if not job.is_trial:
            reply = yield Measured(name, 4, {})
            self._save(job, reply)
        yield Ended(name, "complete", "", "whole", {f"cost/{cost}": value for cost, value in COSTS.items()})

    def _save(self, job: Job, reply: Reply) -> None:
        """Save the pretrained model as what came of a job, if it is asked for."""
        if reply.save:
            cell, setup = next(cell for cell in self._checked.cells if cell.id == job.cell), self._trainer.setup
            save_model(Path(reply.save), setup.loaded, recipe_of_run(cell, setup))

    def _scored(self, job: Job, split: str, quality: float) -> Scored:
        rows, draw = self._rows[split], random.Random(f"{job.cell} {job.seed} {split}")
        said = [
            Prediction(row.id, " ".join(w if draw.random() < quality else "um" for w in row.target.split()), 2.0, 9)
            for row in rows
        ]
        scores = {
            f"{split}/{metric.name}": float(
                metric.reduce([metric.statistics(*pair) for pair in zip(said, rows, strict=True)])
            )
            for metric in self._metrics
        }
        return Scored(job.name, split, 4, {**scores, f"{split}/loss": 2.0}, said, digest([job.cell, job.seed]), "whole")


def run_made_up(study: str) -> None:
    """Run a study of the current folder."""
    EXECUTORS["made-up"] = MadeUp
    Study.load(study).run(executor="made-up")
