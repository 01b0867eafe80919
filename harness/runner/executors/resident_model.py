"""The model that an executor has in memory: one of those that a study compares, or the only one.

A model under a classification head, which some prompts are answered by, is another one in its place.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence

import torch

from harness.core.example import Example
from harness.core.progress import Progress
from harness.core.workspace import Workspace
from harness.data.label_words import head_labels
from harness.study.checked_study import Checked
from harness.study.grid import Cell
from harness.training.forgetting import Forgetting
from harness.training.model_facts import ModelFacts
from harness.training.trainer import Trainer

__all__ = ["ModelsInTurn", "Resident", "Told"]

Told = Callable[[str, tuple[object, ...]], None]
"""Takes what a model that was loaded is called, and how its figures are computed; see `Resident.manner`."""


class Resident:
    """A model with its trainer, and with what measures what it knows of other texts.

    Args:
        checked: The study.
        model: What it is called, see `harness.study.grid.Cell.resident`; empty where there is one.
        workspace: Where recordings are kept.
        progress: Told of what takes time or does not work.
        share: How many processes divide the memory of the device between them.
    """

    def __init__(self, checked: Checked, model: str, workspace: Workspace, progress: Progress, share: int) -> None:
        self.model = model
        own = checked.residents[model]
        self.trainer = Trainer(own, workspace, progress.say, share=share)
        setup, study = self.trainer.setup, own.study
        sizes = {"batch_size": study.training.batch_size, "prompts": setup.decoding.batch_size}
        measures = own.general and study.final.seeds
        self.forgetting = Forgetting(own.general, setup.loaded, forward=setup.forward, **sizes) if measures else None

    def facts(self, cells: Sequence[Cell]) -> ModelFacts:
        """Return what the records of the study say of the model, and of the cells that are its own."""
        facts = self.trainer.facts(cells)
        return facts._replace(forgetting=self.forgetting.digest if self.forgetting else None)

    def manner(self) -> tuple[object, ...]:
        """Return what decides how its figures are computed, beside the job: two that are to agree have the same."""
        setup = self.trainer.setup
        return setup.loaded.digest, setup.loaded.model.device.type, setup.whole_forward.alone, setup.decoding.as_json()

    def let_go(self) -> None:
        """Give the memory back, before another model takes its place."""
        del self.trainer, self.forgetting
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


class ModelsInTurn:
    """The models of a study, one of which is in memory at a time; takes what `Resident` does.

    Args:
        checked: The study.
        workspace: Where recordings are kept.
        progress: Told of what takes time or does not work.
        share: How many processes divide the memory of the device between them.
        loaded: Told of each model that is loaded.
    """

    def __init__(self, checked: Checked, workspace: Workspace, progress: Progress, share: int, loaded: Told) -> None:
        self._checked, self._workspace, self._progress, self._share = checked, workspace, progress, share
        self._loaded = loaded
        self._test: Sequence[Example] | None = None
        self._recordings: dict[str, int] = {}
        self.resident = self._load(next(iter(checked.residents)))
        """The one that is there."""

    def of(self, model: str) -> Resident:
        """Return a model, loaded now where another one is there, which goes first."""
        if model != self.resident.model:
            self._recordings = dict(self.recordings())
            self.resident.let_go()
            self._progress.stage(f"loading model {model or self._checked.study.model.name}")
            self.resident = self._load(model)
        return self.resident

    def _load(self, model: str) -> Resident:
        loaded = Resident(self._checked, model, self._workspace, self._progress, self._share)
        if self._test is not None:
            loaded.trainer.setup.open_test(self._test)
        self._loaded(model, loaded.manner())
        return loaded

    def facts(self) -> ModelFacts:
        """Return what the records of the study say of its model, or of each of them."""
        cells, found = self._checked.cells, dict[str, ModelFacts]()
        for resident in self._checked.residents:
            own = [cell for cell in cells if cell.resident == resident]
            facts, model = self.of(resident).facts(own), own[0].model
            if model not in found:
                found[model] = facts
            elif head_labels(own[0].prompt):
                found[model] = found[model].beside_head(facts)
            else:
                found[model] = facts.beside_head(found[model])
        return ModelFacts.of_several(found) if self._checked.models else found[""]

    def open_test(self, examples: Sequence[Example]) -> None:
        """Hand the test split in."""
        self._test = examples
        self.resident.trainer.setup.open_test(examples)

    def recordings(self) -> Mapping[str, int]:
        """Return the bytes of the recordings that were made or found, by what names one."""
        return {**self._recordings, **self.resident.trainer.recorded}
