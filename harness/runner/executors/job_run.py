"""How a job is done, event by event: trained, scored, measured and saved."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from harness.core.errors import Diverged
from harness.core.example import Split
from harness.core.failures import explained, is_out_of_memory
from harness.core.progress import Step, Tell
from harness.runner.executors.job_checkpoint import Found, JobCheckpoint, Notes, Score
from harness.runner.executors.protocol import Ended, EpochEnded, Event, Job, Measured, Reply, Scored, Trained
from harness.runner.objective import is_maximized
from harness.serving.recipe import Recipe, recipe_of_run
from harness.serving.stored_model import save_model, save_whole
from harness.study.checked_study import Checked
from harness.study.grid import cell_study, searched_by
from harness.study.search_space import applied, tuned
from harness.tracking.calibration_names import prior_metrics
from harness.tracking.schema import Metrics, Tags, score_name
from harness.tracking.step_names import PRUNED_AFTER_STEP, RESUMED_AFTER
from harness.tracking.transfer_names import transfer_part
from harness.training.early_stopping import EarlyStopping
from harness.training.forgetting import Forgetting
from harness.training.loop import Epoch, Resumed
from harness.training.loss_metrics import losses
from harness.training.trainer import Trainer
from harness.training.training_run import TrainingRun

__all__ = ["JobRun"]


class JobRun:
    """Does one job: trains, scores, measures and saves; goes on where its checkpoints left it, if it has some.

    A trial is scored by the objective after every epoch; another run only where a curve or a rule of stopping needs
    it, since it is scored in full at its end. What was scored before a checkpoint is told again, as if it were now.
    """

    def __init__(
        self,
        job: Job,
        checked: Checked,
        trainer: Trainer,
        forgetting: Forgetting | None,
        tell: Tell = lambda step: None,
        checkpoint: JobCheckpoint | None = None,
    ) -> None:
        self._job, self._trainer, self._tell = job, trainer, tell
        self._forgetting = forgetting if job.measures else None
        self._cells = {cell.id: cell for cell in checked.cells}
        cell = searched_by(self._cells[job.cell], checked.cells)
        self._cell = replace(cell, tuning=tuned(cell.tuning, job.hyperparameters))
        """What trains, and is scored while it does by the first setting of generation."""
        self._prompts = {prompt.name: prompt for prompt in checked.prompts}
        self._objective = checked.objective
        self._training = applied(cell_study(checked.study, self._cell), job.hyperparameters).training
        maximize = is_maximized(self._objective, trainer.setup.metrics)
        self._stopping = EarlyStopping(self._training, maximize=maximize)
        self._counts = job.is_trial or self._stopping.watches
        """Whether something depends on the objective after each epoch."""
        self._resumed: dict[str, str] = {}
        self._checkpoint = checkpoint
        self._scores: list[Score] = []
        self._best: Score | None = None
        """The best of them, where it counts."""
        self._weights: Mapping[str, Tensor] = {}
        """Its weights, where they are scored again."""
        self._as = ""
        """The other cell that it answers as."""
        self._costs: Mapping[str, float] = {}
        """Of the cell's own run, where answers as other cells are counted by themselves."""

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
        trunk, costs, memory = (run.trunk, self._costs or run.costs(), run.memory) if run else ("", {}, {})
        pruned = PRUNED_AFTER_STEP if self._training.counts_steps else Tags.PRUNED_AFTER
        tags = {pruned: str(self._stopping.at)} if outcome == "stopped" else {}
        yield Ended(self._job.name, outcome, error, trunk, costs, memory, {**self._resumed, **tags})
        if self._checkpoint:  # now that the end is recorded
            self._checkpoint.drop()

    def _train(self, run: TrainingRun) -> Generator[Event, Reply, bool]:
        """Train to the end, and return whether it was reached; the driver may stop it before."""
        if not self._cell.tuning.trains or self._is_stored(run):
            return True
        kept, resumed = self._checkpoint, None
        if kept and (found := kept.found()):
            self._resumed = {RESUMED_AFTER: str(found.state.step)}
            if (yield from self._take_over(found, run)).stop:
                return False
            if self._stopping.ended:
                run.restore(found.state.weights)
                return True
            resumed = Resumed(found.state, found.is_told)
        notes = partial(self._notes, run)
        training: dict[str, Any] = {"seed": self._job.seed, "resumed": resumed}
        if kept:
            training["offer"] = partial(kept.offer, notes=notes, save=None if self._job.is_trial else self._save_whole)
        with closing(run.epochs(self._job.hyperparameters, **training)) as epochs:
            for epoch in epochs:
                reply = yield from self._follow(epoch, run)
                if kept:
                    kept.scored(epoch.step, notes)
                if self._stopping.ended or reply.stop:
                    return self._stopping.ended
            return True

    def _is_stored(self, run: TrainingRun) -> bool:
        """Take the weights that training would end with from a stored model, where that is at hand."""
        folder = Path(self._job.stored)
        return bool(self._job.stored) and folder.is_dir() and run.take_stored(folder, Recipe.read(folder).weights)

    def _save_whole(self, folder: Path) -> None:
        setup = self._trainer.setup
        save_whole(folder, setup.loaded, recipe_of_run(self._cell, setup))

    def _take_over(self, found: Found, run: TrainingRun) -> Generator[Event, Reply, Reply]:
        """Tell what another process found of the job, and take its best weights over."""
        run.go_on(found.notes.costs, found.notes.memory)
        reply = Reply()
        for score in found.notes.scores:
            if score.metrics:
                reply = yield self._told(score)
            self._see(score)
            if reply.stop:
                break
        self._weights = found.notes.best
        return reply

    def _notes(self, run: TrainingRun) -> Notes:
        best = self._best.step if self._best and self._weights else 0
        return Notes(self._scores, best, self._weights, run.costs(), run.memory)

    def _follow(self, epoch: Epoch, run: TrainingRun) -> Generator[Event, Reply, Reply]:
        """Score an epoch as far as is needed, and take note of it if it is the best so far."""
        job, reply = self._job, Reply()
        score = Score(
            epoch.epoch,
            epoch.step,
            epoch.at,
            epoch.is_last,
            epoch.train_loss,
            epoch.minimized,
            value=math.nan,
            loss=math.nan,
            metrics={},
        )
        if self._counts or (job.follows and not epoch.is_last):
            scores = run.score("validation", generate=self._counts and self._objective != "loss").scores
            value = scores[self._objective] if self._counts else math.nan
            metrics = {score_name("validation", name): found for name, found in scores.items()}
            score = score._replace(value=value, loss=scores["loss"], metrics=metrics)
            reply = yield self._told(score)
        if self._counts:
            run.refuse_exploded(score.loss, score.step)
            if not math.isfinite(score.value):
                raise Diverged(score.value, score.step)
        if self._see(score) and (not job.is_trial or self._objective == "loss"):  # other trials are not scored again
            self._weights = run.snapshot()
        return reply

    def _told(self, score: Score) -> EpochEnded:
        """Return the event that tells of a score."""
        told = {**losses(score.train_loss, score.minimized, score.loss), **score.metrics}
        return EpochEnded(self._job.name, score.epoch, score.step, score.at, score.is_last, score.value, told)

    def _see(self, score: Score) -> bool:
        """Take note of a score; return whether its weights are to be kept, as the best so far."""
        self._scores.append(score)
        is_best = self._stopping.see(score.at, score.value, score.loss, is_last=score.is_last)
        if is_best and self._training.keep == "best":
            self._best = score
        return self._best is score

    def _finish(self, run: TrainingRun, before: Mapping[str, float]) -> Generator[Event, Reply, None]:
        """Tell of the epoch that counts, and do with its weights what the driver asks for."""
        job, stopping, reply = self._job, self._stopping, Reply()
        if self._scores:
            earlier = self._best.metrics if self._best and job.is_trial and stopping.goes_back else {}
            metrics = {**earlier, **stopping.metrics()}
            reply = yield Trained(job.name, stopping.at, stopping.step, stopping.value, stopping.tags(), metrics)
            if stopping.goes_back:
                run.restore(self._weights)
        reply = reply if reply.score else Reply(score=job.scores)
        while reply.score is not None:
            reply = yield self._answered(reply.score, run, reply.under, reply.cell)
        if job.is_trial:
            return
        reply = yield Measured(job.name, stopping.step, self._measured(before))
        if reply.save:
            setup = self._trainer.setup
            self._tell(Step("saving the weights"))
            demonstrations = setup.demonstrations_of(setup.draw_of(self._cell))
            save_model(Path(reply.save), setup.loaded, recipe_of_run(self._cell, setup), demonstrations)

    def _answered(self, split: Split, run: TrainingRun, under: str, cell: str) -> Scored:
        """Score a split; memory that runs out where it answers as another cell fails that cell's run alone."""
        try:
            return self._scored(split, run, under, cell)
        except (MemoryError, RuntimeError) as failure:
            if not cell or not is_out_of_memory(failure):
                raise
            error = str(explained(failure))
        name, step = self._job.name, self._stopping.step
        return Scored(name, split, step, {}, (), "", run.trunk, under, cell, run.costs(), error)

    def _scored(self, split: Split, run: TrainingRun, under: str, cell: str) -> Scored:
        job, decoding = self._job, self._trainer.setup.decoding_of(self._cells[cell or self._job.cell])
        if cell != self._as:
            self._as, self._costs = cell, self._costs or run.costs()
            run.count_anew()
        prompt = self._prompts[under] if under else None
        scored = run.score(split, generate=job.predicts, prompt=prompt, decoding=decoding)
        if split == "validation":
            run.refuse_exploded(scored.scores["loss"], self._scores[-1].step if self._scores else 0)
        part = transfer_part(under) if under else split
        metrics = {score_name(part, name): value for name, value in scored.scores.items()}
        if split == "validation" and not job.is_trial and not cell and self._scores and not self._stopping.goes_back:
            last = self._scores[-1]
            metrics |= losses(last.train_loss, last.minimized, scored.scores["loss"])
        if split == "validation" and not job.is_trial:
            metrics |= prior_metrics(scored.prior)
        weights = "" if job.is_trial else run.weights_digest()
        told = self._stopping.step, metrics, scored.predictions, weights, run.trunk, under
        return Scored(job.name, split, *told, cell, run.costs() if cell else {})

    def _measured(self, before: Mapping[str, float]) -> dict[str, float]:
        """Return what the model as it stands still knows, beside what the pretrained one did; zero-shot is that one."""
        if self._forgetting is None:
            return {}
        self._tell(Step("measuring what the model still knows"))
        after = self._forgetting.measure() if self._cell.tuning.trains else before
        return {**after, **{f"{name}{Metrics.BEFORE}": value for name, value in before.items()}}
