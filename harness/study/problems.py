"""All problems of a study file, gathered before any is told, each with its place in the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from harness.core.environment_names import resolved
from harness.core.errors import Problem, StudyError, UnsetName, UserError
from harness.core.example import SPLITS, Split
from harness.core.passwords import masked
from harness.study.load_study import StudyFile
from harness.study.spec import StudySpec

__all__ = ["Problems", "listed_rows"]

LISTED = 20
"""Rows of a split that a problem names."""


@dataclass
class Problems:
    """The problems of a study file so far."""

    file: StudyFile
    problems: list[Problem] = field(default_factory=list)

    def resolved(self) -> StudySpec:
        """Return the study with what each ``${NAME}`` stands for; those of its stores are looked up.

        Raises:
            StudyError: The environment has no such name.
        """
        try:
            resolved(self.file.study.search.storage, "search.storage")
            resolved(self.file.study.tracking.model_dump(), "tracking")
            return self.file.resolved
        except UnsetName as error:
            place = self.file.place(*error.key.split("."))
            raise StudyError([*self.problems, Problem(place, str(error))]) from None

    @contextmanager
    def at(self, *keys: str | int) -> Iterator[None]:
        """Turn an error raised inside into a problem at that place of the file."""
        try:
            yield
        except UserError as error:
            self.add(str(error), *keys)

    def add(self, message: str, *keys: str | int) -> None:
        """Note a problem at a place of the file, once."""
        problem = Problem(self.file.place(*keys), masked(message, *self.file.addresses))
        if problem not in self.problems:  # one target may be too long for every prompt
            self.problems.append(problem)

    def add_once(self, errors: Sequence[UserError], origin: str, *keys: str | int) -> None:
        """Note what splits are refused for; a fault of several is told once, with its places behind their origin."""
        faults: dict[str, list[str]] = {}
        for error in errors:
            place, _, fault = str(error).partition(": ")
            faults.setdefault(fault, []).append(place.removeprefix(origin))
        for fault, places in faults.items():
            place = ", ".join(dict.fromkeys(places))
            self.add(f"{origin if place.startswith(SPLITS) else ''}{place}: {fault}", *keys)

    def stop(self) -> None:
        """Raise all that was found, if anything was.

        Raises:
            StudyError: All of it.
        """
        if self.problems:
            raise StudyError(self.problems)


def listed_rows(ids: Mapping[Split, Sequence[str]]) -> str:
    """Return how many rows there are and which, by split.

    >>> listed_rows({"train": ["a", "b"], "test": ["c"]})
    "3 rows (train 'a', 'b'; test 'c')"
    """
    places = []
    for split, part in ids.items():
        more = f" and {len(part) - LISTED} more" if len(part) > LISTED else ""
        places.append(f"{split} {', '.join(map(repr, part[:LISTED]))}{more}")
    count = sum(map(len, ids.values()))
    return f"{count} row{'s' * (count != 1)} ({'; '.join(places)})"
