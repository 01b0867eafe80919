"""Final runs that cells have in common: the untrained model is asked once, whatever rows others train on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from harness.core.cost_names import PREFIX, Costs
from harness.core.example import Split
from harness.runner.finals.final_records import standing
from harness.runner.resume.missing_runs import StudyRuns
from harness.study.grid import Cell
from harness.study.search_space import SearchSpace
from harness.tracking.prediction_table import copy_predictions, is_whole
from harness.tracking.run_records import FinalRecord, scores_of
from harness.tracking.schema import Metrics, Tags
from harness.tracking.stored_run import Run

__all__ = ["answered_for", "take_over"]

TAKEN = (Tags.TRUNK, Tags.WEIGHTS_DIGEST, Tags.OUTCOME, Tags.ERROR)
"""Tags that say how a run came out."""

NOTHING: Mapping[str, float] = MappingProxyType({PREFIX + name: 0.0 for name in Costs._fields})
"""What a run costs whose answers are there."""


def answered_for(
    record: FinalRecord, cells: Iterable[Cell], space: SearchSpace, runs: StudyRuns, split: Split
) -> Run | None:
    """Return a final run of one of some cells that answers all that a final run is to answer, ``None`` without one.

    Args:
        record: Of the run that is missing.
        cells: Those that it may be of.
        space: What the study searches.
        runs: Those that are there.
        split: The last that is answered, whose predictions must be whole.
    """
    for cell in cells:
        finals = {run.id: run for run in runs.children(cell.id, "final")}
        there = standing(finals.values(), {record.seed: record}, space)
        if (run := finals.get(there.get(record.seed, ""))) and is_whole(runs.tracker, run, split):
            return run
    return None


def take_over(donor: Run, record: FinalRecord, title: str, note: str, runs: StudyRuns) -> None:
    """Record a final run that another cell's answers for; it costs nothing.

    Args:
        donor: It has ended.
        record: Of the run that is missing.
        title: What it is called below its cell.
        note: Its description.
        runs: Takes it.
    """
    tracker = runs.tracker
    said = {name: donor.tags[name] for name in TAKEN if name in donor.tags}
    asked = {Tags.SCORED: donor.id} if Tags.SCORED in donor.tags else {}
    tags = {**record.tags(), **said, **asked, Tags.NOTE: note}
    run = runs.start(record.cell, title, phase="final", params=record.params(), tags=tags)
    splits: tuple[Split, ...] = ("validation", "test")
    for split in splits:
        if is_whole(tracker, donor, split):
            copy_predictions(tracker, donor, run, split, runs.kept_off)
    tracker.metrics(run, scores_of(donor), step=0)
    runs.end(run, donor.status, metrics={**NOTHING, Metrics.TRAINABLE: 0.0})
