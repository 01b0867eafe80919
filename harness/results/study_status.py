"""How far a study is, as the store has it: its cells, what is done and missing of each, and whether somebody works."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.core.absent_value import NONE
from harness.results.searched_cells import searched_as
from harness.stats import mean
from harness.tracking.orders import Orders
from harness.tracking.run_records import CellRecord
from harness.tracking.schema import Metrics, Params, Tags, score_name
from harness.tracking.store_protocols import RunStore
from harness.tracking.stored_run import Run
from harness.tracking.study_record import KeptModels, StudyRecord, decoding, summary_of

__all__ = ["CellStatus", "StudyStatus", "study_status"]


@dataclass(frozen=True)
class CellStatus:
    """How far a cell is."""

    cell: str
    trials: int = 0
    """Those that ended, however they did."""
    trials_wanted: int = 0
    finals: int = 0
    """Final runs that ended well."""
    finals_wanted: int = 0
    running: int = 0
    """Runs of the cell that are under way, if its study is being run; else what a kill left."""
    failed: int = 0
    """Trials and final runs that diverged or failed."""
    finals_failed: int = 0
    """Those of them that are final runs."""
    best: float | None = None
    """The objective of its best trial so far; ``None``: none yet, or nothing trains."""
    score: float | None = None
    """The mean of its final runs so far on validation, by the metric that ranks."""

    @property
    def is_done(self) -> bool:
        """Whether nothing of it is missing; a final run that failed is not tried again by itself."""
        return self.trials >= self.trials_wanted and self.finals + self.finals_failed >= self.finals_wanted


@dataclass(frozen=True)
class StudyStatus:
    """How far a study is."""

    study: str
    experiment: str | None
    """MLflow's id of it."""
    state: str
    """``running``, ``finished``, ``unfinished``, or ``unreadable`` where its record is damaged."""
    held_by: str | None
    """Who runs it."""
    cells: tuple[CellStatus, ...] = ()
    runs: int = 0
    """Trials and final runs that the store holds of these cells."""
    objective: str | None = None
    """What trials are judged by."""
    lead: str | None = None
    """The metric that ranks."""
    best: str | None = None
    """The cell whose model the study offers, once it has ended."""
    score: float | None = None
    """The mean of that cell's final runs on validation, by the metric that ranks."""
    updated: float | None = None
    """When a run of it last began or ended, in seconds since 1970."""

    @property
    def cells_done(self) -> int:
        """Cells of which nothing is missing."""
        return sum(cell.is_done for cell in self.cells)


@dataclass
class _Runs:
    """The runs of a cell."""

    parent: Run | None = None
    trials: list[Run] = field(default_factory=list)
    finals: list[Run] = field(default_factory=list)


def study_status(tracker: RunStore, study: str, experiment: str, held_by: str) -> StudyStatus:
    """Read how far a study is.

    Args:
        tracker: Its store.
        study: Its name.
        experiment: MLflow's id of it.
        held_by: Who runs it, in words; empty: nobody.

    Raises:
        DamagedError: Its record is not what was stored.
    """
    runs = tracker.runs()
    summary = summary_of(runs)
    if summary is None:
        return StudyStatus(study, experiment, "running" if held_by else "unfinished", held_by or None)
    record, by_cell = StudyRecord.from_run(tracker, summary), _by_cell(runs)
    with decoding(summary):
        cells = tuple(_cell(cell, by_cell, record) for cell in record.cells)
    orders = Orders.of(summary)
    is_over = summary.status == "FINISHED" and all(cell.is_done or orders.leaves_out(cell.cell) for cell in cells)
    best = KeptModels.from_run(summary).cell if is_over else None
    shown = [run for cell in record.cells if cell in by_cell for run in _all(by_cell[cell])]
    return StudyStatus(
        study=study,
        experiment=experiment,
        state="running" if held_by else "finished" if is_over else "unfinished",
        held_by=held_by or None,
        cells=cells,
        runs=len(shown),
        objective=record.objective,
        lead=record.lead,
        best=best,
        score=_mean(by_cell.get(best or "", _Runs()).finals, score_name("validation", record.lead)),
        updated=max((_last(run) for run in [*shown, summary]), default=None),
    )


def _by_cell(runs: Sequence[Run]) -> Mapping[str, _Runs]:
    """Return the runs of each cell that was begun, below the parent that counts."""
    cells, owners = dict[str, _Runs](), dict[str, _Runs]()
    for run in runs:
        if run.phase == "cell":
            owners[run.id] = cells[run.tags.get(Tags.CELL, "")] = _Runs(run)
    for run in runs:
        if run.parent in owners and run.phase in ("search", "final"):
            owner = owners[run.parent]
            (owner.trials if run.phase == "search" else owner.finals).append(run)
    return cells


def _all(runs: _Runs) -> list[Run]:
    return [*runs.trials, *runs.finals]


def _cell(cell: str, by_cell: Mapping[str, _Runs], record: StudyRecord) -> CellStatus:
    runs, searched = by_cell.get(cell, _Runs()), _searched(cell, record)
    begun = _begun(runs, record)
    trains, seeds = _trains(cell, begun, record), len(record.study["final"]["seeds"])
    own = begun if searched == cell else _begun(by_cell.get(searched, _Runs()), record)
    asked = _trials(own, record) if trains else 0
    wanted = asked if searched == cell else 0
    has_no_winner = own is not None and own.best_trial == NONE and own.counted == asked
    ended = [run for run in runs.trials if run.status != "RUNNING"]
    finals = [run for run in runs.finals if run.status == "FINISHED"]
    return CellStatus(
        cell=cell,
        trials=len(ended),
        trials_wanted=wanted,
        finals=len(finals),
        finals_wanted=0 if has_no_winner else seeds if trains else 1,
        running=sum(run.status == "RUNNING" for run in _all(runs)),
        failed=sum(run.status == "FAILED" for run in _all(runs)),
        finals_failed=sum(run.status == "FAILED" for run in runs.finals),
        best=_best(ended, record),
        score=_mean(finals, score_name("validation", record.lead)),
    )


def _begun(runs: _Runs, record: StudyRecord) -> CellRecord | None:
    return CellRecord.from_run(runs.parent, record.axes) if runs.parent else None


def _searched(cell: str, record: StudyRecord) -> str:
    """Return the cell whose search finds a cell's winner: itself, unless settings of generation are compared."""
    levels = searched_as(record.levels.get(cell, {}), record.study)
    return next((other for other, own in record.levels.items() if own == levels), cell)


def _trains(cell: str, begun: CellRecord | None, record: StudyRecord) -> bool:
    """Return whether a cell trains; an older record leaves open what a cell is that was not begun, and most do."""
    return record.levels.get(cell, begun.factors if begun else {}).get(Params.TUNING) != "none"


def _trials(begun: CellRecord | None, record: StudyRecord) -> int:
    """Return how many trials a cell is to have: as many as its search had where that is over, else the study's."""
    search = record.study["search"]
    wanted = int(search["trials"])
    if begun and begun.counted is not None and (search.get("sampler") == "grid" or begun.counted >= wanted):
        return begun.counted
    return wanted


def _best(trials: Sequence[Run], record: StudyRecord) -> float | None:
    complete = [run for run in trials if run.tags.get(Tags.OUTCOME) == "complete"]  # a pruned one cannot win
    values = [run.metrics[Metrics.OBJECTIVE] for run in complete if Metrics.OBJECTIVE in run.metrics]
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return None
    return max(finite) if record.maximize and record.objective == record.lead else min(finite)


def _mean(runs: Sequence[Run], name: str) -> float | None:
    values = [run.metrics[name] for run in runs if name in run.metrics]
    return mean(values) if values else None


def _last(run: Run) -> float:
    return run.started + (0.0 if math.isnan(run.seconds) else run.seconds)
