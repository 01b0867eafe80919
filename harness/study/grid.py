"""The grid: every combination of prompt and tuning is one cell, with an id for people and a digest for machines.

With ``search.warm_start: neighbor`` the cells that train form a tree, fixed by the grid alone. A cell starts from the
first prompt's cell of the same tuning; under the first prompt, from the tuning before it; the first of all from none.
A parent stands before its children in grid order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any

from harness.core.errors import UserError, closest
from harness.core.example import digest
from harness.data.tokenization import PromptForm
from harness.study.factors import Tuning
from harness.study.search_space import SearchSpace
from harness.study.spec import Search, Study

__all__ = ["Cell", "cell_digests", "edition", "expand", "neighbor", "select", "with_neighbors"]


@dataclass(frozen=True)
class Cell:
    """One combination of the grid."""

    prompt: PromptForm
    tuning: Tuning

    @property
    def id(self) -> str:
        """The name of the cell everywhere: ``prompt/tuning``."""
        return f"{self.prompt.name}/{self.tuning.name}"


def expand(study: Study, prompts: Sequence[PromptForm]) -> list[Cell]:
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


def neighbor(cell: Cell, study: Study, cells: Sequence[Cell]) -> Cell | None:
    """Return the cell whose best learning rate is the first trial of this one, ``None`` where it draws all its own.

    Args:
        cell: One of the cells.
        study: Says whether cells start from one another at all.
        cells: The whole grid.
    """
    if study.search.warm_start == "none" or not cell.tuning.trains:
        return None
    first = [other for other in cells if other.prompt == cells[0].prompt and other.tuning.trains]
    place = [other.tuning for other in first].index(cell.tuning)
    if cell.prompt != cells[0].prompt:
        return first[place]
    return first[place - 1] if place else None


def with_neighbors(chosen: Sequence[Cell], study: Study, cells: Sequence[Cell]) -> list[Cell]:
    """Return, in grid order, some cells and all those that they start from, directly or not."""
    wanted, line = {cell.id for cell in chosen}, list(chosen)
    while line:
        if (parent := neighbor(line.pop(), study, cells)) and parent.id not in wanted:
            wanted.add(parent.id)
            line.append(parent)
    return [cell for cell in cells if cell.id in wanted]


def cell_digests(cells: Sequence[Cell], study: Study, facts: Mapping[str, Any]) -> dict[str, str]:
    """Return, by cell id, the content hash of all that a cell's results depend on.

    More trials and more final seeds extend a cell; anything else that changes makes another cell of it. Two kinds of
    cell depend on the number of trials as well: those of a grid, whose points it moves, and those that start from
    another cell, whose best learning rate it may move. The latter change whenever that cell does. A zero-shot cell
    does not depend on training or search.

    Args:
        cells: The whole grid, in its order.
        study: The study.
        facts: Digests of weights, tokenizer and data, the resolved generation settings and metric signatures.
    """
    found: dict[str, str] = {}
    for cell in cells:
        parent = neighbor(cell, study, cells)
        found[cell.id] = _digest(cell, study, facts, start=found[parent.id] if parent else "none")
    return found


def _digest(cell: Cell, study: Study, facts: Mapping[str, Any], *, start: str) -> str:
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
        content["search"] = _search_identity(study.search, start)
        if further := SearchSpace.of(study).beyond_learning_rate.record():
            content["space"] = further
    return digest(content)


def _search_identity(search: Search, start: str) -> dict[str, Any]:
    identity = search.model_dump(exclude={"trials", "storage"}) | {"warm_start": start}
    return identity | {"trials": search.trials} if search.sampler == "grid" or start != "none" else identity


def edition(study: Study, digests: Mapping[str, str]) -> str:
    """Return the content hash of all in a study that a look at the test split could move a user to change.

    These are the cells and all that their results depend on, how many trials and test rows and which seeds there are,
    and the baseline: to add seeds until a difference shows is as much tuning on test as to edit a prompt. A study's
    name, its question, where it stores things and how fast it computes are no part of it; nor are the test rows
    themselves, since fresh ones are the remedy.

    Args:
        study: The study.
        digests: From `cell_digests`, of the whole grid.
    """
    baseline = study.final.baseline
    content = {
        "cells": dict(digests),
        "trials": study.search.trials,
        "seeds": sorted(study.final.seeds),
        "test": study.data.test,
        "baseline": [baseline.prompt, baseline.tuning.name] if baseline else None,
    }
    return digest(content)
