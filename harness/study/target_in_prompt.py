"""The target in the prompt: what a target is made of, exchanged between rows, must leave every prompt as it was.

What a target is made of is found by trying, so that it does not matter how a task makes examples from rows. Columns
called (or mapped to) ``target`` and ``references`` are exchanged whole. Of other columns that a task's own function
reads, one text may hold both source and target, as a dialogue does; there, the target alone (and each reference) is
exchanged inside the value. Such columns stand in a prompt only if all do that the target depends on: a list of choices
may be shown where the number of the right one is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from harness.core.errors import DataError, TemplateError
from harness.core.example import Example
from harness.data.data_keys import Data
from harness.data.nested_names import exchanged_at, has, value_at
from harness.data.sources import SourceRow, example_of
from harness.data.tokenization import PromptForm
from harness.study.row_counts import holds

__all__ = ["spread", "target_columns", "told_targets"]

SAMPLE = 64
"""Rows that are tried, spread over the training split."""

OCCURRENCES = 4
"""Places of a target inside a value that are tried."""

Make = Callable[[Mapping[str, Any], str], Example]


class _Pair(NamedTuple):
    """A row and another one, whose target differs."""

    row: SourceRow
    example: Example
    other: SourceRow
    target: str
    """The other row's."""


def spread(rows: Sequence[SourceRow], most: int = SAMPLE) -> list[SourceRow]:
    """Return at most so many rows, evenly spread over a split."""
    return [rows[number * len(rows) // most] for number in range(most)] if len(rows) > most else list(rows)


def target_columns(data: Data) -> dict[str, str]:
    """Return what a source calls the columns that targets are made of, by the task's name for them."""
    return {name: data.columns.get(name, name) for name in ("target", "references")}


def told_targets(prompts: Sequence[PromptForm], rows: Sequence[SourceRow], data: Data, make: Make) -> dict[str, str]:
    """Return, by prompt, which columns tell it the target.

    Args:
        prompts: Those that can be rendered.
        rows: Of the training split, or as many of them as are tried.
        data: How columns are called.
        make: The task's way from a row and a fallback id to an example.
    """
    pairs = list(_pairs(spread(rows), data, make))
    columns = dict.fromkeys(column for pair in pairs for column in pair.row.columns)
    trial = _Trial(pairs, data, make)
    every = dict.fromkeys(target_columns(data).values())
    named = [column for column in every if any(has(pair.row.columns, column) for pair in pairs)]
    named = [column for column in named if trial.moves_target([column])]
    others = [column for column in columns if column not in named and trial.moves_target([column])]
    mapped = {column for name, column in target_columns(data).items() if name in data.columns}
    told: dict[str, str] = {}
    for prompt in prompts:
        if shown := sorted(prompt.names() & mapped):
            told[prompt.name] = ", ".join(repr(column) for column in shown)
        elif named and trial.moves_prompt(prompt, named):
            told[prompt.name] = ", ".join(repr(column) for column in named)
        elif others and not named and all(trial.shows(prompt, column) for column in others):
            told[prompt.name] = ", ".join(repr(column) for column in others)
    return told


def _pairs(rows: Sequence[SourceRow], data: Data, make: Make) -> Iterator[_Pair]:
    made = [(row, example_of(row, data, make)) for row in rows]
    for number, (row, example) in enumerate(made):
        for other, one in made[number + 1 :] + made[:number]:
            if one.target != example.target and one.fields != example.fields:
                yield _Pair(row, example, other, one.target)
                break


class _Trial:
    """Exchanges columns of a sample's rows, and looks at what moves."""

    def __init__(self, pairs: Sequence[_Pair], data: Data, make: Make) -> None:
        self._pairs, self._data, self._make = pairs, data, make

    def moves_target(self, columns: Sequence[str]) -> bool:
        """Return whether the target, or the references, are made of columns."""
        return any(
            (after.target, after.references) != (pair.example.target, pair.example.references)
            for pair, after in self._exchanged(columns)
        )

    def moves_prompt(self, prompt: PromptForm, columns: Sequence[str]) -> bool:
        """Return whether a prompt reads otherwise with other values in columns."""
        return any(_differ(prompt, pair.example, after) for pair, after in self._exchanged(columns))

    def shows(self, prompt: PromptForm, column: str) -> bool:
        """Return whether a prompt reads otherwise with another target in a column, and all else as it was.

        A task may make its source of the target (words to put in order, marks to put in), unless most prompts then hold
        the target word for word. Choices may be shown where their order, by which the right one is known, is not.
        """
        turned = list(self._turned(column))
        if turned and not any(_differ(prompt, pair.example, after) for pair, after in turned):
            return False
        inside = list(self._exchanged_inside(column))
        if inside:
            moved = [pair.example for pair, after in inside if _differ(prompt, pair.example, after)]
            beside = any(_differ(prompt, pair.example, _with_source(after, pair.example)) for pair, after in inside)
            return beside or sum(holds(prompt.render(one.fields), one.target) for one in moved) * 2 > len(inside)
        return any(
            after.target != pair.example.target
            and after.source == pair.example.source
            and _differ(prompt, pair.example, after)
            for pair, after in self._exchanged([column])
        )

    def _exchanged(self, columns: Sequence[str]) -> Iterator[tuple[_Pair, Example]]:
        for pair in self._pairs:
            other = pair.other.columns
            values = {name: value_at(other, name) for name in columns if has(other, name)}
            if (after := self._example(pair, values)) is not None:
                yield pair, after

    def _turned(self, column: str) -> Iterator[tuple[_Pair, Example]]:
        """Yield examples of which a list in a column is turned by one place, where that makes another target."""
        for pair in self._pairs:
            value = pair.row.columns.get(column)
            if isinstance(value, list | tuple) and len(value) > 1:
                after = self._example(pair, {column: [*value[1:], value[0]]})
                if after is not None and after.target != pair.example.target:
                    yield pair, after

    def _exchanged_inside(self, column: str) -> Iterator[tuple[_Pair, Example]]:
        for pair in self._pairs:
            new = pair.target.strip()
            for text in dict.fromkeys((pair.example.target, *pair.example.references)):
                ways = _replaced(pair.row.columns.get(column), text.strip(), new)
                for _, value in zip(range(OCCURRENCES), ways, strict=False):
                    after = self._example(pair, {column: value})
                    if after is not None and new in map(str.strip, (after.target, *after.references)):
                        yield pair, after
                        break

    def _example(self, pair: _Pair, values: Mapping[str, Any]) -> Example | None:
        columns = pair.row.columns
        for name, value in values.items():
            columns = exchanged_at(columns, name, value)
        try:
            return example_of(pair.row._replace(columns=columns), self._data, self._make)
        except DataError:
            return None  # values of two rows need not go together


def _replaced(value: Any, old: str, new: str) -> Iterator[Any]:
    """Yield a value with one text in it replaced, once for each place where it stands; the last place first."""
    if isinstance(value, str):
        place = value.rfind(old) if old else -1
        while place >= 0:
            yield value[:place] + new + value[place + len(old) :]
            place = value.rfind(old, 0, place)
    elif isinstance(value, Mapping):
        for key, item in reversed(list(value.items())):
            yield from ({**value, key: way} for way in _replaced(item, old, new))
    elif isinstance(value, list | tuple):
        for number in reversed(range(len(value))):
            ways = _replaced(value[number], old, new)
            yield from ([*value[:number], way, *value[number + 1 :]] for way in ways)


def _with_source(example: Example, other: Example) -> Example:
    """Return an example with another one's source, if it has a field of that name."""
    source = {name: other.fields[name] for name in ("source",) if name in other.fields}
    return replace(example, fields={**example.fields, **source})


def _differ(prompt: PromptForm, one: Example, other: Example) -> bool:
    try:
        return prompt.render(one.fields) != prompt.render(other.fields)
    except TemplateError:
        return False
