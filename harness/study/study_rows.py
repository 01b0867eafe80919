"""The rows of a study: read, made into examples, and settled before anything is done with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from harness.core.errors import UserError
from harness.core.example import SPLITS, Example, Split
from harness.data.data_keys import Data
from harness.data.row_groups import few_tested, likely_groups, separated
from harness.data.sources import Source, SourceRow, examples_of, open_source, split_rows
from harness.data.train_test_overlap import Overlap, overlaps, settled
from harness.study.problems import Problems
from harness.study.spec import StudySpec
from harness.study.target_in_prompt import spread
from harness.study.task import Task, plain_example
from harness.study.unequal_targets import trimmed_targets

__all__ = ["StudyRows", "study_rows"]


class StudyRows(NamedTuple):
    """The rows of a study, as far as they could be read."""

    source: Source | None
    """Where they come from; ``None`` where it cannot be opened."""
    sample: list[SourceRow]
    """Some training rows, spread over the split; the others are not kept."""
    examples: dict[Split, list[Example]]
    """All splits at hand."""
    overlaps: tuple[Overlap, ...]
    """What they have in common, before anything was dropped."""
    notes: tuple[str, ...]
    """What is told of them: files, splits, ends of targets, groups that are lost, a test split of few rows."""
    cautions: tuple[str, ...]
    """Columns that look as if they said which rows belong together."""


def study_rows(
    study: StudySpec, task: Task, task_file: Path, end: str | None, problems: Problems, *, test: bool
) -> StudyRows:
    """Read the rows of a study, and settle what they are.

    Args:
        study: Resolved.
        task: Makes examples of rows.
        task_file: Its file, beside which its own data are.
        end: The model's end token, which targets lose at their ends.
        problems: Takes what is wrong with them.
        test: Whether to read the test split.
    """
    source, sample, asked, examples = _read(study, task, task_file, problems, test=test)
    examples, taken_off = trimmed_targets(examples, end, problems)
    examples, found, lines = _kept(study, examples, problems)
    notes = (*(source.notes if source else ()), *taken_off, *lines)
    return StudyRows(source, sample, examples, found, notes, tuple(asked))


def _read(
    study: StudySpec, task: Task, task_file: Path, problems: Problems, *, test: bool
) -> tuple[Source | None, list[SourceRow], list[str], dict[Split, list[Example]]]:
    """Return the source, a sample of its training rows, cautions of groups, and all examples; no other row stays."""
    source: Source | None = None
    rows, examples = dict[Split, list[SourceRow]](), dict[Split, list[Example]]()
    errors = list[UserError]()
    with problems.at("data"):
        source = open_source(study.data, task_file.parent / task.data)
        own = task.example is plain_example or study.data.turns is not None
        source = replace(source, from_memory=bool(problems.file.memory), reads_chats=own)
    once = source and source.read_once()  # what it keeps goes when this returns
    for split in SPLITS if once else ():
        if split == "test" and not test:
            continue
        try:
            rows[split] = split_rows(once, split, study.data)
            examples[split] = examples_of(rows[split], study.data, task.example)
        except UserError as error:
            errors.append(error)
    problems.add_once(errors, source.prefix if source else "", "data")
    return source, spread(rows.get("train", [])), _ungrouped(rows, examples, study.data), examples


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


def _ungrouped(
    rows: Mapping[Split, Sequence[SourceRow]], examples: Mapping[Split, Sequence[Example]], data: Data
) -> list[str]:
    """Ask about columns that look like groups of rows, where neither one is named nor ``null`` written."""
    if "group" in data.model_fields_set:
        return []
    mapped = {data.columns.get(name, name) for name in ("source", "target", "references", "id")}
    mapped |= _targets(rows.get("train", []), examples.get("train", []))
    columns = {split: [row.columns for row in part] for split, part in rows.items()}
    return [likely.line() for likely in likely_groups(columns, frozenset(mapped), data.columns.get("id", "id"))]


def _targets(rows: Sequence[SourceRow], examples: Sequence[Example]) -> set[str]:
    """Return the columns that a task's own function takes for targets: whose values those of all examples are."""
    pairs = list(zip(rows, examples, strict=False))
    return {
        column
        for column in (rows[0].columns if pairs else ())
        if all(str(row.columns.get(column)).split() == example.target.split() for row, example in pairs)
    }
