"""Arrow: a file, or a folder that ``save_to_disk`` of `datasets` wrote, of one data set or of several by split."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.core.bounded_files import OVERHEAD, in_proportion, open_regular, read_json, read_unpacked
from harness.core.errors import DataError

if TYPE_CHECKING:
    import pyarrow

__all__ = ["SPLITS", "is_saved", "read_arrow", "read_saved", "refuse_repeated", "row_size", "saved_splits"]

STATE, INFO = "state.json", "dataset_info.json"
"""What `datasets` writes beside a data set's rows."""

SPLITS = "dataset_dict.json"
"""What it writes into a folder of several."""

FILE = b"ARROW1"
"""How a file begins that is no stream."""

BATCH = 1000
"""Rows that are unpacked at a time."""

AGAIN = "write it again"


def is_saved(folder: Path) -> bool:
    """Return whether a folder is a data set that was saved."""
    return (folder / STATE).is_file() and (folder / INFO).is_file()


def saved_splits(folder: Path) -> dict[str, Path]:
    """Return the data sets of a folder that several were saved in, by what they are called; of any other none.

    Raises:
        DataError: It names one that is not there.
    """
    if not (folder / SPLITS).is_file():
        return {}
    try:
        names = read_json(folder / SPLITS)["splits"]
        found = {str(name): folder / str(name) for name in names}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder / SPLITS}: cannot be read: {error}; save the data set again") from error
    for name, path in found.items():
        if path.parent != folder or not is_saved(path):
            raise DataError(f"{folder}: {SPLITS} names a split {name!r}, which is not saved there; save it again")
    return found


def read_saved(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of a saved data set, as `datasets` reads them.

    Raises:
        OSError: A file of it is missing or no regular one.
        DataError: It is damaged.
    """
    import datasets
    import pyarrow

    files = [path for path in folder.iterdir() if not path.is_dir()]
    for path in files:
        open_regular(path).close()  # else a pipe would be waited for
    try:
        if read_json(folder / STATE).get("_data_files") == []:
            return []  # no rows, which `datasets` writes and does not read
        loaded = datasets.load_from_disk(str(folder)).with_format("arrow")
        return _within_bounds(loaded.iter(BATCH), sum(path.stat().st_size for path in files))
    except FileNotFoundError as error:
        raise DataError(f"{folder}: the saved data set lacks {Path(error.filename).name}; bring it too") from error
    except (pyarrow.ArrowException, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{folder}: cannot be read as a saved data set: {error}; {AGAIN} with save_to_disk") from error


def read_arrow(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file, of either form: a stream, as `datasets` caches them, or a file (feather).

    Raises:
        OSError: It cannot be read.
        DataError: It is damaged.
    """
    import pyarrow

    try:
        data = read_unpacked(path)
        is_file = data.startswith(FILE)
        reader = pyarrow.ipc.open_file(data) if is_file else pyarrow.ipc.open_stream(data)
        refuse_repeated(path, reader.schema.names)
        return _within_bounds(_of_file(reader) if is_file else iter(reader), len(data))
    except (pyarrow.ArrowException, ValueError, OverflowError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read as arrow: {error}; {AGAIN}") from error


def _of_file(reader: pyarrow.ipc.RecordBatchFileReader) -> Iterator[pyarrow.RecordBatch]:
    return (reader.get_batch(number) for number in range(reader.num_record_batches))


def _within_bounds(batches: Iterator[Any], taken: int) -> list[dict[str, Any]]:
    pieces: Iterator[list[dict[str, Any]]] = (batch.to_pylist() for batch in batches)
    return [row for rows in in_proportion(pieces, row_size, lambda: taken) for row in rows]


def refuse_repeated(path: Path, names: Sequence[str]) -> None:
    """Refuse columns of one name, of which a row could have one.

    Raises:
        DataError: There are such.
    """
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise DataError(f"{path}: two columns are called {twice!r}; give each a name of its own")


def row_size(rows: list[dict[str, Any]]) -> int:
    """Return about the bytes of rows: a value may be written once, and stand in a million of them."""
    values = [value for row in rows for value in row.values()]
    return OVERHEAD * len(rows) + sum(len(value if isinstance(value, str | bytes) else str(value)) for value in values)
