"""Weights of the best final runs so far, on disk until MLflow has them, so that a kill loses none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.models.delta import Base, trained_digest
from harness.models.load import architecture_digest
from harness.runner.run_parts import Session
from harness.serving.generator import Recipe, Store, save_model
from harness.study.grid import Cell
from harness.study.settings import model_location
from harness.study.spec import Final
from harness.training.trainer import Trainer

__all__ = ["BestCheckpoint", "best_checkpoint_of", "kept_models", "key_of"]

NOTE = "note.json"
MODEL = "model"


class BestCheckpoint:
    """Keeps the best model so far of all that it is offered.

    Args:
        folder: Its own.
        maximize: Whether a higher score is better.
    """

    def __init__(self, folder: Path, *, maximize: bool) -> None:
        self.folder = folder
        self._sign = 1.0 if maximize else -1.0

    @property
    def model(self) -> Path:
        """Where the model is, once there is one."""
        return self.folder / MODEL

    def holds(self, key: str) -> bool:
        """Return whether these are the weights of a run; see `key_of`."""
        return bool(self._note().get("key") == key) and self.model.is_dir()

    def offer(self, key: str, score: float, cell: Cell, trainer: Trainer) -> None:
        """Save the model as it stands if it beats what is kept."""
        note = self._note()
        if note and note["key"] != key and self._sign * score <= self._sign * note["score"]:
            return
        self.save(key, score, cell, trainer)

    def save(self, key: str, score: float, cell: Cell, trainer: Trainer) -> None:
        """Save the model as it stands, in place of what is kept; a kill leaves one or the other whole."""
        fresh = self.folder.with_name(f"{self.folder.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        save_model(fresh / MODEL, trainer.loaded, _recipe(cell, trainer))
        (fresh / NOTE).write_text(json.dumps({"key": key, "score": score}), encoding="utf-8")
        (self.folder / NOTE).unlink(missing_ok=True)  # first, so that no note vouches for half a folder
        shutil.rmtree(self.folder, ignore_errors=True)
        fresh.rename(self.folder)

    def release(self) -> None:
        """Free the disk, since the store has the model; the note stays, so that nothing worse is saved again."""
        shutil.rmtree(self.model, ignore_errors=True)

    def _note(self) -> dict[str, Any]:
        file = self.folder / NOTE
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def best_checkpoint_of(cell: Cell, session: Session) -> BestCheckpoint | None:
    """Return what keeps a cell's model: its own best_checkpoint, one that all cells share, or none."""
    study, maximize = session.checked.study, session.maximizes(session.lead)
    if study.final.models == "none":
        return None
    own = cell.id.replace("/", "--") if study.final.models == "cells" else "best"
    folder = Path(".harness") / study.name / ("kept" if study.final.models == "cells" else "") / own
    folder.parent.mkdir(parents=True, exist_ok=True)
    return BestCheckpoint(folder, maximize=maximize)


def key_of(cell_digest: str, learning_rate: str, seed: str, *, store: Store) -> str:
    """Return what names the weights of a final run, and how they are kept."""
    return f"{cell_digest} {learning_rate} {seed} {store}"


def kept_models(final: Final, parameters: Sequence[tuple[int, int]], itemsize: int) -> str:
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


def _recipe(cell: Cell, trainer: Trainer) -> Recipe:
    spec, loaded = trainer.study.model, trainer.loaded
    place = Path(model_location(spec.name)).expanduser()
    base = Base(
        name=spec.name,
        folder=str(place.resolve()) if loaded.commit is None and spec.name != "embedded" else None,
        commit=loaded.commit,
        dtype=spec.dtype,
        trust_remote_code=spec.trust_remote_code,
        allow_pickle=spec.allow_pickle,
        weights=loaded.digest,
        architecture=architecture_digest(loaded.model),
    )
    return Recipe(
        prompt=cell.prompt,
        limits=trainer.limits,
        decoding=trainer.decoding,
        precision=trainer.study.training.precision,
        tuning=cell.tuning,
        base=base,
        store=trainer.study.final.store,
        weights=trained_digest(loaded, cell.tuning),
    )
