"""Checkpoints of one run in a folder: tensors and a note beside them, each written whole, with digests of both.

A checkpoint is there when its note is, which names the digest of its tensors; what a kill leaves half-written is never
read, and goes at the next start. Nothing in it can run: safetensors and JSON. A folder beside them, called by the same
step, holds the whole model, if the run leaves some; it stays when the run has ended.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from safetensors import SafetensorError

from harness.core.bounded_files import parse_json, read_bytes
from harness.core.errors import NewerError
from harness.core.format_versions import FORMAT, refuse_newer
from harness.core.whole_files import file_digest, write_whole

if TYPE_CHECKING:
    from torch import Tensor  # which takes long to import, where nothing may be left to train

__all__ = ["CheckpointFiles", "Kept"]

VERSION = 1

TENSORS, NOTE = ".safetensors", ".json"

MOST = 2**30
"""Bytes of a note, which grows with the scores of a run."""


class Kept(NamedTuple):
    """A checkpoint as it was read."""

    step: int
    tensors: Mapping[str, Tensor]
    note: Mapping[str, Any]


@dataclass(frozen=True)
class CheckpointFiles:
    """The checkpoints of one run, by the optimizer steps that were done."""

    folder: Path
    keep: int
    """How many there are at a time."""

    def write(self, step: int, tensors: Mapping[str, Tensor], note: Mapping[str, Any]) -> None:
        """Write a checkpoint, then drop those that are too many.

        Raises:
            OSError: It cannot be written; those that were there stay.
            SafetensorError: Likewise.
        """
        from safetensors.torch import save_file

        self.folder.mkdir(parents=True, exist_ok=True)
        file = self._file(step, TENSORS)
        draft = file.with_name(f".{file.name}.{os.getpid()}.draft")
        try:
            save_file(dict(tensors), draft)
            written = file_digest(draft)
            self._file(step, NOTE).unlink(missing_ok=True)  # it would vouch for other tensors
            draft.replace(file)
        finally:
            draft.unlink(missing_ok=True)
        self._vouch(step, written, note)
        for older in self._steps()[self.keep :]:
            self._drop(older)

    def write_model(self, step: int, save: Callable[[Path], object]) -> None:
        """Write the whole model of a step, then drop those that are too many.

        Args:
            step: Optimizer steps that are done.
            save: Writes it into a folder, which it makes.

        Raises:
            OSError: It cannot be written; those that were there stay.
            SafetensorError: Likewise.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        place = self.folder / f"{step:09d}"
        draft = place.with_name(f".{place.name}.{os.getpid()}.draft")
        try:
            save(draft)
            shutil.rmtree(place, ignore_errors=True)
            draft.replace(place)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        for older in self.models()[self.keep :]:
            shutil.rmtree(older)

    def models(self) -> list[Path]:
        """Return the folders of whole models, the newest first."""
        return sorted((place for place in self.folder.glob("[0-9]*") if place.is_dir()), reverse=True)

    def amend(self, step: int, note: Mapping[str, Any]) -> None:
        """Write another note for the tensors of a checkpoint that is there."""
        found = parse_json(read_bytes(self._file(step, NOTE), MOST).decode())
        self._vouch(step, found["tensors"], note)

    def read(self) -> Iterator[Kept | None]:
        """Yield what is there, the newest first; ``None`` for one that is damaged.

        Raises:
            NewerError: A newer version of the harness wrote one.
        """
        for step in self._steps():
            try:
                yield self._read(step)
            except NewerError:
                raise
            except (OSError, ValueError, LookupError, TypeError, SafetensorError):
                yield None

    def drop_behind(self, step: int) -> None:
        """Drop those of later steps."""
        for later in [there for there in self._steps() if there > step]:
            self._drop(later)
        for model in [there for there in self.models() if int(there.name) > step]:
            shutil.rmtree(model)

    def drop_unfinished(self) -> None:
        """Drop what killed processes left half-written; only where no other process writes here."""
        whole = {self._file(step, NOTE).stem for step in self._steps()}
        for file in self.folder.iterdir() if self.folder.is_dir() else ():
            if file.name.endswith(".draft") or (file.suffix == TENSORS and file.stem not in whole):
                if file.is_dir():
                    shutil.rmtree(file)
                else:
                    file.unlink(missing_ok=True)

    def end(self) -> None:
        """Drop what a run would go on from; whole models that it left stay."""
        for step in self._steps():
            self._drop(step)
        if not self.models():
            self.clear()

    def clear(self) -> None:
        """Drop them all."""
        self.drop_behind(-1)
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):  # other runs of the cell have theirs there
            self.folder.parent.rmdir()

    def _vouch(self, step: int, tensors: str, note: Mapping[str, Any]) -> None:
        content = {FORMAT: VERSION, "tensors": tensors, "digest": _digest(tensors, note), "note": note}
        write_whole(self._file(step, NOTE), json.dumps(content))

    def _read(self, step: int) -> Kept:
        found = parse_json(read_bytes(self._file(step, NOTE), MOST).decode())
        refuse_newer(f"checkpoint {self._file(step, NOTE)}", found.get(FORMAT), VERSION)
        file, note = self._file(step, TENSORS), found["note"]
        if file_digest(file) != found["tensors"] or _digest(found["tensors"], note) != found["digest"]:
            raise ValueError("it is not as it was written")
        from safetensors.torch import load_file

        return Kept(step, load_file(file), note)

    def _drop(self, step: int) -> None:
        """Drop one: its note first, so that it vouches for no part."""
        self._file(step, NOTE).unlink(missing_ok=True)
        self._file(step, TENSORS).unlink(missing_ok=True)

    def _steps(self) -> list[int]:
        """Return the steps of the checkpoints that are there, the newest first."""
        names = [file.stem for file in self.folder.glob(f"[0-9]*{NOTE}")]
        return sorted((int(name) for name in names if name.isdigit()), reverse=True)

    def _file(self, step: int, kind: str) -> Path:
        return self.folder / f"{step:09d}{kind}"


def _digest(tensors: str, note: Mapping[str, Any]) -> str:
    return sha256(f"{tensors} {json.dumps(note, sort_keys=True)}".encode()).hexdigest()[:32]
