"""Token files: a text tokenized once, in files that are mapped into memory, so that it may be larger than that.

A folder named by a digest of all that its numbers depend on: the ids, the bytes of text that each stands for, and what
both are. It is written under another name and renamed, so a kill leaves no half of it.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.core.bounded_files import read_json
from harness.core.format_versions import FORMAT, refuse_newer
from harness.data.token_stream import TokenRun

__all__ = ["TOKEN_FORMAT", "TokenFile", "token_file"]

TOKEN_FORMAT = 1
"""The newest version of the folder; raised when the same key would hold other numbers."""

IDS, SIZES, FACTS = "ids.bin", "sizes.bin", "tokens.json"

LARGEST = 2**16 - 1
"""Bytes of text that a token may stand for: a run of white space that a tokenizer drops may be as long."""


@dataclass(frozen=True)
class TokenFile:
    """The tokens of a text, as they follow each other."""

    folder: Path
    key: str
    """A digest of the text and of what tokenized it."""
    count: int
    documents: int
    """How many there are; 0 in a stream."""
    dtype: str
    """What ids are held as."""

    @cached_property
    def ids(self) -> NDArray[Any]:
        """Token ids, shape (tokens,)."""
        return np.memmap(self.folder / IDS, dtype=self.dtype, mode="r", shape=(self.count,))

    @cached_property
    def sizes(self) -> NDArray[np.uint16]:
        """Bytes of text that each token stands for, shape (tokens,)."""
        return np.memmap(self.folder / SIZES, dtype=np.uint16, mode="r", shape=(self.count,))

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is mapped: another process maps it anew."""
        return {name: value for name, value in vars(self).items() if name not in ("ids", "sizes")}


def token_file(
    folder: Path | None, key: str, vocabulary: int, tokenize: Callable[[], Iterable[tuple[TokenRun, int]]]
) -> TokenFile:
    """Return the tokens of a text, found in a folder or made now.

    Args:
        folder: Where token files lie, each under its key; ``None``: in a folder that goes with what is returned.
        key: A digest of the text and of what tokenizes it.
        vocabulary: Ids are below that.
        tokenize: Yields tokens, and how many documents end with them.

    Raises:
        OSError: There is no room for it.
        NewerError: A newer version wrote it.
    """
    own = Path(tempfile.mkdtemp(prefix="tokens-")) if folder is None else None
    place = (own or folder or Path()) / key
    facts = _facts(place)
    if facts is None:
        facts = _written(place, key, np.uint16 if vocabulary <= 2**16 else np.uint32, tokenize())
    found = TokenFile(place, key, facts["tokens"], facts["documents"], facts["dtype"])
    if own:
        weakref.finalize(found, shutil.rmtree, own, ignore_errors=True)
    return found


def _facts(place: Path) -> Mapping[str, Any] | None:
    """Return what a folder says of its tokens; ``None`` where there is none, or its files are not what it says."""
    try:
        facts = read_json(place / FACTS)
        refuse_newer(f"token file {place}", facts.get(FORMAT), TOKEN_FORMAT)
        wanted = {IDS: facts["tokens"] * np.dtype(facts["dtype"]).itemsize, SIZES: facts["tokens"] * 2}
        if facts["key"] == place.name and all((place / name).stat().st_size == size for name, size in wanted.items()):
            return {"tokens": int(facts["tokens"]), "documents": int(facts["documents"]), "dtype": facts["dtype"]}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        pass  # not what `_written` wrote
    return None


def _written(
    place: Path, key: str, dtype: type[np.unsignedinteger[Any]], runs: Iterable[tuple[TokenRun, int]]
) -> Mapping[str, Any]:
    draft = place.with_name(f".{key}-{os.getpid()}")
    for left in place.parent.glob(f".{key}-*"):
        if left == draft or not _is_alive(left.name.rpartition("-")[2]):  # a kill left it
            shutil.rmtree(left, ignore_errors=True)
    try:
        draft.mkdir(parents=True)
        tokens = documents = 0
        with (draft / IDS).open("wb") as ids, (draft / SIZES).open("wb") as sizes:
            for run, ended in runs:
                ids.write(run.ids.astype(dtype).tobytes())
                sizes.write(np.minimum(run.sizes, LARGEST).astype(np.uint16).tobytes())
                tokens, documents = tokens + len(run.ids), documents + ended
        facts = {"tokens": tokens, "documents": documents, "dtype": np.dtype(dtype).name}
        (draft / FACTS).write_text(json.dumps({FORMAT: TOKEN_FORMAT, "key": key, **facts}), encoding="utf-8")
        shutil.rmtree(place, ignore_errors=True)
        draft.rename(place)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return facts


def _is_alive(number: str) -> bool:
    try:
        os.kill(int(number), 0)
    except (ValueError, ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    return True
