"""Data sources: a file, a folder of splits or a data set on the Hub, to examples.

Splits are the source's own; one that it lacks is carved out of ``train`` with the study's seed. Nothing is read
before it is asked for, so that a search never opens the test split's file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from harness.core.closest_match import closest
from harness.core.errors import DataError
from harness.core.example import SPLITS, Example, Split
from harness.core.named_path import named_path
from harness.core.user_code import user_code
from harness.data.data_keys import Data
from harness.data.readers import FORMATS, Row, format_of, read_rows
from harness.data.row_groups import group_of, in_whole_groups

__all__ = ["Source", "SourceRow", "example_of", "examples_of", "open_source", "read_split", "split_rows"]

PATIENCE = 5.0
"""Seconds that the Hub may take to answer."""

CARVED_SHARE = 0.1
"""The share of ``train`` that a missing split takes where the study gives no size."""


@dataclass(frozen=True)
class Source:
    """A place that rows come from."""

    origin: str
    """A path or Hub id, for messages and provenance."""

    readers: Mapping[str, Callable[[], list[Row]]]
    """One per split that the source has."""


def open_source(data: Data, default: Path) -> Source:
    """Find the study's data without reading it.

    Args:
        data: The study's section.
        default: The task's own data, where the study names none.

    Raises:
        DataError: There is nothing there, or no ``train``.
    """
    if data.hub:
        return _hub(data)
    path = named_path(data.path) if data.path else default
    if path.is_file():
        return Source(str(path), {"train": lambda: read_rows(path)})
    if not path.is_dir():
        raise DataError(f"data.path {str(path)!r} is neither a file nor a folder; paths start from the current folder")
    files = _split_files(path)
    if "train" not in files:
        endings = ", ".join(FORMATS)
        raise DataError(f"folder {path} holds no train file; name it train with one of the endings {endings} (or .gz)")
    return Source(str(path), {split: lambda file=file: read_rows(file) for split, file in files.items()})  # type: ignore[misc]


def _split_files(folder: Path) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        split = path.name.partition(".")[0]
        if split not in SPLITS or format_of(path) is None:
            continue
        if split in files:
            raise DataError(f"folder {folder} holds both {files[split].name} and {path.name}; keep one file a split")
        files[split] = path
    return files


def _hub(data: Data) -> Source:
    """Find a data set on the Hub, at the commit that the revision stands for now.

    Opening it asks for descriptions and lists of files. `datasets` would prepare all splits for the sake of one; it is
    given one split's files at a time instead, so that ``test`` is downloaded when it is read and no sooner. Files are
    cached; lists are not, hence the Hub is needed every time.
    """
    import datasets
    from huggingface_hub import HfApi

    assert data.hub is not None
    datasets.disable_progress_bars()  # downloads have their own
    with _hub_errors(data):
        info = HfApi().dataset_info(data.hub, revision=data.revision, timeout=PATIENCE)
        address = f"hf://datasets/{info.id}"  # a bare id might be taken for a folder of that name
        try:
            builder = datasets.load_dataset_builder(address, data.config, revision=info.sha)
        except ValueError:
            known = datasets.get_dataset_config_names(address, revision=info.sha)
            if data.config in known:
                raise
            raise _no_config(data, known) from None
    files = {str(split): list(urls) for split, urls in (builder.config.data_files or {}).items()}
    if "train" not in files:
        raise DataError(
            f"data.hub {data.hub!r} has no split 'train'; it needs one, but has {', '.join(files) or 'none'}"
        )

    def rows(split: Split) -> list[Row]:
        options = {"revision": info.sha, "features": builder.info.features, "data_files": {split: files[split]}}
        with _hub_errors(data):
            loaded: list[Row] = datasets.load_dataset(address, builder.config.name, split=split, **options).to_list()
        return loaded

    return Source(f"hub:{info.id}@{info.sha}", {split: partial(rows, split) for split in SPLITS if split in files})


def _no_config(data: Data, known: Sequence[str]) -> DataError:
    if data.config is None:
        return DataError(f"data.hub {data.hub!r} has no default; set data.config to one of {', '.join(known)}")
    return DataError(f"data.hub {data.hub!r} has no data.config {data.config!r}; {closest(data.config, known)}")


@contextmanager
def _hub_errors(data: Data) -> Iterator[None]:
    """Say what the Hub's refusals mean."""
    from datasets.exceptions import DatasetsError
    from huggingface_hub import errors
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]  # in its __all__, but not in its types

    login = "log in with `hf auth login`"
    try:
        yield
    except errors.HFValidationError as error:
        raise DataError(f"data.hub {data.hub!r} is no Hub id; it must be org/name") from error
    except errors.GatedRepoError as error:
        raise DataError(f"data.hub {data.hub!r} is gated; accept its terms on the Hub, then {login}") from error
    except errors.RepositoryNotFoundError as error:
        raise DataError(
            f"data.hub {data.hub!r}: the Hub has no such data set, or a private one; correct the id, or {login}"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise DataError(
            f"data.hub {data.hub!r} has no data.revision {data.revision!r}; name a branch, tag or commit of it"
        ) from error
    except (ConnectionError, httpx.RequestError) as error:
        raise DataError(
            f"data.hub {data.hub!r}: the Hub cannot be reached; check the network, or name files in data.path"
        ) from error
    except (OSError, ValueError, RuntimeError, DatasetsError) as error:
        reason = " ".join(str(error.__cause__ or error).split())[:300]
        raise DataError(
            f"data.hub {data.hub!r} cannot be read: {reason}; check its files on the Hub, or name files in data.path"
        ) from error


class SourceRow(NamedTuple):
    """One row of a split as the source has it."""

    place: str
    """Of the row, for messages."""
    id: str
    """What its example is called where it has no id of its own."""
    columns: Row


def read_split(
    source: Source, split: Split, data: Data, example: Callable[[Mapping[str, Any], str], Example]
) -> list[Example]:
    """Return one split's examples: carved out where the source lacks it, cut to the study's size.

    Args:
        source: From `open_source`.
        split: Which.
        data: Sizes, seed, column names and groups.
        example: The task's way from a row and a fallback id to an example.

    Raises:
        DataError: The split is empty or too small, a column is missing, or two rows share an id.
    """
    return examples_of(split_rows(source, split, data), data, example)


def split_rows(source: Source, split: Split, data: Data) -> list[SourceRow]:
    """Return one split's rows, as `read_split` takes them.

    Raises:
        DataError: The split is empty or too small, or has no column of groups.
    """
    rows = source.readers[split if split in source.readers else "train"]()
    if rows and data.group is not None and not any(data.group in row for row in rows):
        hint = closest(data.group, sorted(rows[0]))
        raise DataError(f"{source.origin}, {split}: data.group names a column {data.group!r}, which no row has; {hint}")
    numbers = _chosen(source, split, data, rows)
    return [SourceRow(f"{source.origin}, {split} row {n + 1}", f"row-{n + 1}", rows[n]) for n in numbers]


def examples_of(
    rows: Sequence[SourceRow], data: Data, example: Callable[[Mapping[str, Any], str], Example]
) -> list[Example]:
    """Return the examples of a split's rows.

    Raises:
        DataError: A column is missing, or two rows share an id.
    """
    examples: dict[str, Example] = {}
    for row in rows:
        made = example_of(row, data, example)
        if made.id in examples:
            raise DataError(f"{row.place}: another row has the id {made.id!r} as well; ids must be distinct")
        examples[made.id] = made
    return list(examples.values())


def example_of(row: SourceRow, data: Data, example: Callable[[Mapping[str, Any], str], Example]) -> Example:
    """Return the example of one row.

    Raises:
        DataError: A column is missing, or the task's own function fails.
    """
    try:
        made = _example(_mapped(row.columns, data.columns), row.id, example)
    except DataError as error:
        raise DataError(f"{row.place}: {error}") from None
    group = group_of(row.columns, data.group)
    return made if group is None else replace(made, group=group)


def _chosen(source: Source, split: Split, data: Data, rows: Sequence[Row]) -> list[int]:
    """Return the row numbers of a split, in the file's order; a smaller size takes a subset of a larger one's."""
    shuffled = [int(number) for number in np.random.default_rng(data.seed).permutation(len(rows))]
    units: Sequence[list[int]] = in_whole_groups(shuffled, [group_of(row, data.group) for row in rows])
    wanted: int | None = getattr(data, split)
    missing: list[Split] = [name for name in ("test", "validation") if name not in source.readers]
    if split in missing or (split == "train" and missing):
        sizes = {name: getattr(data, name) or max(1, round(len(rows) * CARVED_SHARE)) for name in missing}
        units = _carved(source, split, units, sizes)
    order = [number for unit in units for number in unit]
    if not order:
        raise DataError(f"{source.origin}: split {split!r} is empty; it needs at least one row")
    if wanted is not None and wanted > len(order):
        raise DataError(f"{source.origin}: data.{split} is {wanted}, but there are {len(order)} rows; lower it")
    return sorted(order[:wanted])


def _carved(
    source: Source, split: Split, units: Sequence[list[int]], sizes: Mapping[Split, int]
) -> Sequence[list[int]]:
    """Return a split's share of groups: those that are missing take whole ones until they have their rows."""
    start, rows = 0, sum(map(len, units))
    for name, size in sizes.items():
        end, taken = start, 0
        while taken < size and end < len(units):
            taken += len(units[end])
            end += 1
        if taken < size or end == len(units):
            groups = f" in {len(units)} groups" if len(units) < rows else ""
            raise DataError(
                f"{source.origin}: its {rows} rows{groups} cannot give {dict(sizes)} and leave rows to train on"
            )
        if name == split:
            return units[start:end]
        start = end
    return units[start:]


def _example(row: Row, id: str, make: Callable[[Mapping[str, Any], str], Example]) -> Example:
    with user_code("the task's example()", "correct the task file or the row", DataError):
        made = make(row, id)
    if not isinstance(made, Example):
        raise DataError(f"the task's example() returned {made!r}; it must return an Example")
    try:
        for text in (made.id, made.target, *made.references, *made.fields.values()):
            str(text).encode()
    except UnicodeEncodeError as error:  # half of a surrogate pair
        raise DataError(f"the task's example() returned what is no text: {error}; correct the task file") from None
    return made


def _mapped(row: Row, columns: Mapping[str, str]) -> Row:
    renamed = dict(row)
    for name, column in columns.items():
        if column not in row:
            raise DataError(
                f"data.columns maps {name!r} to {column!r}, which is missing; {closest(column, sorted(row))}"
            )
        renamed[name] = row[column]
    return renamed
