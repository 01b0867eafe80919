"""The training rows that a stored model picks demonstrations from, and the embeddings that it compares them by."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from harness.core.bounded_files import parse_json
from harness.core.errors import ModelError
from harness.core.example import Example
from harness.data.demonstrations import NO_DEMONSTRATIONS, Demonstrations, pick_of, shots_of
from harness.models.load import Loaded
from harness.models.source_vectors import SourceVectors, embedding_table
from harness.serving.recipe import Recipe

__all__ = ["read_demonstrations", "write_demonstrations"]

ROWS = "demonstrations.jsonl"

TABLE = "demonstrations.npy"
"""The pretrained embeddings, where training moved the model's own."""


def write_demonstrations(folder: Path, demonstrations: Demonstrations, loaded: Loaded, recipe: Recipe) -> None:
    """Write the rows that a recipe's prompt picks from, with the fields that it needs; nothing where it picks none.

    Args:
        folder: The model's.
        demonstrations: Of the study.
        loaded: The model as it stands, under its tuning.
        recipe: Its recipe.
    """
    if not shots_of(recipe.prompt):
        return
    needed = {*recipe.fields, *recipe.prompt.shown_names()}  # type: ignore[attr-defined]  # those that pick have it
    with (folder / ROWS).open("w", encoding="utf-8") as file:
        for row in demonstrations.rows:
            fields = {name: value for name, value in row.fields.items() if name in needed}
            line = {"id": row.id, "fields": fields, "target": row.target}
            file.write(json.dumps(line, ensure_ascii=False, default=str) + "\n")
    vectors = demonstrations.vectors
    table = vectors.table if pick_of(recipe.prompt) == "similar" and isinstance(vectors, SourceVectors) else None
    if table is not None and not np.array_equal(table, embedding_table(loaded)):
        np.save(folder / TABLE, table, allow_pickle=False)


def read_demonstrations(folder: Path, loaded: Loaded, recipe: Recipe) -> Demonstrations:
    """Return what a recipe's prompt picks from.

    Args:
        folder: What `write_demonstrations` wrote into.
        loaded: The stored model.
        recipe: Its recipe.

    Raises:
        ModelError: The rows cannot be read.
    """
    if not shots_of(recipe.prompt):
        return NO_DEMONSTRATIONS
    try:
        rows = list(_rows(folder / ROWS))
        stored = np.load(folder / TABLE, allow_pickle=False) if (folder / TABLE).is_file() else None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ModelError(
            f"model {folder}: the rows that its prompt shows cannot be read: {error!r}; bring {ROWS} back"
        ) from error
    if pick_of(recipe.prompt) != "similar":
        return Demonstrations(rows)
    return Demonstrations(rows, SourceVectors(loaded.tokenizer, embedding_table(loaded) if stored is None else stored))


def _rows(file: Path) -> Iterator[Example]:
    with file.open(encoding="utf-8", newline="\n") as lines:
        for line in lines:
            row = parse_json(line)
            yield Example(row["id"], row["fields"], row["target"])
