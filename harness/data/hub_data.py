"""Data sets on the Hub: their splits, each downloaded when it is read, and what the Hub's refusals mean.

A folder whose README.md says which files are which split, as clones of such data sets have one, is read likewise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePath
from typing import NamedTuple

from harness.core.bounded_files import read_text
from harness.core.closest_match import closest
from harness.core.errors import DataError
from harness.core.example import Split
from harness.core.hub_refusals import LOGIN, closed_to_token, gate
from harness.data.data_keys import Data
from harness.data.readers import Row, plain_values
from harness.data.split_files import SPLIT_NAMES

__all__ = ["HubSplits", "clone_splits", "hub_splits"]

PATIENCE = 5.0
"""Seconds that the Hub may take to answer."""


class HubSplits(NamedTuple):
    """What a data set on the Hub has."""

    origin: str
    """Its id and its commit."""
    readers: dict[str, Callable[[], list[Row]]]
    """All of them, by its names."""
    names: dict[Split, str]
    """What it calls those that a study has, as far as it has them."""


def hub_splits(data: Data) -> HubSplits:
    """Find a data set on the Hub, at the commit that the revision stands for now.

    Opening it asks for descriptions and lists of files. `datasets` would prepare all splits for the sake of one; it is
    given one split's files at a time instead, so that ``test`` is downloaded when it is read and no sooner. Files are
    cached; lists are not, hence the Hub is asked every time, unless ``HF_HUB_OFFLINE`` says not to: then what the cache
    holds of the commit is all there is.
    """
    with _hub_errors(data):
        place = _place(data)
    return _splits(data, place)


def clone_splits(data: Data, folder: Path) -> HubSplits | None:
    """Find the splits of a folder whose README.md lists them; ``None`` where it has none, or lists nothing."""
    file = folder / "README.md"
    try:
        text = read_text(file) if file.is_file() else ""
    except (OSError, ValueError):
        return None
    head = text.partition("\n---\n")[0] if text.startswith("---\n") else ""
    lists_splits = any(line.startswith("configs:") for line in head.split("\n"))
    return _splits(data, _Place(str(folder), None, str(folder))) if lists_splits else None


def _splits(data: Data, place: _Place) -> HubSplits:
    import datasets

    datasets.disable_progress_bars()  # downloads have their own
    with _hub_errors(data):
        try:
            builder = datasets.load_dataset_builder(place.address, data.config, revision=place.revision)
        except ValueError:
            known = datasets.get_dataset_config_names(place.address, revision=place.revision)
            if data.config in known:
                raise
            raise _no_config(data, known) from None
    files = {str(name): list(urls) for name, urls in (builder.config.data_files or {}).items()}
    own, names = {name.lower(): name for name in reversed(files)}, dict[Split, str]()
    for name, split in SPLIT_NAMES.items():
        if name in own:  # of several names for one split its own comes first
            names.setdefault(split, own[name])

    def rows(name: str) -> list[Row]:
        options = {"revision": place.revision, "features": builder.info.features, "data_files": {name: files[name]}}
        with _hub_errors(data):
            loaded = datasets.load_dataset(place.address, builder.config.name, split=name, **options)
            return plain_values(loaded.to_list())

    return HubSplits(place.origin, {name: partial(rows, name) for name in files}, names)


class _Place(NamedTuple):
    """Where a data set is."""

    address: str
    """What `datasets` takes."""
    revision: str | None
    origin: str
    """The data set and its commit, as studies record it."""


def _place(data: Data) -> _Place:
    from huggingface_hub import (
        HfApi,
        constants,
        get_hf_file_metadata,
        hf_hub_download,
        hf_hub_url,
        snapshot_download,
    )

    assert data.hub is not None
    if constants.HF_HUB_OFFLINE:
        folder = snapshot_download(data.hub, repo_type="dataset", revision=data.revision, local_files_only=True)
        return _Place(folder, None, f"hub:{data.hub}@{PurePath(folder).name}")
    info = HfApi().dataset_info(data.hub, revision=data.revision, timeout=PATIENCE)
    files = {sibling.rfilename for sibling in info.siblings or ()}
    if small := next((name for name in ("README.md", ".gitattributes") if name in files), None):
        hf_hub_download(info.id, small, repo_type="dataset", revision=data.revision)  # the cache notes the revision
    elif files:  # `datasets` would say of a gate no more than that there is one
        address = hf_hub_url(info.id, min(files), repo_type="dataset", revision=info.sha)
        get_hf_file_metadata(address, timeout=PATIENCE)
    address = f"hf://datasets/{info.id}"  # a bare id might be taken for a folder of that name
    return _Place(address, info.sha, f"hub:{info.id}@{info.sha}")


def _said(data: Data) -> str:
    return f"data.hub {data.hub!r}" if data.hub else f"data.path {data.path!r}"


def _no_config(data: Data, known: Sequence[str]) -> DataError:
    said = _said(data)
    if data.config is None:
        return DataError(f"{said} has no default; set data.config to one of {', '.join(known)}")
    return DataError(f"{said} has no data.config {data.config!r}; {closest(data.config, known)}")


@contextmanager
def _hub_errors(data: Data) -> Iterator[None]:
    """Say what the Hub's refusals mean."""
    from datasets.exceptions import DatasetsError
    from huggingface_hub import errors
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]  # in its __all__, but not in its types

    said, files = _said(data), "its files on the Hub, or name files in data.path"
    if not data.hub:
        files = "its README.md, or name files in data.splits"
    try:
        yield
    except errors.HFValidationError as error:
        raise DataError(f"{said} is no Hub id; it must be org/name") from error
    except errors.GatedRepoError as error:
        raise DataError(f"{said}: {gate()}") from error
    except errors.RepositoryNotFoundError as error:
        raise DataError(
            f"{said}: the Hub has no such data set, or a private one; correct the id, or {LOGIN}"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise DataError(f"{said} has no data.revision {data.revision!r}; name a branch, tag or commit of it") from error
    except errors.LocalEntryNotFoundError as error:
        raise DataError(
            f"{said} is not in the cache, and HF_HUB_OFFLINE is set; load it once without, or name files in data.path"
        ) from error
    except (ConnectionError, httpx.RequestError) as error:
        raise DataError(f"{said}: the Hub cannot be reached; check the network, or name files in data.path") from error
    except (OSError, ValueError, RuntimeError, DatasetsError) as error:
        if told := closed_to_token(error):
            raise DataError(f"{said}: {told}") from error
        reason = " ".join(str(error.__cause__ or error).split())[:300]
        raise DataError(f"{said} cannot be read: {reason}; check {files}") from error
