"""What `harness compare` is told to compare: a study, a cell or a run, found in the store with its final runs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from harness.core.absent_value import NONE
from harness.core.closest_match import closest
from harness.core.errors import UserError
from harness.core.example import Split
from harness.core.passwords import masked
from harness.results.collect import Results, collect
from harness.study.find_study import find_study
from harness.tracking.address import StudyAddress, store_uri
from harness.tracking.mlflow.mlflow_tracker import MlflowTracker, find_run
from harness.tracking.run_records import seed_order
from harness.tracking.schema import Params, Tags, score_name
from harness.tracking.store_protocols import RunStore
from harness.tracking.stored_run import Run
from harness.tracking.study_record import StudyRecord, summary_of

__all__ = ["Side", "find_side"]

RUN_ID = re.compile(r"[0-9a-f]{4,32}")
"""An MLflow run id, or its beginning."""

FORMS = "name a study, its file, study:prompt/tuning or a final run's id"


@dataclass(frozen=True)
class Side:
    """Final runs of one cell, all of them or one."""

    name: str
    """How tables call it: ``study:prompt/tuning``, for one run with its seed."""
    study: str
    record: StudyRecord
    runs: tuple[Run, ...]
    """Scored on the split that is compared, in the order of their seeds."""
    tracker: MlflowTracker
    cell: str = ""
    """The id of the cell, where these are all its final runs."""
    peers: tuple[Run, ...] = ()
    """The final runs of all cells of its study that are scored so, where it is a cell."""

    @cached_property
    def results(self) -> Results:
        """What the store holds of its study."""
        return collect(self.tracker, self.study)


def find_side(side: str | StudyAddress, split: Split, cell: str = "") -> Side:
    """Return what a side is called by: a study's name or file, ``study:prompt/tuning``, a run's id or its beginning.

    A study may also be given by its address, with the id of a cell.

    A study stands for its best cell on validation. The final runs must have stored their predictions on the split.

    Raises:
        UserError: There is no such side, or it has no such final runs.
    """
    if isinstance(side, str):
        study, _, cell = side.partition(":")
        name, store, tracker = find_study(study)
    else:
        name, store, tracker = find_study(side)
    if tracker is None and not cell and isinstance(side, str) and RUN_ID.fullmatch(side):
        return _run_side(side, split)
    if tracker is None:
        raise UserError(f"store {masked(store, store)} knows no study {name!r}; run it first, or {FORMS}")
    runs = tracker.runs()
    record = _record(name, tracker, runs)
    if cell:
        _check_cell(cell, name, record, runs)
    parents = {run.id for run in runs if run.phase == "cell"}
    finals = [run for run in runs if run.phase == "final" and run.parent in parents and _answered(run, record, split)]
    newest = finals[-1].tags.get(Tags.TEST_DIGEST) if finals else None
    finals = [run for run in finals if split != "test" or run.tags.get(Tags.TEST_DIGEST) == newest]
    cell = cell or _best(finals, collect(tracker, name))
    of_cell = sorted((run for run in finals if run.tags[Tags.CELL] == cell), key=seed_order)
    if not of_cell:
        what, own = f"{name}:{cell}" if cell else f"study {name!r}", [r for r in runs if r.tags.get(Tags.CELL) == cell]
        raise UserError(_no_finals(what, record, split, own))
    return Side(f"{name}:{cell}", name, record, tuple(of_cell), tracker, cell, tuple(finals))


def _record(study: str, tracker: RunStore, runs: Sequence[Run]) -> StudyRecord:
    summary = summary_of(runs)
    if summary is None:
        raise UserError(f"study {study!r} has no results yet; run it first")
    return StudyRecord.from_run(tracker, summary)


def _answered(run: Run, record: StudyRecord, split: Split) -> bool:
    return run.status == "FINISHED" and any(score_name(split, metric) in run.metrics for metric in record.signatures)


def _best(finals: Sequence[Run], results: Results) -> str:
    """Return the cell that ranks first of those with such final runs; nothing where none has a score."""
    best = results.first_of({run.tags[Tags.CELL] for run in finals})
    return best.id if best else ""


def _check_cell(cell: str, study: str, record: StudyRecord, runs: Sequence[Run]) -> None:
    """Refuse a cell that the study does not have, or not any more."""
    phases = {run.phase for run in runs if run.tags.get(Tags.CELL) == cell}
    if "cell" in phases:
        return
    if cell in record.cells:
        edited = "was superseded when its study was edited, and not run since"
        why = edited if "superseded" in phases else "was not run yet"
        raise UserError(f"{study}:{cell} {why}; run it first")
    if "superseded" in phases:
        raise UserError(
            f"{study}:{cell} was superseded when it was taken out of its study; put it back and run the study again, "
            "or run that version under another name"
        )
    raise UserError(f"study {study!r} has no cell {cell!r}; {closest(cell, record.cells)}")


def _no_finals(what: str, record: StudyRecord, split: Split, runs: Sequence[Run]) -> str:
    """Return that there are no final runs among those of a cell that answered a split, and what to do."""
    seeds = record.study["final"]["seeds"]
    trains = any(run.params.get(Params.TUNING, NONE) != NONE for run in runs)
    if not seeds and (split == "test" or trains):
        other = ", or compare zero-shot cells on split validation" if split == "test" else ""
        return f"{what} has no final runs on {split}, for its final.seeds is []; name seeds and run it{other}"
    diverged = any(run.phase == "final" and run.tags.get(Tags.OUTCOME) == "diverged" for run in runs)
    has_no_winner = any(run.phase == "cell" and run.tags.get(Tags.BEST_TRIAL) == NONE for run in runs)
    remedy = "it diverged, so compare others" if diverged or has_no_winner else "run it to its end"
    return f"{what} has no final runs with predictions on {split}; {remedy}"


def _run_side(identity: str, split: Split) -> Side:
    matches = find_run(identity, store_uri())
    if not matches:
        raise UserError(f"store {store_uri()} knows no study and no run {identity!r}; {FORMS}")
    if len(matches) > 1:
        few = ", ".join(run.id for _, _, run in matches[:3])
        raise UserError(f"{len(matches)} runs have an id that begins with {identity!r} ({few}, ...); give more of it")
    study, tracker, run = matches[0]
    if run.phase != "final":
        raise UserError(f"run {run.id} ({run.name}) is {_kind(run, study)}")
    record = _record(study, tracker, tracker.runs())
    if not _answered(run, record, split):
        raise UserError(_no_finals(f"run {run.id} ({run.name})", record, split, [run]))
    return Side(f"{study}:{run.name}", study, record, (run,), tracker)


def _kind(run: Run, study: str) -> str:
    """Return what a run is that is no final run, and what to name instead."""
    cell = run.tags.get(Tags.CELL, "prompt/tuning")
    kinds = {
        "cell": f"a cell with all its runs; name it {study}:{cell}",
        "search": f"a trial, scored on validation alone; name a final run, or the cell {study}:{cell}",
        "superseded": f"superseded: its study was edited since; name a run or a cell that {study} has now",
        "interrupted": f"one that was cut short; name a final run, or the cell {study}:{cell}",
    }
    return kinds.get(run.phase, f"no final run; {FORMS}")
