"""Checkpoints of a job: when one is due, what it holds beside the state of the run, and whether one found is its own.

What is decided here and why: `docs/decisions/checkpoints.md`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from harness.core.code_digest import code_digest
from harness.core.example import digest
from harness.core.failures import explained
from harness.core.workspace import Workspace
from harness.runner.executors.protocol import Job
from harness.runner.resume.put_by import PutBy
from harness.study.checked_study import Checked
from harness.study.checkpoint_keys import Checkpointing
from harness.study.dimension import format_value
from harness.study.task import task_text
from harness.training.checkpoint_files import CheckpointFiles
from harness.training.run_state import Captured, RunState

__all__ = ["Found", "JobCheckpoint", "Notes", "Score", "job_checkpoint"]

BEST = "best/"
"""Before the names of the best weights so far, where they are no longer those of the run."""

SOONEST, SHARE = 10.0, 20.0
"""Of ``auto``: seconds between two checkpoints, and how many times what writing the last one took, at least."""

LIBRARIES = ("torch", "transformers", "tokenizers", "peft", "numpy")
"""Those whose version may move a number of a run."""

CHANGED = {
    "study": "its study, rows or model are others now",
    "code": "the code that it ran, or a library of it, is another one now",
    "device": "it is on another kind of device now",
}
"""Why a checkpoint is void, by what it says of itself."""


class Score(NamedTuple):
    """What was found at one place of a run's curve."""

    epoch: int
    step: int
    at: int
    is_last: bool
    """As of `harness.training.loop.Epoch`."""
    train_loss: float
    minimized: float | None
    value: float
    """The objective; nan where nothing depends on it."""
    loss: float
    """On validation; nan where it was not needed."""
    metrics: Mapping[str, float]
    """What was told of it; empty where nothing was."""


class Notes(NamedTuple):
    """What is known of a job beside the state of its run."""

    scores: Sequence[Score]
    """So far."""
    best_step: int
    """Behind which the best weights so far were there; 0 where they are not kept."""
    best: Mapping[str, Tensor]
    """These."""
    costs: Mapping[str, float]
    """So far, as metrics."""
    memory: Mapping[str, str]
    """How it was made to fit the memory, as tags."""


class Found(NamedTuple):
    """A checkpoint that a job goes on from."""

    state: Captured
    notes: Notes

    @property
    def is_told(self) -> bool:
        """Whether what lies behind its last step was scored."""
        return bool(self.notes.scores) and self.notes.scores[-1].step == self.state.step


class JobCheckpoint:
    """The checkpoints of one job.

    Args:
        name: The job's.
        files: Where they are.
        rule: How often.
        of: What their numbers depend on, in digests, by the names of `CHANGED`.
        say: Told of one that is found, is void, or cannot be written.
    """

    def __init__(
        self,
        name: str,
        files: CheckpointFiles,
        rule: Checkpointing,
        of: Mapping[str, str],
        say: Callable[[str], None],
    ) -> None:
        self._name, self._files, self._rule, self._of, self._say = name, files, rule, of, say
        self._step, self._plain = 0, dict[str, Any]()
        self._since, self._took = time.monotonic(), 0.0
        self._has_failed = False

    def found(self) -> Found | None:
        """Return where the job was left, ``None`` where it begins; damaged and void checkpoints go.

        Raises:
            NewerError: A newer version of the harness left it.
        """
        damaged = False
        for kept in self._files.read():
            if kept is None:
                damaged = True
                continue
            if changed := [why for what, why in CHANGED.items() if kept.note["of"].get(what) != self._of[what]]:
                self._say(f"{self._name}: its checkpoint is void, for {changed[0]}; it begins anew")
                break
            self._say(f"{self._name}: goes on behind step {kept.step}, from its checkpoint")
            self._files.drop_behind(kept.step)
            self._step, self._plain = kept.step, kept.note["state"]
            return _found(kept.step, kept.tensors, kept.note)
        else:
            if damaged:
                self._say(f"{self._name}: its checkpoint is damaged; it begins anew")
        self._files.clear()
        return None

    def offer(
        self,
        state: RunState,
        is_last: bool,
        *,
        notes: Callable[[], Notes],
        save: Callable[[Path], object] | None = None,
    ) -> None:
        """Write one if it is due, or the last chance; where that fails, the job goes on without.

        Args:
            state: Of the run.
            is_last: Whether the process ends behind it, so that a whole model would take too long.
            notes: What is known of the job.
            save: Writes the whole model, which is left where the study says when; ``None``: it is not to be left.
        """
        if state.done in (0, self._step) or not (is_last or self._is_due(state)):
            return
        began = time.monotonic()
        model = None if is_last or self._rule.every == "auto" else save
        self._try(lambda: self._write(state.capture(), notes(), model))
        self._since = time.monotonic()
        self._took = self._since - began

    def scored(self, step: int, notes: Callable[[], Notes]) -> None:
        """Put a score into the checkpoint that was written before it was taken, if one was."""
        if step == self._step:
            self._try(lambda: self._files.amend(step, self._note(notes())))

    def drop(self) -> None:
        """Drop them: the job has ended. Whole models stay."""
        self._files.end()

    def _is_due(self, state: RunState) -> bool:
        if isinstance(self._rule.every, int):
            return state.done % self._rule.every == 0
        if self._rule.every == "epoch":
            return state.ends_epoch
        seconds = self._rule.seconds
        wait = max(SOONEST, SHARE * self._took) if seconds is None else seconds
        return time.monotonic() - self._since >= wait

    def _write(self, captured: Captured, notes: Notes, save: Callable[[Path], object] | None) -> None:
        self._step, self._plain = 0, dict(captured.plain)
        if save:  # first: what goes on from a checkpoint finds its model beside it
            self._files.write_model(captured.step, save)
        is_kept = notes.best_step not in (0, captured.step)
        best = {f"{BEST}{name}": tensor for name, tensor in notes.best.items()} if is_kept else {}
        self._files.write(captured.step, {**captured.tensors, **best}, self._note(notes))
        self._step = captured.step

    def _note(self, notes: Notes) -> dict[str, Any]:
        said = notes._replace(best={})._asdict() | {"scores": [score._asdict() for score in notes.scores]}
        return {"of": dict(self._of), "state": self._plain, "job": said}

    def _try(self, write: Callable[[], None]) -> None:
        try:
            write()
        except Exception as error:
            if (told := explained(error)) is None:
                raise
            if not self._has_failed:
                self._say(f"{self._name}: no checkpoint can be written, and it goes on without: {told}")
            self._has_failed = True


def _found(step: int, tensors: Mapping[str, Tensor], note: Mapping[str, Any]) -> Found:
    kept = {name.removeprefix(BEST): tensor for name, tensor in tensors.items() if name.startswith(BEST)}
    state = Captured(step, {name: value for name, value in tensors.items() if not name.startswith(BEST)}, note["state"])
    said = note["job"]
    best = state.weights if said["best_step"] == step else kept
    return Found(state, Notes(**{**said, "scores": [Score(**score) for score in said["scores"]], "best": best}))


def job_checkpoint(
    job: Job, checked: Checked, workspace: Workspace, *, device: str, say: Callable[[str], None]
) -> JobCheckpoint | None:
    """Return what puts a job by, ``None`` where nothing of it is to be kept.

    Args:
        job: With an identity, if it is a study's.
        checked: The study.
        workspace: Where it is run.
        device: The kind of device that trains.
        say: Told of what becomes of its checkpoints.
    """
    rule = checked.study.training.checkpoint
    if rule is None or not job.identity or not job.hyperparameters:
        return None
    drawn = {name: format_value(value) for name, value in job.hyperparameters.items()}
    libraries = [_version(library) for library in LIBRARIES]
    of = {
        "study": digest([job.identity, drawn, job.seed, job.is_trial, job.follows]),
        "code": digest([code_digest(), task_text(checked.task_file), libraries]),
        "device": device,
    }
    files = PutBy(workspace.study(checked.study.name)).files(job.cell, job.name, rule.keep)
    return JobCheckpoint(job.name, files, rule, of, say)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
