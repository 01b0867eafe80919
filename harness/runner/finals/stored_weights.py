"""Stored models of final runs whose weights answer under a further setting of generation, without training again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from harness.core.errors import ModelError
from harness.runner.resume.missing_runs import StudyRuns
from harness.serving.recipe import Recipe
from harness.serving.stored_files import model_folder, verify_files
from harness.study.further_axes import GENERATION
from harness.study.grid import Cell
from harness.tracking.schema import Params, Tags
from harness.tracking.stored_run import Run

__all__ = ["StoredWeights"]


@dataclass
class StoredWeights:
    """Which of a study's models are stored, by cell and seed, whatever the setting that they answer by."""

    leads: Mapping[str, Cell]
    """By cell, the one whose weights answer for it."""
    runs: StudyRuns
    _folders: dict[tuple[str, str], str] = field(default_factory=dict, init=False)
    """By the cell that was searched, and seed."""
    _answered: set[tuple[str, str]] = field(default_factory=set, init=False)
    """Those whose weights answered by some setting, stored or not."""

    def add(self, cell: Cell, standing: Iterable[Run]) -> None:
        """Take note of the final runs of a cell that stand."""
        for run in standing if GENERATION in cell.levels else ():
            key = self._lead(cell), run.params[Params.SEED]
            self._answered.add(key)
            if folder := self._folder(run):
                self._folders.setdefault(key, folder)

    def of(self, cell: Cell, seed: str) -> str:
        """Return the folder of a stored model that a final run would end with; empty where there is none."""
        return self._folders.get((self._lead(cell), seed), "") if cell.tuning.trains else ""

    def repeated(self, asked: Mapping[Cell, Sequence[str]]) -> list[str]:
        """Tell of final runs whose weights answered before, by another setting, and are not stored.

        Args:
            asked: The seeds of the final runs that are missing, by cell.
        """
        told = []
        for cell, seeds in asked.items():
            lost = [seed for seed in seeds if (self._lead(cell), seed) in self._answered and not self.of(cell, seed)]
            if lost and cell.tuning.trains:
                runs = "final run of seed" if len(lost) == 1 else "final runs of seeds"
                again = f"train{'s' * (len(lost) == 1)} again, since no stored model holds the weights that train"
                told.append(f"{cell.id}: the {runs} {', '.join(lost)} {again}")
        return told

    def _lead(self, cell: Cell) -> str:
        return self.leads[cell.id].id

    @cached_property
    def _models(self) -> Mapping[str, str]:
        return self.runs.tracker.models.stored()

    def _folder(self, run: Run) -> str:
        """Return where a run's model is; empty where it is not at hand, not what was stored, or lacks its adapter."""
        try:
            uri = self._models.get(run.id)
            folder = self.runs.tracker.models.folder(uri) if uri else None
            if folder is None:
                return ""
            verify_files(found := model_folder(folder))
            recipe = Recipe.read(found)
        except ModelError:  # whoever keeps the study's models tells of it
            return ""
        became_part = recipe.tuning.adapter and recipe.store == "full"
        if became_part or recipe.tuning.virtual_tokens:  # nor are those what trained: a network made them
            return ""
        return str(found) if recipe.weights == run.tags.get(Tags.WEIGHTS_DIGEST) else ""
