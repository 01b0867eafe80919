"""The grid: every combination of prompt and tuning is one cell, with an id for people and a digest for machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any

from harness.errors import UserError, closest
from harness.example import digest
from harness.study import Search, Study, Tuning
from harness.template import Template

__all__ = ["Cell", "cell_digest", "expand", "select"]


@dataclass(frozen=True)
class Cell:
    """One combination of the grid."""

    prompt: Template
    tuning: Tuning

    @property
    def id(self) -> str:
        """The name of the cell everywhere: ``prompt/tuning``."""
        return f"{self.prompt.name}/{self.tuning.name}"


def expand(study: Study, prompts: Sequence[Template]) -> list[Cell]:
    """Return all cells in grid order: prompts outside, tunings inside."""
    return [Cell(prompt, tuning) for prompt in prompts for tuning in study.tunings()]


def select(cells: Sequence[Cell], pattern: str | None) -> list[Cell]:
    """Return the cells whose id matches a shell pattern such as ``cue/*``.

    Raises:
        UserError: None does.
    """
    chosen = [cell for cell in cells if pattern is None or fnmatchcase(cell.id, pattern)]
    if not chosen:
        ids = [cell.id for cell in cells]
        raise UserError(f"--cells {pattern!r} matches no cell; {closest(str(pattern), ids)}")
    return chosen


def cell_digest(cell: Cell, study: Study, facts: Mapping[str, Any]) -> str:
    """Return the content hash of all that a cell's results depend on.

    More trials (but for the grid, whose points they move) and more final seeds extend a cell; anything else that
    changes makes another cell of it. A zero-shot cell does not depend on training or search.

    Args:
        cell: The cell.
        study: The study.
        facts: Digests of weights, tokenizer and data, the resolved generation settings and metric signatures.
    """
    content: dict[str, Any] = {
        "prompt": asdict(cell.prompt),
        "tuning": cell.tuning.name,
        "dtype": study.model.dtype,
        "max_source_tokens": study.training.max_source_tokens,
        "precision": study.training.precision,
        **facts,
    }
    if cell.tuning.trains:
        content["training"] = study.training.model_dump(exclude={"device"})
        content["search"] = _search_identity(study.search)
    return digest(content)


def _search_identity(search: Search) -> dict[str, Any]:
    identity = search.model_dump(exclude={"trials", "storage"})
    return identity | {"trials": search.trials} if search.sampler == "grid" else identity
