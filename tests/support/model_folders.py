"""Stored models, written as a study's final run would."""

from __future__ import annotations

from pathlib import Path

from harness.data.template import Template
from harness.data.tokenization import Limits
from harness.models.delta import Base
from harness.models.load import Loaded
from harness.serving.generator import save_model
from harness.serving.recipe import Recipe
from harness.study.axes import Tuning
from harness.training.evaluation import Decoding

__all__ = ["folder_of"]


def folder_of(loaded: Loaded, folder: Path, prompt: Template) -> Path:
    """Store a whole model that was not trained, with its prompt; return its folder."""
    base = Base("base", None, None, "float32", False, False, loaded.digest, "unused")
    recipe = Recipe(
        prompt=prompt,
        limits=Limits(40, 12, 8),
        decoding=Decoding(8, batch_size=3),
        precision="fp32",
        tuning=Tuning(kind="none"),
        base=base,
        store="full",
        weights=loaded.digest,
    )
    save_model(folder, loaded, recipe)
    return folder
