"""Split files: which files of a folder hold which split, and which are left unread."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from harness.core.errors import DataError
from harness.core.example import Split
from harness.data.readers import FORMATS, format_of

__all__ = ["SPLIT_NAMES", "SplitFiles", "split_files"]

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
    """By split, one file or all of its shards in their order."""
    unread: tuple[str, ...]
    """Names of the other files."""


def split_files(folder: Path) -> SplitFiles:
    """Find the files of splits in a folder, or in its folder ``data`` where it holds none, as clones of the Hub do.

    Raises:
        DataError: A split has several files that are no shards, a shard is missing, or there is no ``train``.
    """
    found, unread = _named(folder)
    if not found and (folder / "data").is_dir():
        return split_files(folder / "data")
    if "train" not in found:
        endings = ", ".join(FORMATS)
        raise DataError(
            f"folder {folder} holds no train file; name it train with one of the endings {endings} (or .gz), or name "
            "the files in data.splits"
        )
    return SplitFiles({split: _together(folder, paths) for split, paths in found.items()}, unread)


def _named(folder: Path) -> tuple[dict[Split, list[Path]], tuple[str, ...]]:
    found: dict[Split, list[Path]] = {}
    unread = []
    for path in sorted(folder.iterdir()):
        split = SPLIT_NAMES.get(_stem(path).lower())
        if split and format_of(path):  # one that is no file is refused when it is read
            found.setdefault(split, []).append(path)
        elif path.is_file() and not path.name.startswith("."):
            unread.append(path.name)
    return found, tuple(unread)


def _stem(path: Path) -> str:
    stem = path.name.partition(".")[0]
    shard = SHARD.fullmatch(stem)
    return shard["name"] if shard else stem


def _together(folder: Path, paths: Sequence[Path]) -> tuple[Path, ...]:
    """Return a split's one file, or its shards if they are all there."""
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
