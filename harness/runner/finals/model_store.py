"""Which models of a study the store keeps: the best by validation, or the best of every cell."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.core.progress import Progress
from harness.metrics.base import Metric
from harness.report.mlflow_pages.descriptions import model_note
from harness.runner.executors.protocol import Executor, Job, Measured, OneJob, Reply, drive
from harness.runner.finals.best_checkpoint import Checkpoints
from harness.runner.finals.champion import Contest
from harness.runner.objective import Objective
from harness.runner.resume.missing_runs import StudyRuns
from harness.serving.generator import SERVED
from harness.study.check import Checked
from harness.study.search_space import SearchSpace
from harness.tracking.mlflow.ui_views import Address
from harness.tracking.run_records import in_order_of
from harness.tracking.schema import Params, Tags, score_name
from harness.tracking.store_protocols import ModelCard, Run
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
    metrics: Sequence[Metric]
    """The task's, looked up."""
    spaces: Mapping[str, SearchSpace]
    """By cell."""
    objective: Objective
    checkpoints: Checkpoints
    executor: Executor
    runs: StudyRuns
    progress: Progress

    def store(self, summary: str) -> None:
        """Store the models that the study keeps, register the best, and drop those that were kept before.

        A registered model stays: dropping it would leave its version without weights. `harness.runner.clean` drops
        those that no alias names any more. The tags of the summary run will say what is kept.
        """
        ranked = self._ranked()
        if not ranked or not self.checked.study.final.seeds:
            return
        best, stored, keeps = ranked[0], self.runs.tracker.models.stored(), self._keeps(ranked)
        for run in keeps:
            if run.id in stored and not self._may_stay(run):
                self.runs.tracker.models.drop(stored.pop(run.id))
            if run.id not in stored:
                stored[run.id] = self._store(run)
        if keeps:
            self._contest().promote(best, stored[best.id])
        model = stored[best.id] if keeps else None
        kept = KeptModels(model, best.id, best.tags[Tags.CELL], tuple(run.id for run in keeps))
        self.runs.tracker.tags(summary, kept.tags())
        registry = self.runs.tracker.models.registry
        for other in stored.keys() - set(kept.runs):
            if not registry.made_by(other):
                self.runs.tracker.models.drop(stored[other])

    def _contest(self) -> Contest:
        study, validation = self.checked.study, self.checked.examples["validation"]
        lead = next(metric for metric in self.metrics if metric.name == self.objective.lead)
        return Contest(study, lead, validation, self.runs.tracker, self.progress)

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
        if there != store and self.runs.tracker.models.registry.made_by(run.id):
            kept = f"the model of {run.name} is registered and stays as it is, {there}"
            self.progress.say(f"{kept}; final.store: {store} holds for new ones")
            return True
        return there == store

    def _store(self, run: Run) -> str:
        """Hand a final run's model to the store; one whose weights are not at hand is trained again."""
        self.progress.say(f"storing the model of {run.name}")
        cell, seed = run.tags[Tags.CELL], run.params[Params.SEED]
        winner = self.spaces[cell].parse(run.params)
        checkpoint, key = self.checkpoints.of(cell), self.checkpoints.key(run.tags[Tags.CELL_DIGEST], winner, seed)
        if not checkpoint.holds(key):
            job = Job(run.name, cell, winner, int(seed) if seed.isdigit() else 0, follows=False)
            saved = Reply(save=str(checkpoint.offered()))
            drive(self.executor, OneJob(job, lambda event: saved if isinstance(event, Measured) else Reply()))
            checkpoint.adopt(key, run.metrics[score_name("validation", self.objective.lead)])
        uri = self.runs.tracker.models.store(run.id, checkpoint.model, self._card(run))
        checkpoint.release()
        self.runs.tracker.tags(run.id, {Tags.STORED: self.checked.study.final.store})
        return uri

    def _card(self, run: Run) -> ModelCard:
        cell = next(cell for cell in self.checked.cells if cell.id == run.tags[Tags.CELL])
        fields = self.checked.examples["validation"][0].fields
        note = model_note(run, self.objective.lead, Address(self.runs.tracker.pages.experiment))
        own = {Tags.BEST_RUN: run.id, Tags.NOTE: note}
        return ModelCard(
            name=re.sub(r"[^A-Za-z0-9 _-]", "-", run.name),
            code=SERVED,
            example={name: fields[name] for name in sorted(cell.prompt.names()) or ["source"]},
            params={name: run.params[name] for name in (*MODEL_PARAMS, *self.spaces[cell.id].names)}
            | {Params.STORE: self.checked.study.final.store},
            tags={name: run.tags[name] for name in MODEL_TAGS if name in run.tags} | own,
        )
