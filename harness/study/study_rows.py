"""The rows of a study: read, made into examples, and settled before anything is done with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from harness.core.errors import UserError
from harness.core.example import SPLITS, Example, Split
from harness.data.data_keys import Data, Draw
from harness.data.known_columns import made_into_others
from harness.data.mixtures import part_of
from harness.data.open_source import open_source
from harness.data.row_groups import few_tested, likely_groups, separated
from harness.data.rows_by_label import drawn_by_label
from harness.data.sources import Source, SourceRow, example_of, examples_of, split_rows
from harness.data.train_draws import parts_of, refuse_equal, rows_of_draws
from harness.data.train_test_overlap import Overlap, Twin, overlaps, settled
from harness.study.problems import Problems
from harness.study.spec import StudySpec
from harness.study.target_in_prompt import spread
from harness.study.task import Task, plain_example
from harness.study.unequal_targets import trimmed_targets

__all__ = ["StudyRows", "study_rows"]

SHOWN = 3
"""Pairs that a line names."""


class StudyRows(NamedTuple):
    """The rows of a study, as far as they could be read."""

    source: Source | None
    """Where they come from; ``None`` where it cannot be opened."""
    sample: list[SourceRow]
    """Some training rows, spread over the split; the others are not kept."""
    examples: Mapping[Split, Sequence[Example]]
    """All splits at hand."""
    overlaps: tuple[Overlap, ...]
    """What they have in common, before anything was dropped."""
    notes: tuple[str, ...]
    """What is told of them: files, splits, ends of targets, groups that are lost, a test split of few rows."""
    cautions: tuple[str, ...]
    """Columns that look as if they said which rows belong together; rows of a mixture that are not told otherwise."""
    shown_otherwise: frozenset[str]
    """Columns that prompts show under another name: mapped ones, and parts of instructions."""
    parts: Mapping[Draw, Sequence[Example]] = MappingProxyType({})
    """By draw, what of train is used, where several draws are compared."""


def study_rows(
    study: StudySpec,
    task: Task,
    task_file: Path,
    end: str | None,
    problems: Problems,
    *,
    labelled: bool,
    test: bool,
) -> StudyRows:
    """Read the rows of a study, and settle what they are.

    Args:
        study: Resolved.
        task: Makes examples of rows.
        task_file: Its file, beside which its own data are.
        end: The model's end token, which targets lose at their ends.
        problems: Takes what is wrong with them.
        labelled: Whether targets are labels, of which each has its share of the training rows.
        test: Whether to read the test split.
    """
    by_label = study.data.per_label is not None or (labelled and not study.data.sources)
    source, sample, asked, examples, ids = _read(study, task, task_file, problems, by_label=by_label, test=test)
    examples, taken_off = trimmed_targets(examples, end, problems)
    examples, found, lines = _kept(study, examples, problems)
    if by_label:
        with problems.at("data", "train" if study.data.per_label is None else "per_label"):
            examples, ids = _by_label(study.data, examples)
    parts = dict[Draw, Sequence[Example]]()
    with problems.at("data", "seed"):
        refuse_equal(ids)
    with problems.at("data", "train"):
        parts = parts_of(examples.get("train", ()), ids if study.data.compares_draws else {})
    notes = (*(source.notes if source else ()), *taken_off, *lines)
    others = _shown_otherwise(study.data, source, examples)
    return StudyRows(source, sample, examples, found, notes, tuple(asked), others, parts)


def _read(
    study: StudySpec, task: Task, task_file: Path, problems: Problems, *, by_label: bool, test: bool
) -> tuple[Source | None, list[SourceRow], list[str], dict[Split, list[Example]], dict[Draw, list[str]]]:
    """Return the source, a sample of its training rows, cautions of groups, all examples, the ids of train's draws.

    No other row stays. Where rows are drawn by their labels, they are all there, and drawn later.
    """
    source: Source | None = None
    rows, examples = dict[Split, list[SourceRow]](), dict[Split, list[Example]]()
    places, ids = dict[Draw, list[int]](), dict[Draw, list[str]]()
    errors = list[UserError]()
    with problems.at("data"):
        source = open_source(study.data, task_file.parent / task.data)
        own = task.example is plain_example or study.data.turns is not None
        source = replace(source, from_memory=bool(problems.file.memory), reads_chats=own)
    once = source and source.read_once()  # what it keeps goes when this returns
    for split in SPLITS if once else ():
        assert once is not None
        if split == "test" and not test:
            continue
        try:
            if split == "train" and not by_label:
                rows[split], places = rows_of_draws(once, study.data)
            else:
                rows[split] = split_rows(once, split, study.data, study.data.draws[0]._replace(train=None))
            examples[split] = examples_of(rows[split], study.data, task.example)
        except UserError as error:
            errors.append(error)
    problems.add_once(errors, source.prefix if source else "", "data")
    asked = _ungrouped(rows, examples, study.data)
    asked += _undrawn(source, study.data, task, examples) if source else []
    if train := examples.get("train"):
        ids = {draw: [train[place].id for place in own] for draw, own in places.items()}
    return source, spread(rows.get("train", [])), asked, examples, ids


def _kept(
    study: StudySpec, examples: dict[Split, list[Example]], problems: Problems
) -> tuple[dict[Split, list[Example]], tuple[Overlap, ...], list[str]]:
    """Return the examples that a study uses, what splits have in common, and lines of lost groups and a small test."""
    if "train" not in examples:
        return examples, (), []
    found = overlaps(examples)
    with problems.at("data", "on_overlap"):
        examples = settled(examples, found, study.data.on_overlap)
    sizes = {split: len(part) for split, part in examples.items()}
    with problems.at("data", "group"):
        examples = separated(examples, study.data.on_overlap)
    lost = {split: size - len(examples[split]) for split, size in sizes.items()}
    lines = [f"{n} rows of {split} are left out: their group is in a later split." for split, n in lost.items() if n]
    return examples, found, [*lines, *few_tested(examples)]


def _by_label(
    data: Data, examples: dict[Split, list[Example]]
) -> tuple[dict[Split, list[Example]], dict[Draw, list[str]]]:
    """Return the examples that are used where training rows are drawn by their labels, of those that are left.

    Beside them the ids of each draw.
    """
    if "train" not in examples:
        return examples, {}
    ids = {draw: [one.id for one in drawn_by_label(examples["train"], draw)] for draw in data.draws}
    used = set().union(*ids.values())
    return examples | {"train": [example for example in examples["train"] if example.id in used]}, ids


def _shown_otherwise(data: Data, source: Source | None, examples: Mapping[Split, Sequence[Example]]) -> frozenset[str]:
    mappings = [data.columns, *(part.data.columns for part in (source.parts if source else ()))]
    return made_into_others(mappings, [example.fields for example in examples.get("train", ())])


def _ungrouped(
    rows: Mapping[Split, Sequence[SourceRow]], examples: Mapping[Split, Sequence[Example]], data: Data
) -> list[str]:
    """Ask about columns that look like groups of rows, where neither one is named nor ``null`` written."""
    if "group" in data.model_fields_set:
        return []
    mapped = {data.columns.get(name, name) for name in ("source", "target", "references", "id")}
    mapped |= _targets(rows.get("train", []), examples.get("train", []))
    columns = {split: [row.columns for row in part] for split, part in rows.items()}
    mapped |= made_into_others([], [row for part in columns.values() for row in part])
    return [likely.line() for likely in likely_groups(columns, frozenset(mapped), data.columns.get("id", "id"))]


def _targets(rows: Sequence[SourceRow], examples: Sequence[Example]) -> set[str]:
    """Return the columns that a task's own function takes for targets: whose values those of all examples are."""
    pairs = list(zip(rows, examples, strict=False))
    return {
        column
        for column in (rows[0].columns if pairs else ())
        if all(str(row.columns.get(column)).split() == example.target.split() for row, example in pairs)
    }


def _undrawn(source: Source, data: Data, task: Task, examples: Mapping[Split, Sequence[Example]]) -> list[str]:
    """Tell of rows of one source's test that a mixture does not score, but trains on as rows of another."""
    twins: list[Twin] = []
    for part in source.parts:
        rows = [row for row in source.undrawn if row.part == part.name]
        others = [example for example in examples.get("train", ()) if part_of(example.id) != part.name]
        with suppress(UserError):  # of a row that is not used
            left = [example_of(row, data, task.example) for row in rows]
            found = overlaps({"train": others, "test": left}) if left and others else ()
            twins += [twin for overlap in found if overlap.across for twin in overlap.twins]
    source.undrawn.clear()  # no row stays that is not used
    if not twins:
        return []
    named = ", ".join(f"{twin.id} ~ {twin.other}" for twin in twins[:SHOWN]) + ", ..." * (len(twins) > SHOWN)
    told = f"{len(twins)} rows of one source's test stand in another's train: {named}"
    return [f"{told}; the mixture leaves them out of test, so nothing here is scored on them."]
