"""Where a relative path in a study file starts: at the file's folder, one of ``--set`` at the working folder.

The other of the two is tried second, and told. Stored is a study as it is written, so that one whose folder was moved
is the same study; what reads files gets the study that is made here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_args

from harness.core.errors import UserError
from harness.core.named_path import OF_FILE, MayBePath, named_path
from harness.core.workspace import HERE
from harness.core.yaml_section import Section
from harness.data.split_slices import with_names
from harness.study.spec import StudySpec
from harness.study.study_tree import Keys

__all__ = ["Placed", "found_in", "moved_paths", "path_in", "placed", "with_paths"]

T = TypeVar("T", bound=Section)

SQLITE = "sqlite:///"


class Placed(NamedTuple):
    """A study whose paths start at the working folder."""

    study: StudySpec
    notes: tuple[str, ...]
    """What was found in the place that is tried second, a sentence each."""


def placed(study: StudySpec, folder: Path, is_set: Callable[[Keys], bool], working: Path = Path()) -> Placed:
    """Return a study with its paths from the working folder, as texts; of one that is there nothing changes.

    Args:
        study: As it is written, with what each ``${NAME}`` stands for.
        folder: Where its file is.
        is_set: Whether a key's value comes from the command line.
        working: Where that was given: of a study that the store holds, maybe not here.
    """
    study = _with_own_storage(study)
    if folder.resolve() == working.resolve() == Path().resolve():
        return Placed(study, ())
    notes: list[str] = []

    def place(text: str, keys: Keys, is_path: bool | None) -> str:
        file = path_in(text)
        if is_path is False or _starts_anywhere(file):
            return text
        places = [working, folder] if is_set(keys) else [folder, working]
        there = found_in(file, places)
        if there is None and is_path is None:
            return text
        if there == places[1]:
            first, second = ("the study file's folder" if one == folder else "the working folder" for one in places)
            key = ".".join(map(str, keys))
            notes.append(f"{key} {text!r} is read from {second}, since {first}, where paths start, has none.")
        return text.replace(file, str((there or places[0]) / file), 1)

    return Placed(with_paths(study, place), tuple(notes))


def moved_paths(study: StudySpec, folder: Path, folder_of: Callable[[Keys], Path]) -> dict[Keys, str]:
    """Return the paths of a study that are written in files of other folders, by key, as they are from its own one.

    Args:
        study: As it is written.
        folder: Of its own file.
        folder_of: The folder of the file in which a key's value stands.
    """
    moved: dict[Keys, None] = {}

    def place(text: str, keys: Keys, is_path: bool | None) -> str:
        there, file = folder_of(keys), path_in(text)
        if is_path is False or _starts_anywhere(file) or there.resolve() == folder.resolve():
            return text
        if not (is_path or found_in(file, [there])):  # it is no path, but a name
            return text
        moved[keys] = None
        return text.replace(file, os.path.relpath(there / file, folder), 1)

    there = with_paths(study, place)
    return {keys: _value(there, keys) for keys in moved}


def _value(study: StudySpec, keys: Keys) -> str:
    """Return the text of a key."""
    value: Any = study
    for key in keys:
        value = getattr(value, str(key)) if isinstance(value, Section) else value[key]
    return str(value)


def _with_own_storage(study: StudySpec) -> StudySpec:
    """Return a study whose searches are kept in the workspace, where it names no storage; one there needs no path."""
    if "storage" in study.search.model_fields_set or HERE.is_working_folder:
        return study
    storage = {"storage": f"{SQLITE}{HERE.searches_database.absolute()}"}
    return study.model_copy(update={"search": study.search.model_copy(update=storage)})


def path_in(text: str) -> str:
    """Return the path in a key's value: all of it, or the part of a sqlite address, or of a function, that is one."""
    if function := OF_FILE.fullmatch(text):
        return function["file"]
    return text.removeprefix(SQLITE).partition("?")[0] if text.startswith(SQLITE) else text


def _starts_anywhere(file: str) -> bool:
    """Return whether a path is no relative one."""
    return file.startswith(("/", "~")) or Path(file).is_absolute()


def found_in(file: str, places: Sequence[Path]) -> Path | None:
    """Return the first of some folders in which a relative path leads to something."""
    for place in places:
        with suppress(UserError):  # no file can be called so, and whoever reads it says that
            if named_path(place / file).exists():
                return place
    return None


def with_paths(section: T, place: Callable[[str, Keys, bool | None], str], above: Keys = ()) -> T:
    """Return a section with other texts for the paths that are written in it, or in a section within.

    Args:
        section: A study, or a section of one.
        place: A text that may be a path, its keys, and whether it is one (``None``: if something is there) -> a text.
        above: The keys that lead to the section.
    """
    changed: dict[str, Any] = {}
    for name in section.model_fields_set & type(section).model_fields.keys():
        field, value, keys = type(section).model_fields[name], getattr(section, name), (*above, name)
        mark = _mark([*field.metadata, field.annotation])
        if isinstance(value, Section):
            changed[name] = with_paths(value, place, keys)
        elif isinstance(value, tuple) and value and all(isinstance(one, Section) for one in value):
            changed[name] = tuple(with_paths(one, place, (*keys, n)) for n, one in enumerate(value))
        elif mark and isinstance(value, str):
            changed[name] = place(value, keys, mark.tells(value))
        elif mark and isinstance(value, tuple):
            changed[name] = tuple(place(text, (*keys, n), mark.tells(text)) for n, text in enumerate(value))
        elif mark and value and not (getattr(section, "path", None) or getattr(section, "hub", None)):
            # else files of splits lie in that folder, or are none
            changed[name] = {split: _with_pieces(text, place, (*keys, split), mark) for split, text in value.items()}
    return section.model_copy(update=changed) if changed else section


def _with_pieces(text: str, place: Callable[[str, Keys, bool | None], str], keys: Keys, mark: MayBePath) -> str:
    """Return the text of a split with another path for each file in it."""
    return with_names(text, lambda name: place(name, keys, mark.tells(name)))


def _mark(annotations: Sequence[Any]) -> MayBePath | None:
    """Return the mark of a key that holds paths, however deep its annotation has it."""
    for one in annotations:
        if isinstance(one, MayBePath):
            return one
        if found := _mark([*getattr(one, "__metadata__", ()), *get_args(one)]):
            return found
    return None
