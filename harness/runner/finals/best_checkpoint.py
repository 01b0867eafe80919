"""Weights of the best final runs so far, on disk until MLflow has them, so that a kill loses none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.study.search_space import Hyperparameters, format_value
from harness.study.spec import Final
from harness.tracking.schema import NONE

__all__ = ["BestCheckpoint", "Checkpoints", "models_size"]

NOTE = "note.json"
MODEL = "model"


@dataclass(frozen=True)
class BestCheckpoint:
    """The best model so far of some final runs; `Checkpoints.key` names the weights of one.

    Whoever trains writes the weights to a folder of `offered`; `adopt` puts them in the place of those that were kept.
    """

    folder: Path
    maximize: bool
    """Whether a higher score is better."""

    @property
    def model(self) -> Path:
        """Where the model is, once there is one."""
        return self.folder / MODEL

    def holds(self, key: str) -> bool:
        """Return whether these are the weights of a run."""
        return bool(self._note().get("key") == key) and self.model.is_dir()

    def beats(self, key: str, score: float) -> bool:
        """Return whether a run's model is to be kept: it beats the one that is, or is the same again."""
        note, sign = self._note(), 1.0 if self.maximize else -1.0
        return not note or note["key"] == key or sign * score > sign * note["score"]

    def offered(self) -> Path:
        """Return an empty folder for a run's model."""
        shutil.rmtree(self._fresh, ignore_errors=True)
        self._fresh.mkdir(parents=True)
        return self._fresh / MODEL

    def adopt(self, key: str, score: float) -> None:
        """Keep a model that was offered, in place of what is kept; a kill leaves one or the other whole."""
        (self._fresh / NOTE).write_text(json.dumps({"key": key, "score": score}), encoding="utf-8")
        (self.folder / NOTE).unlink(missing_ok=True)  # first, so that no note vouches for half a folder
        shutil.rmtree(self.folder, ignore_errors=True)
        self._fresh.rename(self.folder)

    def release(self) -> None:
        """Free the disk, since the store has the model; the note stays, so that nothing worse is saved again."""
        shutil.rmtree(self.model, ignore_errors=True)

    @property
    def _fresh(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.new")

    def _note(self) -> dict[str, Any]:
        try:
            note = json.loads((self.folder / NOTE).read_text(encoding="utf-8"))
        except (OSError, ValueError):  # none, or damaged: it vouches for nothing
            return {}
        return note if isinstance(note, dict) and note.keys() == {"key", "score"} else {}


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of a study: one of each cell, one that all cells share, or none."""

    folder: Path
    """The study's own."""
    final: Final
    maximize: bool
    """Whether a higher score is better."""

    def key(self, cell_digest: str, hyperparameters: Hyperparameters, seed: str) -> str:
        """Return what names the weights of a final run, and how they are kept."""
        values = " ".join(map(format_value, hyperparameters.values())) or NONE
        return f"{cell_digest} {values} {seed} {self.final.store}"

    def of(self, cell: str) -> BestCheckpoint:
        """Return the checkpoint of the runs of the cell with this id."""
        own = self.final.models == "cells"
        folder = self.folder / "kept" / cell.replace("/", "--") if own else self.folder / "best"
        return BestCheckpoint(folder, self.maximize)


def models_size(final: Final, parameters: Sequence[tuple[int, int]], itemsize: int) -> str:
    """Return, in words, what the weights that a study keeps will take on disk, at most.

    Args:
        final: Which models are kept, and how.
        parameters: Of each cell with final runs: how many train, and how many there are.
        itemsize: Bytes of one.
    """
    if final.models == "none" or not final.seeds:
        return "models: none is kept"
    sizes = [(trained if final.store == "delta" else total) * itemsize / 2**20 for trained, total in parameters]
    whole = sum(sizes) if final.models == "cells" else max(sizes)
    return (
        f"models ({final.models}, {final.store}): at most {whole:,.1f} MiB in the store; until they are there, as much "
        f"in .harness, and {2 * max(sizes):,.1f} MiB more while the largest is handed over"
    )
