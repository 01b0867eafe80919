"""The executor that trains in this process, one job after the other, and how it does a job, event by event."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

from torch import Tensor

from harness.core.errors import Diverged
from harness.core.example import Example, Split
from harness.core.failures import explained, is_out_of_memory
from harness.core.progress import Progress, Step, Tell
from harness.core.workspace import Workspace
from harness.runner.executors.protocol import Ended, EpochEnded, Event, Job, JobQueue, Measured, Reply, Scored, Trained
from harness.runner.objective import is_maximized
from harness.serving.generator import save_model
from harness.serving.recipe import recipe_of_run
from harness.study.check import Checked
from harness.study.grid import cell_study
from harness.study.search_space import applied, tuned
from harness.tracking.schema import Metrics, score_name
from harness.training.early_stopping import EarlyStopping
from harness.training.forgetting import Forgetting
from harness.training.loop import Epoch
from harness.training.model_facts import ModelFacts
from harness.training.trainer import Trainer
from harness.training.training_run import TrainingRun, losses

__all__ = ["InProcess", "JobRun"]


class InProcess:
    """Does jobs one by one, in the order of the queue; the study's model is loaded when this is made.

    Args:
        checked: The study.
        workspace: Where recordings are kept.
        progress: Told how far jobs are, and of what takes time or does not work.
        share: How many processes that do the same divide the memory between them.
    """

    def __init__(self, checked: Checked, workspace: Workspace, progress: Progress, *, share: int = 1) -> None:
        self._checked, self._progress = checked, progress
        self._trainer = Trainer(checked, workspace, progress.say, share=share)
        setup, general, study = self._trainer.setup, checked.general, checked.study
        sizes = {"batch_size": study.training.batch_size, "prompts": setup.decoding.batch_size}
        self._forgetting = (
            Forgetting(general, setup.loaded, forward=setup.forward, **sizes) if general and study.final.seeds else None
        )

    def facts(self) -> ModelFacts:
        """Return what the records of the study say of its model."""
        facts = self._trainer.facts(self._checked.cells)
        return facts._replace(forgetting=self._forgetting.digest if self._forgetting else None)

    def open_test(self, examples: Sequence[Example]) -> None:
        """Hand the test split in."""
        self._trainer.setup.open_test(examples)

    def run(self, queue: JobQueue) -> Generator[Event, Reply, None]:
        """Do jobs until none waits."""
        while names := queue.waiting():
            yield from self.do(queue.take(names[0]))

    def do(self, job: Job) -> Generator[Event, Reply, None]:
        """Do one job."""
        tell = partial(self._progress.at, job.name)
        return JobRun(job, self._checked, self._trainer, self._forgetting, tell).events()

    def recorded(self) -> int:
        """Return the bytes of the recordings that were made or found."""
        return sum(self.recordings().values())

    def recordings(self) -> Mapping[str, int]:
        """Return them by what names a recording, for whoever shares them with others."""
        return self._trainer.recorded

    def manner(self) -> tuple[object, ...]:
        """Return what decides how its figures are computed, beside the job: two that are to agree have the same."""
        setup = self._trainer.setup
        return setup.loaded.digest, setup.loaded.model.device.type, setup.whole_forward.alone, setup.decoding.as_json()

    def close(self) -> None:
        """Do nothing: the model goes with the process."""


class JobRun:
    """Does one job: trains, scores, measures and saves.

    A trial is scored by the objective after every epoch; another run only where a curve or a rule of stopping needs
    it, since it is scored in full at its end.
    """

    def __init__(
        self,
        job: Job,
        checked: Checked,
        trainer: Trainer,
        forgetting: Forgetting | None,
        tell: Tell = lambda step: None,
    ) -> None:
        self._job, self._trainer, self._tell = job, trainer, tell
        self._forgetting = forgetting if job.measures else None
        cell = next(cell for cell in checked.cells if cell.id == job.cell)
        self._cell = replace(cell, tuning=tuned(cell.tuning, job.hyperparameters))
        self._objective = checked.objective
        self._training = applied(cell_study(checked.study, self._cell), job.hyperparameters).training
        maximize = is_maximized(self._objective, trainer.setup.metrics)
        self._stopping = EarlyStopping(self._training, maximize=maximize)
        self._counts = job.is_trial or self._stopping.watches
        """Whether something depends on the objective after each epoch."""
        self._best: Mapping[str, float] = {}
        self._weights: Mapping[str, Tensor] = {}
        self._last: Epoch | None = None
        """The last epoch, if its weights are those that are scored."""
        self._step = 0
        """The last optimizer step, counted from 1."""

    def events(self) -> Generator[Event, Reply, None]:
        """Do the job; however it ends, the model is the pretrained one afterwards."""
        if self._forgetting:
            self._tell(Step("measuring what the pretrained model knows"))
        before = self._forgetting.before() if self._forgetting else {}  # while the model is as it was loaded
        outcome: Literal["complete", "stopped", "diverged"] = "complete"
        error = ""
        run: TrainingRun | None = None
        try:
            seed, generates = self._job.seed, not self._job.is_trial
            with self._trainer.run(self._cell, seed=seed, generates=generates, tell=self._tell) as run:
                if (yield from self._train(run)):
                    yield from self._finish(run, before)
                else:
                    outcome = "stopped"
        except Diverged as divergence:
            outcome, error = "diverged", str(divergence)
        except (MemoryError, RuntimeError) as failure:  # fails this run alone, as a loss that diverged does
            if not is_out_of_memory(failure):
                raise
            outcome, error = "diverged", str(explained(failure))
        trunk, costs, memory = (run.trunk, run.costs(), run.memory) if run else ("", {}, {})
        yield Ended(self._job.name, outcome, error, trunk, costs, memory)

    def _train(self, run: TrainingRun) -> Generator[Event, Reply, bool]:
        """Train to the end, and return whether it was reached; the driver may stop it before."""
        if not self._cell.tuning.trains:
            return True
        with closing(run.epochs(self._job.hyperparameters, seed=self._job.seed)) as epochs:
            for epoch in epochs:
                reply = yield from self._follow(epoch, run)
                if self._stopping.ended:
                    self._last = None if self._stopping.goes_back else epoch
                    break
                if reply.stop:
                    return False
            return True

    def _follow(self, epoch: Epoch, run: TrainingRun) -> Generator[Event, Reply, Reply]:
        """Score an epoch as far as is needed, and take note of it if it is the best so far."""
        job, is_last = self._job, epoch.epoch == self._training.epochs
        self._step = len(epoch.losses) * epoch.epoch
        value, loss, metrics, reply = math.nan, math.nan, dict[str, float](), Reply()
        if self._counts or (job.follows and not is_last):
            scores = run.score("validation", generate=self._counts and self._objective != "loss").scores
            value = scores[self._objective] if self._counts else math.nan
            loss = scores["loss"]
            metrics = {score_name("validation", name): score for name, score in scores.items()}
            told = {**losses(epoch, loss), **metrics}
            reply = yield EpochEnded(job.name, epoch.epoch, is_last, value, told)
        if self._counts:
            run.refuse_exploded(loss, self._step)
            if not math.isfinite(value):
                raise Diverged(value, self._step)
        if self._stopping.see(epoch.epoch, value, loss) and self._training.keep == "best":
            self._best = metrics
            if not job.is_trial or self._objective == "loss":  # other trials are not scored again
                self._weights = run.snapshot()
        return reply

    def _finish(self, run: TrainingRun, before: Mapping[str, float]) -> Generator[Event, Reply, None]:
        """Tell of the epoch that counts, and do with its weights what the driver asks for."""
        job, stopping, reply = self._job, self._stopping, Reply()
        if self._cell.tuning.trains:
            earlier = self._best if job.is_trial and stopping.goes_back else {}
            metrics = {**earlier, **stopping.metrics()}
            reply = yield Trained(job.name, stopping.epoch, stopping.step, stopping.value, stopping.tags(), metrics)
            if stopping.goes_back:
                run.restore(self._weights)
        split = reply.score or job.scores
        while split is not None:
            reply = yield self._scored(split, run)
            split = reply.score
        if job.is_trial:
            return
        reply = yield Measured(job.name, stopping.step, self._measured(before))
        if reply.save:
            setup = self._trainer.setup
            self._tell(Step("saving the weights"))
            save_model(Path(reply.save), setup.loaded, recipe_of_run(self._cell, setup), setup.demonstrations)

    def _scored(self, split: Split, run: TrainingRun) -> Scored:
        job = self._job
        scored = run.score(split, generate=job.predicts)
        if split == "validation":
            run.refuse_exploded(scored.scores["loss"], self._step)
        metrics = {score_name(split, name): value for name, value in scored.scores.items()}
        if split == "validation" and not job.is_trial and self._last is not None:
            metrics |= losses(self._last, scored.scores["loss"])
        weights = "" if job.is_trial else run.weights_digest()
        return Scored(job.name, split, self._stopping.step, metrics, scored.predictions, weights, run.trunk)

    def _measured(self, before: Mapping[str, float]) -> dict[str, float]:
        """Return what the model as it stands still knows, beside what the pretrained one did; zero-shot is that one."""
        if self._forgetting is None:
            return {}
        self._tell(Step("measuring what the model still knows"))
        after = self._forgetting.measure() if self._cell.tuning.trains else before
        return {**after, **{f"{name}{Metrics.BEFORE}": value for name, value in before.items()}}
