"""Weights of final runs, on disk until it is known whose are kept and MLflow has them, so that a kill loses none."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.absent_value import NONE
from harness.core.workspace import inside
from harness.study.dimension import format_value
from harness.study.search_space import Hyperparameters
from harness.study.spec import Final

__all__ = ["Checkpoint", "Checkpoints", "models_size"]

NOTE = "key"
MODEL = "model"


@dataclass(frozen=True)
class Checkpoint:
    """The model of one final run; `Checkpoints.key` names its weights.

    Whoever trains writes the weights to a folder of `offered`; `adopt` puts them in the place of those that were there.
    """

    folder: Path

    @property
    def model(self) -> Path:
        """Where the model is, once there is one."""
        return self.folder / MODEL

    def holds(self, key: str) -> bool:
        """Return whether these are the weights of a run."""
        note = self.folder / NOTE
        return note.is_file() and note.read_bytes() == key.encode()

    def offered(self) -> Path:
        """Return an empty folder for the run's model."""
        shutil.rmtree(self._fresh, ignore_errors=True)
        self._fresh.mkdir(parents=True)
        return self._fresh / MODEL

    def adopt(self, key: str) -> None:
        """Take the model that was offered; a kill leaves it whole, or nothing that a note vouches for."""
        (self._fresh / NOTE).write_text(key, encoding="utf-8")
        (self.folder / NOTE).unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        self._fresh.rename(self.folder)

    @property
    def _fresh(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.new")


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of a study. What is missing when it is wanted is trained again, so any of them may be dropped."""

    folder: Path
    """The study's own."""
    final: Final

    def key(self, cell_digest: str, hyperparameters: Hyperparameters, seed: str) -> str:
        """Return what names the weights of a final run, and how they are kept."""
        values = " ".join(map(format_value, hyperparameters.values())) or NONE
        return f"{cell_digest} {values} {seed} {self.final.store}"

    def of(self, cell: str, seed: str) -> Checkpoint:
        """Return the checkpoint of a cell's final run."""
        return Checkpoint(inside(self._of(cell), seed))

    def keep(self, cell: str, seeds: Collection[str | None]) -> None:
        """Drop what is there of a cell but the final runs of some seeds."""
        for folder in self._of(cell).glob("*"):
            if folder.name not in seeds:
                (folder / NOTE).unlink(missing_ok=True)  # first, so that it vouches for no half of a folder
                shutil.rmtree(folder)

    def drop_unfinished(self) -> None:
        """Drop what a killed process, of an earlier version too, left half-written; only where the study is held."""
        for top, pattern in (("finals", "*/*.new"), ("finals", "*/*/tmp*"), ("best", "tmp*")):
            for folder in inside(self.folder, top).glob(pattern):
                shutil.rmtree(folder, ignore_errors=True)

    def clear(self) -> None:
        """Drop them all, and those that earlier versions left."""
        for name in ("finals", "kept", "best"):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def _of(self, cell: str) -> Path:
        return inside(inside(self.folder, "finals"), cell.replace("/", "--"))


def models_size(final: Final, parameters: Sequence[tuple[int, int]], itemsize: int) -> str:
    """Return, in words, what the weights that a study keeps will take on disk, at most.

    Args:
        final: Which models are kept, and how.
        parameters: Of each cell with final runs: how many train, and how many there are.
        itemsize: Bytes of one.
    """
    if final.models == "none" or not final.seeds:
        return "models: none is kept"
    sizes = [
        (total if trained and final.store == "full" else trained) * itemsize / 2**20 for trained, total in parameters
    ]
    largest, whole = max(sizes), sum(sizes) if final.models == "cells" else max(sizes)
    return (
        f"models ({final.models}, {final.store}): at most {whole:,.1f} MiB in the store; until they are there, "
        f"{whole + len(final.seeds) * largest:,.1f} MiB in .harness (all seeds of a cell until the middle one shows), "
        f"and {2 * largest:,.1f} MiB more while the largest is handed over"
    )
