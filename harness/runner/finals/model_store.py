"""Which models of a study the store keeps: the best by validation, or the best of every cell."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from harness.core.progress import Progress
from harness.report.mlflow_pages.descriptions import model_note
from harness.runner.executors.protocol import Event, Executor, Job, Measured, Reply, drive
from harness.runner.finals.best_checkpoint import Checkpoints
from harness.runner.finals.champion import Contest
from harness.runner.objective import Objective
from harness.runner.resume.missing_runs import StudyRuns
from harness.serving.generator import SERVED
from harness.study.check import Checked
from harness.study.grid import Cell, cell_study
from harness.study.search_space import SearchSpace
from harness.tracking.mlflow.ui_views import Address
from harness.tracking.run_records import in_order_of
from harness.tracking.schema import Params, Tags, score_name
from harness.tracking.store_protocols import ModelCard, Run, Tracker
from harness.tracking.study_record import KeptModels

__all__ = ["ModelKeeper"]

MODEL_PARAMS = (Params.TASK, Params.MODEL, Params.PROMPT, Params.TUNING, Params.SEED)
"""What a stored model says of its run's params."""
MODEL_TAGS = (Tags.STUDY, Tags.CELL, Tags.CELL_DIGEST, Tags.MODEL_DIGEST, Tags.WEIGHTS_DIGEST, Tags.PROMPT_URI)
"""What it says of its tags, as far as the run has them."""


@dataclass(frozen=True)
class ModelKeeper:
    """Has the store keep the models that a study keeps."""

    checked: Checked
    objective: Objective
    checkpoints: Checkpoints
    contest: Contest
    executor: Executor
    runs: StudyRuns
    tracker: Tracker
    progress: Progress

    def store(self, summary: str) -> None:
        """Store the models that the study keeps, register the best, and drop those that were kept before.

        A registered model stays: dropping it would leave its version without weights. `harness.runner.clean` drops
        those that no alias names any more.

        Args:
            summary: The id of the study's summary run, whose tags will say what is kept.
        """
        ranked = self._ranked()
        if not ranked or not self.checked.study.final.seeds:
            return
        best, stored, keeps = ranked[0], self.tracker.models.stored(), self._keeps(ranked)
        for run in keeps:
            if run.id in stored and not self._may_stay(run):
                self.tracker.models.drop(stored.pop(run.id))
            if run.id not in stored:
                stored[run.id] = self._store(run)
        if keeps:
            self.contest.promote(best, stored[best.id])
        model = stored[best.id] if keeps else None
        kept = KeptModels(model, best.id, best.tags[Tags.CELL], tuple(run.id for run in keeps))
        self.tracker.tags(summary, kept.tags())
        registry = self.tracker.models.registry
        for other in stored.keys() - set(kept.runs):
            if not registry.made_by(other):
                self.tracker.models.drop(stored[other])

    def _ranked(self) -> list[Run]:
        """Return the final runs, best on validation first; among equals the grid's and the seeds' order decides."""
        metric, sign = score_name("validation", self.objective.lead), 1.0 if self.objective.lead_maximize else -1.0
        seeds = [str(seed) for seed in self.checked.study.final.seeds]
        finals = []
        for cell in self.checked.cells:
            own = [run for run in self.runs.children(cell.id, "final") if run.status == "FINISHED"]
            finals += in_order_of(seeds, own)
        return sorted((run for run in finals if metric in run.metrics), key=lambda run: -sign * run.metrics[metric])

    def _keeps(self, ranked: list[Run]) -> list[Run]:
        if self.checked.study.final.models == "none":
            return []
        firsts: dict[str, Run] = {}
        for run in ranked:
            firsts.setdefault(run.tags[Tags.CELL], run)
        return list(firsts.values()) if self.checked.study.final.models == "cells" else ranked[:1]

    def _may_stay(self, run: Run) -> bool:
        """Return whether a stored model may stay as it is; a registered one must, and the user hears of it."""
        store = self.checked.study.final.store
        there = run.tags.get(Tags.STORED, store)
        if there != store and self.tracker.models.registry.made_by(run.id):
            kept = f"the model of {run.name} is registered and stays as it is, {there}"
            self.progress.say(f"{kept}; final.store: {store} holds for new ones")
            return True
        return there == store

    def _store(self, run: Run) -> str:
        """Hand a final run's model to the store; one whose weights are not at hand is trained again."""
        self.progress.say(f"storing the model of {run.name}")
        cell, seed = run.tags[Tags.CELL], run.params[Params.SEED]
        winner = self._space(self._cell(run)).parse(run.params)
        checkpoint, key = self.checkpoints.of(cell), self.checkpoints.key(run.tags[Tags.CELL_DIGEST], winner, seed)
        if not checkpoint.holds(key):
            job = Job(run.name, cell, winner, int(seed) if seed.isdigit() else 0, follows=False)
            drive(self.executor, _OneModel(job, str(checkpoint.offered(key))))
            checkpoint.adopt(key, run.metrics[score_name("validation", self.objective.lead)])
        uri = self.tracker.models.store(run.id, checkpoint.model, self._card(run))
        checkpoint.release()
        self.tracker.tags(run.id, {Tags.STORED: self.checked.study.final.store})
        return uri

    def _cell(self, run: Run) -> Cell:
        return next(cell for cell in self.checked.cells if cell.id == run.tags[Tags.CELL])

    def _space(self, cell: Cell) -> SearchSpace:
        return SearchSpace.of(cell_study(self.checked.study, cell))

    def _card(self, run: Run) -> ModelCard:
        cell = self._cell(run)
        fields = self.checked.examples["validation"][0].fields
        note = model_note(run, self.objective.lead, Address(self.tracker.pages.experiment))
        own = {Tags.BEST_RUN: run.id, Tags.NOTE: note}
        return ModelCard(
            name=re.sub(r"[^A-Za-z0-9 _-]", "-", run.name),
            code=SERVED,
            example={name: fields[name] for name in sorted(cell.prompt.names()) or ["source"]},
            params={name: run.params[name] for name in (*MODEL_PARAMS, *self._space(cell).names)}
            | {Params.STORE: self.checked.study.final.store},
            tags={name: run.tags[name] for name in MODEL_TAGS if name in run.tags} | own,
        )


class _OneModel:
    """The queue of one model that is trained again and saved; nothing else of it is recorded.

    Args:
        job: Trains it.
        folder: Where it goes.
    """

    def __init__(self, job: Job, folder: str) -> None:
        self._jobs, self._folder = {job.name: job}, folder

    def waiting(self) -> Sequence[str]:
        return list(self._jobs)

    def take(self, name: str) -> Job:
        return self._jobs.pop(name)

    def handle(self, event: Event) -> Reply:
        return Reply(save=self._folder) if isinstance(event, Measured) else Reply()
