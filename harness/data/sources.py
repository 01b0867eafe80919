"""Data sources: a file, a folder of splits or a data set on the Hub, to examples.

Splits are the source's own; one that it lacks is carved out of ``train`` with the study's seed. Nothing is read
before it is asked for, so that a search never opens the test split's file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from harness.core.closest_match import closest
from harness.core.errors import DataError
from harness.core.example import SPLITS, Example, Split
from harness.data.data_keys import Data
from harness.data.readers import FORMATS, Row, format_of, read_rows

__all__ = ["Source", "open_source", "read_split"]

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
    path = Path(data.path).expanduser() if data.path else default
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
    from huggingface_hub.constants import HF_HUB_ETAG_TIMEOUT

    assert data.hub is not None
    datasets.disable_progress_bars()  # downloads have their own
    with _hub_errors(data):
        info = HfApi().dataset_info(data.hub, revision=data.revision, timeout=HF_HUB_ETAG_TIMEOUT)
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


def read_split(
    source: Source, split: Split, data: Data, example: Callable[[Mapping[str, Any], str], Example]
) -> list[Example]:
    """Return one split's examples: carved out where the source lacks it, cut to the study's size.

    Args:
        source: From `open_source`.
        split: Which.
        data: Sizes, seed and column names.
        example: The task's way from a row and a fallback id to an example.

    Raises:
        DataError: The split is empty or too small, a column is missing, or two rows share an id.
    """
    rows = source.readers[split if split in source.readers else "train"]()
    numbers = _chosen(source, split, data, len(rows))
    examples = []
    for number in numbers:
        try:
            examples.append(_example(_mapped(rows[number], data.columns), f"row-{number + 1}", example))
        except DataError as error:
            raise DataError(f"{source.origin}, {split} row {number + 1}: {error}") from None
    _distinct(examples, source, split)
    return examples


def _chosen(source: Source, split: Split, data: Data, rows: int) -> list[int]:
    """Return the row numbers of a split, in the file's order; a smaller size takes a subset of a larger one's."""
    order = np.random.default_rng(data.seed).permutation(rows)
    wanted: int | None = getattr(data, split)
    missing: list[Split] = [name for name in ("test", "validation") if name not in source.readers]
    if split in missing or (split == "train" and missing):
        sizes = {name: getattr(data, name) or max(1, round(rows * CARVED_SHARE)) for name in missing}
        if sum(sizes.values()) >= rows:
            raise DataError(f"{source.origin}: its {rows} rows cannot give {sizes} and leave rows to train on")
        starts = {"test": 0, "validation": sizes.get("test", 0), "train": sum(sizes.values())}
        end = starts[split] + sizes[split] if split in missing else rows
        order = order[starts[split] : end]
    if not len(order):
        raise DataError(f"{source.origin}: split {split!r} is empty; it needs at least one row")
    if wanted is not None and wanted > len(order):
        raise DataError(f"{source.origin}: data.{split} is {wanted}, but there are {len(order)} rows; lower it")
    return sorted(int(number) for number in order[:wanted])


def _example(row: Row, id: str, make: Callable[[Mapping[str, Any], str], Example]) -> Example:
    try:
        made = make(row, id)
    except DataError:
        raise
    except Exception as error:  # whatever a task's own function raises is that task's problem, and is named as such
        raised = f"{type(error).__name__}: {error}"
        raise DataError(f"the task's example() raised {raised}; correct the task file or the row") from error
    if not isinstance(made, Example):
        raise DataError(f"the task's example() returned {made!r}; it must return an Example")
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


def _distinct(examples: Sequence[Example], source: Source, split: Split) -> None:
    seen: set[str] = set()
    for example in examples:
        if example.id in seen:
            raise DataError(f"{source.origin}: two rows of {split} have the id {example.id!r}; ids must be distinct")
        seen.add(example.id)
