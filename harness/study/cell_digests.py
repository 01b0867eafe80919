"""Digests of cells: content hashes of all that a cell's results depend on, and that a look at test could move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from harness.core.example import digest
from harness.data.prompt_forms import stored_fields
from harness.data.tokenization import SOURCE_TOKENS, PromptForm
from harness.study.first_settings import first_settings
from harness.study.grid import Cell, cell_study, neighbor, searched_by
from harness.study.search_space import SearchSpace
from harness.study.spec import Search, StudySpec
from harness.study.training_keys import training_identity
from harness.study.written_space import RATE

__all__ = ["cell_digests", "edition"]


def cell_digests(
    cells: Sequence[Cell],
    study: StudySpec,
    facts: Mapping[str, Any],
    templates: Mapping[PromptForm, str | None] = MappingProxyType({}),
    *,
    own: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    loss: str | None = None,
) -> dict[str, str]:
    """Return, by cell id, the content hash of all that a cell's results depend on.

    More trials and more final seeds extend a cell; anything else that changes makes another cell of it. Two kinds of
    cell depend on the number of trials as well: those of a grid, whose points it moves, and those that start from
    another cell, whose best learning rate it may move. The latter change whenever that cell does. A zero-shot cell
    does not depend on training or search.

    Args:
        cells: The whole grid, in its order.
        study: The study.
        facts: Digests of weights, tokenizer and data, the resolved generation settings and metric signatures.
        templates: Digest of the model's chat template, by the prompts that it writes.
        own: What takes the place of facts in some cells, by their ids.
        loss: Digest of the file of a loss of one's own; ``None``: the loss is one of the harness.
    """
    found: dict[str, str] = {}
    for cell in cells:
        parent, searched = neighbor(cell, study, cells), searched_by(cell, cells)
        template = templates.get(cell.prompt)
        said = {**facts, **own.get(cell.id, {}), **({"chat_template": template} if template else {})}
        if cell.tuning.trains and searched != cell:
            said["searched_by"] = found[searched.id]
        found[cell.id] = _digest(cell, study, said, start=found[parent.id] if parent else "none", loss=loss)
    return found


def _digest(cell: Cell, study: StudySpec, facts: Mapping[str, Any], *, start: str, loss: str | None) -> str:
    study = cell_study(study, cell)
    source_tokens = study.training.max_source_tokens or SOURCE_TOKENS  # a task's own are among the facts
    content: dict[str, Any] = {
        "prompt": stored_fields(cell.prompt),
        "tuning": cell.tuning.identity,
        "dtype": study.model.dtype,
        "max_source_tokens": source_tokens,
        "precision": study.training.precision,
        **facts,
    }
    content |= study.model.languages
    if study.model.frozen != "float32":
        content["frozen"] = study.model.frozen
    if cell.further:
        content["factors"] = {axis: level.name for axis, level in cell.further}
    if cell.tuning.trains:
        content["training"] = {**training_identity(study.training), "max_source_tokens": source_tokens}
        content |= {"loss": loss} if loss else {}
        space = SearchSpace.of(study, cell.tuning)
        content["search"] = _search_identity(study.search, space, start)
        if further := space.beyond_learning_rate.record():
            content["space"] = further
        if first := first_settings(study, space):
            content["first"] = [dict(setting) for setting in first]
    return digest(content)


def _search_identity(search: Search, space: SearchSpace, start: str) -> dict[str, Any]:
    """Return what it says beside the further dimensions, as it was said when the learning rate was the only one."""
    identity = search.model_dump(exclude={"trials", "storage", "space", "ranges", "edges", "first"}) | {
        "warm_start": start
    }
    if rate := space.find(RATE):
        identity[RATE] = list(rate.choices) or {"low": rate.low, "high": rate.high, "scale": rate.scale}
    if search.edges == "extend":  # where the draws beyond the range begin depends on how many there are within
        return identity | {"edges": "extend", "trials": search.trials}
    return identity | {"trials": search.trials} if search.sampler == "grid" or start != "none" else identity


def edition(study: StudySpec, digests: Mapping[str, str]) -> str:
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
        "baseline": list(baseline.levels.values()) if baseline else None,
    }
    return digest(content)
