"""The trials of a cell as both stores hold them, made to agree before anything runs.

A trial's run is ended in tracking first and told to Optuna second, with what the run says beside it. So either store
can make good what the other one lost: after a kill, or where one of them is an older copy, another one or a new one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from optuna.trial import FrozenTrial

from harness.runner.resume.missing_runs import StudyRuns
from harness.runner.search.ended_trial import INDEX, RECORD, EndedTrial, Outcome, trial_facts
from harness.runner.search.optuna_search import CellSearch
from harness.tracking.memory_names import FITTED
from harness.tracking.run_records import TrialRecord
from harness.tracking.schema import Metrics, Status, Tags, score_name
from harness.tracking.step_names import PRUNED_AFTER_STEP, STOPPED_AFTER_STEP
from harness.tracking.stored_run import Run

__all__ = ["Copied", "settle_trials", "trial_notes"]

ENDS: Mapping[str, Status] = {"complete": "FINISHED", "pruned": "KILLED", "diverged": "FAILED"}
"""How the run of a trial ends."""

EARLY = (Tags.PRUNED_AFTER, PRUNED_AFTER_STEP, Tags.STOPPED_AFTER, STOPPED_AFTER_STEP)
NOTED = (Tags.TRUNK, Tags.ERROR, *EARLY, Tags.WARM_START, *FITTED)


class Copied(NamedTuple):
    """Finished trials that one store lacked and was given by the other."""

    to_search: int
    to_tracking: int

    def __add__(self, other: tuple[int, ...]) -> Copied:  # type: ignore[override]
        return Copied(self.to_search + other[0], self.to_tracking + other[1])

    def in_words(self) -> str:
        """Return the sentence that tells the user."""
        return (
            f"tracking store and search store differed: {self.to_search} finished trials were missing in the search "
            f"store, {self.to_tracking} in the tracking store; they were copied there, and are not run again"
        )


def settle_trials(cell: str, search: CellSearch, runs: StudyRuns, objective: str) -> Copied:
    """Have a cell's search and its tracked runs hold the same finished trials, and retire every other run.

    A trial goes by its index and its hyperparameters. Where the stores have two under one index, both stay: the
    tracked one is counted behind all others.

    Args:
        cell: The cell's id.
        search: Its trials in Optuna.
        runs: The study's.
        objective: What trials are judged by.
    """
    tracked = runs.children(cell, "search")
    names = {run.tags[Tags.OPTUNA_TRIAL]: run for run in tracked}
    search.recover(lambda number: _ended_as(search.drawn(number), names.get(str(number))))
    told = {(trial.user_attrs[INDEX], *search.drawn(trial.number).values()): trial for trial in search.finished()}
    unknown: list[tuple[TrialRecord, Run]] = []
    for run in tracked:
        record = TrialRecord.from_run(run, search.space.params)
        if run.status == "RUNNING":
            runs.interrupt(run)
        elif record.outcome is None or (record.outcome == "complete" and math.isnan(record.value)):
            runs.retire(run)
        elif trial := told.pop((record.index, *record.hyperparameters.values()), None):
            if record.optuna_trial != trial.number:
                runs.tag(run.id, {Tags.OPTUNA_TRIAL: str(trial.number)})
        else:
            unknown.append((record, run))
    for trial in told.values():
        _track(trial, cell, search, runs, objective)
    for record, run in sorted(unknown, key=lambda pair: pair[0].index):
        _tell(record, run, search, runs, objective)
    return Copied(len(unknown), len(told))


def trial_notes(run: Run) -> dict[str, Any]:
    """Return what Optuna is to keep beside a trial of its run, beyond what it knows itself."""
    return {"metrics": dict(run.metrics), "tags": {name: run.tags[name] for name in NOTED if name in run.tags}}


def _ended_as(drawn: Mapping[str, str], run: Run | None) -> tuple[Outcome, float | None] | None:
    """Return how a trial of Optuna's that a kill left open ended, if its run did."""
    if run is None or run.status == "RUNNING" or not drawn.items() <= run.params.items():
        return None
    if run.tags.get(Tags.OUTCOME) == "complete":
        return "complete", run.metrics[Metrics.OBJECTIVE]
    return ("pruned", None) if run.tags.get(Tags.OUTCOME) == "pruned" else None


def _tell(record: TrialRecord, run: Run, search: CellSearch, runs: StudyRuns, objective: str) -> None:
    """Add a tracked trial to the search."""
    taken = {trial.user_attrs[INDEX] for trial in search.finished()}
    index = search.next_index() if record.index in taken else record.index
    assert record.outcome is not None
    curve = runs.tracker.histories([run.id], [score := score_name("validation", objective)])[run.id][score]
    value = record.value if record.outcome == "complete" else None
    ended = EndedTrial(record.outcome, value, curve, run.tags.get(Tags.ERROR, ""))
    if index != record.index:  # first: after a kill in here, the run and the trial must be known for one
        runs.tracker.mark(run.id, phase="search", name=f"{run.tags[Tags.CELL]} trial {index}")
        runs.tag(run.id, {Tags.TRIAL: str(index)})
    hyperparameters = search.space.parse(run.params)
    number = search.add(index, hyperparameters, ended, trial_facts(objective, hyperparameters, run.id))
    runs.tag(run.id, {Tags.OPTUNA_TRIAL: str(number)})


def _track(trial: FrozenTrial, cell: str, search: CellSearch, runs: StudyRuns, objective: str) -> None:
    """Record a trial that the search holds as a run."""
    ended, notes = EndedTrial.of(trial), trial.user_attrs.get(RECORD, {"metrics": {}, "tags": {}})
    record = TrialRecord(
        index=int(trial.user_attrs[INDEX]),
        optuna_trial=trial.number,
        hyperparameters=search.drawn(trial.number),
        seed=str(search.spec.seed),
    )
    tags = {**notes["tags"], **record.tags(), Tags.RESTORED: "search store"}
    run = runs.start(cell, f"trial {record.index}", phase="search", params=record.params(), tags=tags)
    for at, value in ended.curve.items():
        runs.tracker.metrics(run, {score_name("validation", objective): value}, step=at)
    own = (
        {}
        if ended.value is None
        else dict.fromkeys((Metrics.OBJECTIVE, score_name("validation", objective)), ended.value)
    )
    runs.tracker.metrics(run, {**own, **notes["metrics"]}, step=max(ended.curve, default=0))
    runs.end(run, ENDS[ended.outcome], tags={Tags.OUTCOME: ended.outcome})
