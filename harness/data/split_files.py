"""Split files: which files of a folder hold which split, and which are left unread.

Where no file of rows is called train, line-aligned files are looked for (`harness.data.aligned_lines`). A data set that
was saved in a folder of its own counts as a file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from harness.core.errors import DataError
from harness.core.example import Split
from harness.data.aligned_lines import aligned_files, column_of
from harness.data.arrow_files import SPLITS, is_saved, saved_splits
from harness.data.readers import FORMATS, format_of

__all__ = ["SPLIT_NAMES", "SplitFiles", "split_files", "together"]

SPLIT_NAMES: Mapping[str, Split] = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "eval": "validation",
    "test": "test",
}
"""What splits are called, in any case."""

SHARD = re.compile(r"(?P<name>.+)-(?P<part>\d{5})-of-(?P<parts>\d{5})(-[0-9a-f]{16})?")
"""A file of several, as the Hub names them: ``train-00000-of-00002.parquet``."""


class SplitFiles(NamedTuple):
    """What a folder holds."""

    files: Mapping[Split, tuple[Path, ...]]
    """By split, one file, all of its shards in their order, or the line-aligned files of its columns."""
    unread: tuple[str, ...]
    """Names of the other files."""
    others: Mapping[str, tuple[Path, ...]] = {}
    """Those of them that are data, by their names without endings; ``data.splits`` may name them so."""


def split_files(folder: Path, *, needs_train: bool = True) -> SplitFiles:
    """Find the files of splits in a folder, or in its folder ``data`` where it holds none, as clones of the Hub do.

    Args:
        folder: The folder.
        needs_train: Whether to refuse one without ``train``; else ``data.splits`` makes one of what there is.

    Raises:
        DataError: A split has several files that are no shards, a shard is missing, or there is no ``train``.
    """
    saved_splits(folder)  # refuses what is listed there and missing
    found, unread = _named(folder)
    if "train" not in found:
        found |= _aligned(folder, [path for path in unread if format_of(path) is None], found)
        found |= _in_folders(folder, found)
    if not found and (folder / "data").is_dir():
        return split_files(folder / "data", needs_train=needs_train)
    if "train" not in found and needs_train:
        endings = ", ".join(FORMATS)
        alone = next((path.name for path in unread if column_of(path) and _stem(path).lower() == "train"), None)
        also = f", or bring what belongs to the lines of {alone}" if alone else ""
        raise DataError(
            f"folder {folder} holds no train file; name it train with one of the endings {endings} (or .gz), or name "
            f"the files in data.splits{also}"
        )
    read = {path for paths in found.values() for path in paths}
    rest = [path for path in unread if path not in read]
    files = {split: together(folder, paths) for split, paths in found.items()}
    return SplitFiles(files, tuple(path.name for path in rest), _others(rest))


def _named(folder: Path) -> tuple[dict[Split, list[Path]], list[Path]]:
    found: dict[Split, list[Path]] = {}
    unread = []
    for path in sorted(folder.iterdir()):
        split, saved = SPLIT_NAMES.get(_stem(path).lower()), is_saved(path)
        if split and (saved or format_of(path)):  # one that is no file is refused when it is read
            found.setdefault(split, []).append(path)
        elif (saved or path.is_file()) and not path.name.startswith(".") and path.name != SPLITS:
            unread.append(path)
    return found, unread


def _aligned(folder: Path, paths: Sequence[Path], found: Mapping[Split, Sequence[Path]]) -> dict[Split, list[Path]]:
    """Return the line-aligned files of the splits that have no others.

    Raises:
        DataError: A split has several sets of them.
    """
    names: dict[Split, str] = {}
    sets = aligned_files(paths)
    for name in sets:
        split = SPLIT_NAMES.get(name.partition(".")[0].lower())
        if split and split not in found and (other := names.setdefault(split, name)) != name:
            raise DataError(
                f"folder {folder} holds {other} and {name}, line-aligned files for one split; name one in data.splits: "
                f"{{{split}: ./{other}}}"
            )
    return {split: list(sets[name]) for split, name in names.items()}


def _in_folders(folder: Path, found: Mapping[Split, Sequence[Path]]) -> dict[Split, list[Path]]:
    """Return the files of splits that have none but a folder of their name, ``train/0000.parquet``, in their order."""
    inside: dict[Split, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        split = SPLIT_NAMES.get(path.name.lower())
        files = sorted(one for one in path.iterdir() if format_of(one)) if split and path.is_dir() else []
        if split and files and split not in found:
            inside.setdefault(split, files)
    return inside


def _others(paths: Sequence[Path]) -> dict[str, tuple[Path, ...]]:
    """Return the data among some files, by what they are called without endings."""
    found: dict[str, list[Path]] = {}
    for path in paths:
        if is_saved(path) or format_of(path):
            found.setdefault(_stem(path), []).append(path)
    aligned = aligned_files(path for path in paths if format_of(path) is None)
    return {**aligned, **{name: tuple(files) for name, files in found.items()}}


def _stem(path: Path) -> str:
    stem = path.name.partition(".")[0]
    shard = SHARD.fullmatch(stem)
    return shard["name"] if shard else stem


def together(folder: Path, paths: Sequence[Path]) -> tuple[Path, ...]:
    """Return a split's one file, its shards if they are all there, or the line-aligned files of its columns.

    Raises:
        DataError: They are several files of other names, or a shard is missing.
    """
    if paths[0].parent != folder or (len(aligned_files(paths)) == 1 and all(map(column_of, paths))):
        return tuple(paths)
    shards = [SHARD.fullmatch(path.name.partition(".")[0]) for path in paths]
    if len(paths) == 1 and shards[0] is None:
        return tuple(paths)
    first, *others = ((one["name"], int(one["parts"])) if one else None for one in shards)
    if first is None or any(other != first for other in others):
        raise DataError(
            f"folder {folder} holds {paths[0].name} and {paths[1].name}, both for one split; keep one file a split, or "
            "name it in data.splits"
        )
    name, parts = first
    there = [int(one["part"]) for one in shards if one]
    if missing := sorted(set(range(parts)) - set(there)):
        raise DataError(
            f"folder {folder} holds {len(there)} of the {parts} files of {name}; bring "
            f"{name}-{missing[0]:05d}-of-{parts:05d} and whatever else is missing"
        )
    if len(there) > parts:
        raise DataError(f"folder {folder} holds a part of {name} twice; keep one file a part")
    return tuple(paths)
