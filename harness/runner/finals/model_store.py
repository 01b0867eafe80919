"""Which models of a study the store keeps: of the middle run of the first-ranked cell, or of every cell's."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import HarnessError, ModelError
from harness.core.progress import Progress
from harness.data.plain_text import FIELD
from harness.metrics.base import Metric
from harness.report.mlflow_pages.descriptions import model_note
from harness.runner.executors.protocol import Ended, Event, Executor, Job, Measured, OneJob, Reply, drive
from harness.runner.finals.champion import Contest, middle_run, reason_for
from harness.runner.finals.checkpoints import Checkpoints
from harness.runner.finals.open_final import title_of
from harness.runner.objective import Objective
from harness.runner.resume.missing_runs import StudyRuns
from harness.serving.carried_code import carried_files, carried_packages
from harness.serving.recipe import Recipe, Store, set_decoding
from harness.serving.stored_files import SERVED, model_folder, verify_files
from harness.study.checked_study import Checked
from harness.study.grid import Cell, searched_by
from harness.study.search_space import SearchSpace
from harness.tracking.mlflow.ui_views import Address
from harness.tracking.run_records import in_order_of
from harness.tracking.schema import Params, Tags
from harness.tracking.store_protocols import ModelCard
from harness.tracking.stored_run import Run
from harness.tracking.study_record import KeptModels

__all__ = ["ModelKeeper"]

MODEL_PARAMS = (Params.TASK, Params.MODEL, Params.PROMPT, Params.TUNING, Params.SEED)
"""What a stored model says of its run's params."""
MODEL_TAGS = (
    *(Tags.STUDY, Tags.CELL, Tags.CELL_DIGEST, Tags.MODEL_DIGEST, Tags.WEIGHTS_DIGEST, Tags.PROMPT_URI),
    *(Tags.SOURCE, Tags.SOURCE_COMMIT),
)
"""What it says of its tags, as far as the run has them."""

UNRANKED = "nothing can be ranked"
"""Why a study offers no model."""


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

    def store(self, summary: str, first: str | None) -> KeptModels | None:
        """Store the models that the study keeps, register the best, and drop those that were kept before.

        A registered model stays: dropping it would leave its version without weights. `harness.runner.clean` drops
        those that no alias names any more. The tags of the summary run will say what is kept.

        Args:
            summary: The id of the summary run.
            first: The id of the cell that ranks first; ``None`` where nothing can be ranked, and no model is offered.

        Returns:
            The same; ``None`` where that cell, or the study, has no final runs, and what was kept stays.
        """
        finals = {cell.id: self._finals(cell.id) for cell in self.checked.cells}
        middles = {cell: run for cell, runs in finals.items() if (run := middle_run(runs, self.objective))}
        if not self.checked.study.final.seeds or (first and first not in middles):
            return None
        best, stored = middles.get(first or ""), self.runs.tracker.models.stored()
        why = reason_for(best, len(finals[best.tags[Tags.CELL]]), self.objective.lead) if best else UNRANKED
        offered = [best] if best else []
        keeps = {"none": [], "best": offered, "cells": list(middles.values())}[self.checked.study.final.models]
        for place, run in enumerate(keeps):
            if run.id in stored and not self._may_stay(run):
                self.runs.tracker.models.drop(stored.pop(run.id))
            if run.id not in stored or self._is_damaged(run, stored[run.id]):
                stored[run.id] = self._store(run)
            if (lead := self._lead(run).id) not in {self._lead(other).id for other in keeps[place + 1 :]}:
                self.checkpoints.keep(lead, ())
        if best and keeps:
            self.progress.say(f"the model of this study is that of {best.name}: {why}")
            self._contest().promote(best, stored[best.id], why)
        model = stored[best.id] if best and keeps else None
        offers, seed = (best.id, best.params[Params.SEED]) if best else (None, "")
        kept = KeptModels(model, offers, first, tuple(run.id for run in keeps), seed, why)
        self.runs.tracker.tags(summary, kept.tags())
        registry = self.runs.tracker.models.registry
        for other in stored.keys() - set(kept.runs):
            if not registry.made_by(other):
                self.runs.tracker.models.drop(stored[other])
        self.checkpoints.clear()
        return kept

    def _contest(self) -> Contest:
        study, validation = self.checked.study, self.checked.examples["validation"]
        lead = next(metric for metric in self.metrics if metric.name == self.objective.lead)
        return Contest(study, lead, validation, self.runs.tracker, self.progress)

    def _finals(self, cell: str) -> list[Run]:
        """Return the final runs of a cell that came to their end, in the order of the study's seeds."""
        finals = [run for run in self.runs.children(cell, "final") if run.status == "FINISHED"]
        return in_order_of([str(seed) for seed in self.checked.study.final.seeds], finals)

    def _form(self, run: Run) -> Store:
        """Return how a run's model is stored: where nothing trained as a delta of nothing, the base by reference."""
        return self._cell(run).tuning.stored_as(self.checked.study.final.store)

    def _cell(self, run: Run) -> Cell:
        return next(cell for cell in self.checked.cells if cell.id == run.tags[Tags.CELL])

    def _lead(self, run: Run) -> Cell:
        """Return the cell whose weights a run has."""
        return searched_by(self._cell(run), self.checked.cells)

    def _answer_by_its_setting(self, run: Run, folder: Path) -> None:
        """Let weights that several cells have answer as a run's cell does."""
        cell, first = self._cell(run), Recipe.read(folder).decoding
        if (own := self.checked.of(cell).decoding_of(cell, first)) != first:
            set_decoding(folder, own)

    def _may_stay(self, run: Run) -> bool:
        """Return whether a stored model may stay as it is; a registered one must, and the user hears of it."""
        store = self._form(run)
        there = run.tags.get(Tags.STORED, store)
        if there != store and self.runs.tracker.models.registry.made_by(run.id):
            kept = f"the model of {run.name} is registered and stays as it is, {there}"
            self.progress.say(f"{kept}; final.store: {store} holds for new ones")
            return True
        return there == store

    def _is_damaged(self, run: Run, uri: str) -> bool:
        """Return whether a stored model is not what was stored, and tell; of a server's its users find out."""
        try:
            if folder := self.runs.tracker.models.folder(uri):
                Recipe.read(model_folder(folder))
                verify_files(model_folder(folder))
        except ModelError as error:
            self.progress.say(f"the stored model of {run.name} is damaged, so that run is done again for it: {error}")
            return True
        return False

    def _store(self, run: Run) -> str:
        """Hand a final run's model to the store; one whose weights are not at hand is trained again."""
        self.progress.stage(f"storing the model of {run.name}")
        lead, seed = self._lead(run), run.params[Params.SEED]
        cell = lead.id
        winner = self.spaces[cell].parse(run.params)
        key = self.checkpoints.key(self.runs.cells[cell].digest, winner, seed)
        checkpoint = self.checkpoints.of(cell, seed)
        if not checkpoint.holds(key):
            identity, number = self.runs.identity(cell), int(seed) if seed.isdigit() else 0
            job = Job(f"{cell} {title_of(lead, seed)}", cell, winner, number, follows=False, identity=identity)
            saved = Reply(save=str(checkpoint.offered()))

            def answer(event: Event) -> Reply:
                if isinstance(event, Ended) and event.error:
                    raise HarnessError(f"the model of {run.name} cannot be stored, since {event.error}")
                return saved if isinstance(event, Measured) else Reply()

            drive(self.executor, OneJob(job, answer))
            checkpoint.adopt(key)
        self._answer_by_its_setting(run, checkpoint.model)
        weights, scored = Recipe.read(checkpoint.model).weights, run.tags.get(Tags.WEIGHTS_DIGEST)
        if scored not in (None, weights):
            facts = f"its weights have the digest {weights}, those that were scored {scored}"
            self.progress.say(f"caution: {run.name} trained again is another model: {facts}")
        uri = self.runs.tracker.models.store(run.id, checkpoint.model, self._card(run, Recipe.read(checkpoint.model)))
        self.runs.tracker.tags(run.id, {Tags.STORED: self._form(run)})
        return uri

    def _card(self, run: Run, recipe: Recipe) -> ModelCard:
        cell = self._cell(run)
        used = set(recipe.fields)
        rows = self.checked.examples["validation"]
        each = [{FIELD: rows[0].source}] if self.checked.text else [row.fields for row in rows]
        fields = max(each, key=lambda fields: len(used & fields.keys()))
        if self.runs.kept_off:
            fields = dict.fromkeys(fields, "some text")
        winner = self.spaces[cell.id].parse(run.params)
        note = model_note(run, winner, self.objective.lead, Address(self.runs.tracker.pages.experiment))
        own = {Tags.BEST_RUN: run.id, Tags.NOTE: note}
        return ModelCard(
            name=re.sub(r"[^A-Za-z0-9 _-]", "-", run.name),
            code=SERVED,
            package=carried_files(recipe),
            example={name: fields[name] for name in sorted(used & fields.keys())},
            params={name: run.params[name] for name in (*MODEL_PARAMS, *self.spaces[cell.id].names)}
            | {Params.STORE: recipe.store},  # what can be no part of the weights is never whole
            tags={name: run.tags[name] for name in MODEL_TAGS if name in run.tags} | own,
            packages=carried_packages(recipe),
        )
