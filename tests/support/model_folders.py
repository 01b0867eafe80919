"""Stored models, written as a study's final run would."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.data.tokenization import Limits, PromptForm
from harness.models.delta import Base
from harness.models.load import Loaded
from harness.serving.recipe import Recipe
from harness.serving.stored_model import save_model
from harness.study.axes import Tuning
from harness.training.evaluation import Decoding

__all__ = ["folder_of"]


def folder_of(
    loaded: Loaded,
    folder: Path,
    prompt: PromptForm,
    columns: Mapping[str, str] | None = None,
    *,
    source: int = 40,
    ends: tuple[int, ...] = (),
) -> Path:
    """Store a whole model that was not trained, with its prompt and its study's columns; return its folder."""
    base = Base("base", None, None, "float32", False, False, loaded.digest, "unused")
    recipe = Recipe(
        prompt=prompt,
        limits=Limits(source, 12, 8),
        decoding=Decoding(8, batch_size=3),
        precision="fp32",
        tuning=Tuning(kind="none"),
        base=base,
        store="full",
        weights=loaded.digest,
        columns=columns or {},
        ends=ends,
    )
    save_model(folder, loaded, recipe)
    return folder
