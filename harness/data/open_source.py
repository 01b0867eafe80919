"""A study's data, found without being read: files, folders, saved data sets, data sets on the Hub, slices of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from harness.core.closest_match import closest
from harness.core.errors import DataError
from harness.core.example import SPLITS, Split
from harness.core.named_path import named_path
from harness.data.aligned_lines import aligned_at, column_of
from harness.data.arrow_files import is_saved
from harness.data.column_kinds import ColumnKinds
from harness.data.data_keys import Data, MixedSource, Place
from harness.data.held_splits import Held, Holding, Reader, Slices, whole_files
from harness.data.hub_data import HubSplits, clone_splits, hub_splits
from harness.data.mixtures import share
from harness.data.readers import Row, read_files
from harness.data.sources import LISTED, Part, Source
from harness.data.split_files import SPLIT_NAMES, split_files, together
from harness.data.split_slices import Piece, names_file, pieces_of

__all__ = ["open_source"]

HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
"""How a data set on the Hub is called."""


def open_source(data: Data, default: Path, folder: Path = Path()) -> Source:
    """Find the study's data without reading it.

    Args:
        data: The study's section.
        default: The task's own data, where the study names none.
        folder: Where files of ``splits`` start if no folder is named.

    Raises:
        DataError: There is nothing there, no ``train``, or no split of a name.
    """
    if data.sources:
        return _mixture(data, default, folder)
    return _single(data, default, folder, [])


def _mixture(data: Data, default: Path, folder: Path) -> Source:
    """Return several sources as one, which notes what is told of any."""
    notes: list[str] = []
    weights = {name: one.weight for name, one in zip(_names(data.sources), data.sources, strict=True)}
    parts = []
    for (name, weight), one in zip(weights.items(), data.sources, strict=True):
        place: dict[str, Any] = {key: getattr(one, key) for key in Place.model_fields}
        source = _single(Data(**place), default, folder, notes)
        wanted = {"validation": data.validation, "test": data.test}
        sizes = {key: share(size, name, weights) for key, size in wanted.items() if size and key not in source.readers}
        rest = {"group": data.group, "turns": data.turns, "seed": data.first_seed}
        parts.append(Part(name, weight, source, Data(**{**place, **rest, **sizes})))
    return Source(" + ".join(part.source.origin for part in parts), {}, notes, parts=tuple(parts))


def _names(sources: Sequence[MixedSource]) -> list[str]:
    """Return what each source is called: by the end of its path or id, with a number where several are called so."""
    said = [one.hub or one.path or pieces_of(next(iter(one.splits.values())))[0].name for one in sources]
    names = [re.sub(r"[^\w-]", "_", _name_in(Path(text)) or "source") for text in said]
    return [f"{name}.{place}" if names.count(name) > 1 else name for place, name in enumerate(names, start=1)]


def _name_in(path: Path) -> str:
    """Return the name at the end of a path; of a file that is called as a split is, that of its folder."""
    name = path.name.partition(".")[0]
    return path.parent.name or name if name.lower() in SPLIT_NAMES else name


def _single(data: Data, default: Path, folder: Path, notes: list[str]) -> Source:
    """Return one source, which adds to notes what is told of it."""
    files = partial(_files_reader, data, ColumnKinds(), notes)
    wanted = {split: pieces_of(text) for split, text in data.splits.items()}
    base = _folder(data, folder)
    held = {
        piece.name: _of_files(piece.name, (base / piece.name,), files)
        for pieces in wanted.values()
        for piece in pieces
        if names_file(piece.name)
    }
    own = {
        str(split): pieces[0].name for split, pieces in wanted.items() if pieces[0].name in held and len(pieces) == 1
    }
    if wanted and all(piece.name in {*held, *own} for pieces in wanted.values() for piece in pieces):
        place = Holding(str(base), "files", held, {})
    else:
        there = _place(data, default, files)
        place = there._replace(held={**there.held, **held})
    resolved = {
        split: tuple(piece._replace(name=_name(piece.name, own, place, split)) for piece in pieces)
        for split, pieces in wanted.items()
    }
    chosen = _chosen(resolved, place)
    if "train" not in chosen:
        raise DataError(_without_train(data, place))
    read = {piece.name for pieces in chosen.values() for piece in pieces}
    labels = {str(Path(place.held[name].label)) for name in read}
    unread = [label for label in (*(one.label for one in place.held.values()), *place.unread) if label not in labels]
    notes += _unread(place.origin, place.what, sorted(unread) if place.what == "files" else unread)
    slices = Slices(chosen, place, data.splits, notes)
    readers = {split: partial(slices.rows, split) for split in chosen}
    return Source(place.origin, readers, notes, files=whole_files(chosen, place))


def _of_files(label: str, paths: Sequence[Path], files: Callable[[Sequence[Path]], Reader]) -> Held:
    """Return what files hold."""
    are_rows = all(path.is_file() for path in paths) and not (len(paths) > 1 and all(map(column_of, paths)))
    return Held(label, files(paths), tuple(paths) if are_rows else ())


def _folder(data: Data, folder: Path) -> Path:
    """Return where files of ``splits`` start."""
    path = named_path(data.path) if data.path else folder
    return path.parent if path.is_file() else path


def _files_reader(data: Data, kinds: ColumnKinds, notes: list[str], files: Sequence[Path]) -> Reader:
    """Return what reads files as one table, and notes how they were read."""

    def rows() -> list[Row]:
        tables = read_files(files, encoding=data.encoding, delimiter=data.delimiter)
        for name, table in tables.items():
            told = [*table.notes, *kinds.differing(name, table.rows)]
            notes.extend(note for note in told if note not in notes)
        return [row for table in tables.values() for row in table.rows]

    return rows


def _place(data: Data, default: Path, files: Callable[[Sequence[Path]], Reader]) -> Holding:
    """Return what the study names, or its task."""
    if data.hub:
        return _of_datasets(hub_splits(data))
    path = named_path(data.path) if data.path else default
    if data.config and (path.is_file() or is_saved(path)):
        raise DataError(f"data.config is {data.config!r}, but {path} is no clone of a data set; leave it out")
    if path.is_file() or is_saved(path):
        return Holding(str(path), "files", {"train": _of_files(path.name, (path,), files)}, {"train": "train"})
    if path.is_dir():
        return _of_folder(path, files, data)
    if aligned := aligned_at(path):
        return Holding(str(path), "files", {"train": Held(path.name, files(aligned))}, {"train": "train"})
    places = "paths start from the study file's folder, then from the current folder"
    hub = f"; a data set on the Hub is named by data.hub: {data.path}" if HUB_ID.fullmatch(data.path or "") else ""
    raise DataError(f"data.path {str(path)!r} is neither a file nor a folder; {places}{hub}")


def _of_datasets(found: HubSplits) -> Holding:
    held = {name: Held(name, reader) for name, reader in found.readers.items()}
    return Holding(found.origin, "splits", held, found.names)


def _of_folder(folder: Path, files: Callable[[Sequence[Path]], Reader], data: Data) -> Holding:
    found = split_files(folder, needs_train=False)
    if (data.config or "train" not in found.files) and (clone := clone_splits(data, folder)):
        return _of_datasets(clone)
    if data.config:
        raise DataError(f"data.config is {data.config!r}, but no README.md in {folder} lists any; leave it out")
    found = split_files(folder, needs_train=not data.splits)
    splits = {str(split): _of_files(paths[0].name, paths, files) for split, paths in found.files.items()}
    others = {
        name: Held(paths[0].name, partial(_read_together, folder, paths, files))
        for name, paths in found.others.items()
        if name not in splits
    }
    labels = {one.label for one in others.values()}
    unread = tuple(name for name in found.unread if name not in labels)
    return Holding(str(folder), "files", {**splits, **others}, {split: str(split) for split in found.files}, unread)


def _read_together(folder: Path, paths: Sequence[Path], files: Callable[[Sequence[Path]], Reader]) -> list[Row]:
    return files(together(folder, paths))()


def _name(name: str, own: Mapping[str, str], place: Holding, split: Split) -> str:
    """Return what a name stands for: a file, the file of another split, what a place has, or what it calls otherwise.

    Raises:
        DataError: It has nothing of that name.
    """
    if name in own:
        return own[name]
    if name in place.held:
        return name
    alias = SPLIT_NAMES.get(name.lower())
    if alias is not None and alias in place.splits:
        return place.splits[alias]
    hint = closest(name, place.held)
    raise DataError(
        f"{place.origin}: data.splits.{split} names {name!r}, which is not there; {hint}; a file is written with its "
        f"ending, or from a folder on: ./{name}"
    )


def _chosen(wanted: Mapping[Split, tuple[Piece, ...]], place: Holding) -> dict[Split, tuple[Piece, ...]]:
    """Return what each split is put together of: as the study says, else what the place calls so.

    A split that the study gives to another one as a whole is no longer its own.
    """
    given = {piece.name for pieces in wanted.values() for piece in pieces if not piece.slice}
    found = {split: (Piece(name),) for split, name in place.splits.items() if name not in given}
    merged = {**found, **wanted}
    return {split: merged[split] for split in SPLITS if split in merged}


def _without_train(data: Data, place: Holding) -> str:
    if data.splits:
        return f"{place.origin}: data.splits leaves nothing for train; give it rows: train[:90%], or a file"
    return f"data.hub {data.hub!r} has no split 'train'; it needs one, but has {', '.join(place.held) or 'none'}"


def _unread(origin: str, what: str, names: Sequence[str]) -> list[str]:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return [f"in {origin} these {what} are not read: {', '.join(names[:LISTED])}{more}."] if names else []
