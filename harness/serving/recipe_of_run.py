"""The recipe of a model as a training run has it: all that answering takes beside the weights."""

from __future__ import annotations

from pathlib import Path

from harness.models.delta import Base, trained_digest
from harness.models.load import architecture_digest
from harness.serving.generator import Recipe
from harness.study.grid import Cell
from harness.study.settings import model_location
from harness.training.setup import TrainingSetup

__all__ = ["recipe_of_run"]


def recipe_of_run(cell: Cell, setup: TrainingSetup) -> Recipe:
    """Return the recipe of the model as it stands.

    Args:
        cell: What was trained, on which prompt.
        setup: The study's model and settings.
    """
    spec, loaded = setup.study.model, setup.loaded
    place = Path(model_location(spec.name)).expanduser()
    base = Base(
        name=spec.name,
        folder=str(place.resolve()) if loaded.commit is None and spec.name != "embedded" else None,
        commit=loaded.commit,
        dtype=spec.dtype,
        trust_remote_code=spec.trust_remote_code,
        allow_pickle=spec.allow_pickle,
        weights=loaded.digest,
        architecture=architecture_digest(loaded.model),
    )
    return Recipe(
        prompt=cell.prompt,
        limits=setup.limits,
        decoding=setup.decoding,
        precision=setup.study.training.precision,
        tuning=cell.tuning,
        base=base,
        store=setup.study.final.store,
        weights=trained_digest(loaded, cell.tuning),
    )
