"""Where a relative path in a study file starts: at the file's folder, one of ``--set`` at the working folder.

The other of the two is tried second, and told. Stored is a study as it is written, so that one whose folder was moved
is the same study; what reads files gets the study that is made here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, get_args

from harness.core.errors import UserError
from harness.core.named_path import MayBePath, named_path
from harness.core.yaml_section import Section
from harness.study.spec import StudySpec

__all__ = ["Placed", "found_in", "placed"]

Keys = tuple[str | int, ...]

SQLITE = "sqlite:///"


class Placed(NamedTuple):
    """A study whose paths start at the working folder."""

    study: StudySpec
    notes: tuple[str, ...]
    """What was found in the place that is tried second, a sentence each."""


def placed(study: StudySpec, folder: Path, is_set: Callable[[Keys], bool]) -> Placed:
    """Return a study with its paths from the working folder, as texts; of one that is there nothing changes.

    Args:
        study: As it is written, with what each ``${NAME}`` stands for.
        folder: Where its file is.
        is_set: Whether a key's value comes from the command line.
    """
    if folder.resolve() == Path().resolve():
        return Placed(study, ())
    notes: list[str] = []

    def place(text: str, keys: Keys, is_path: bool | None) -> str:
        file = text.removeprefix(SQLITE).partition("?")[0] if text.startswith(SQLITE) else text
        if is_path is False or file.startswith(("/", "~")) or Path(file).is_absolute():
            return text
        places = [Path(), folder] if is_set(keys) else [folder, Path()]
        there = found_in(file, places)
        if there is None and is_path is None:
            return text
        if there == places[1]:
            first, second = ("the study file's folder" if one == folder else "the working folder" for one in places)
            key = ".".join(map(str, keys))
            notes.append(f"{key} {text!r} is read from {second}, since {first}, where paths start, has none.")
        return text.replace(file, str((there or places[0]) / file), 1)

    return Placed(_walked(study, (), place), tuple(notes))


def found_in(file: str, places: Sequence[Path]) -> Path | None:
    """Return the first of some folders in which a relative path leads to something."""
    for place in places:
        with suppress(UserError):  # no file can be called so, and whoever reads it says that
            if named_path(place / file).exists():
                return place
    return None


def _walked(section: Any, above: Keys, place: Callable[[str, Keys, bool | None], str]) -> Any:
    """Return a section with each path placed that is written in it, or in a section within."""
    changed: dict[str, Any] = {}
    for name in section.model_fields_set & type(section).model_fields.keys():
        field, value, keys = type(section).model_fields[name], getattr(section, name), (*above, name)
        mark = _mark([*field.metadata, field.annotation])
        if isinstance(value, Section):
            changed[name] = _walked(value, keys, place)
        elif mark and isinstance(value, str):
            changed[name] = place(value, keys, mark.tells(value))
        elif mark and isinstance(value, tuple):
            changed[name] = tuple(place(text, (*keys, n), mark.tells(text)) for n, text in enumerate(value))
        elif mark and value and not section.path:  # else files of splits lie in that folder
            changed[name] = {split: place(text, (*keys, split), mark.tells(text)) for split, text in value.items()}
    return section.model_copy(update=changed) if changed else section


def _mark(annotations: Sequence[Any]) -> MayBePath | None:
    """Return the mark of a key that holds paths, however deep its annotation has it."""
    for one in annotations:
        if isinstance(one, MayBePath):
            return one
        if found := _mark([*getattr(one, "__metadata__", ()), *get_args(one)]):
            return found
    return None
