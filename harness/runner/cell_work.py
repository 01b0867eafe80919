"""What there is to do of a cell, done and missing, for the bar and the time left."""

from __future__ import annotations

from collections.abc import Sequence

from harness.core.absent_value import NONE
from harness.core.progress import CellWork
from harness.results.score_forecast import Forecast
from harness.runner.finals.final_records import final_records, standing
from harness.runner.resume.missing_runs import StudyRuns
from harness.runner.search.trials import SearchQueue
from harness.study.checked_study import Checked
from harness.study.grid import Cell, searched_by
from harness.study.search_space import SearchSpace
from harness.training.model_facts import ModelFacts

__all__ = ["cell_work"]

SCORING = 0.1
"""What scoring takes of a run, beside the training of all weights; a guess for the time left, until runs are seen."""


def cell_work(
    cell: Cell,
    *,
    queue: SearchQueue,
    chosen: Sequence[Cell],
    space: SearchSpace,
    checked: Checked,
    model: ModelFacts,
    runs: StudyRuns,
    forecast: Forecast | None,
) -> CellWork:
    """Return what is done of a cell and what is missing: all final runs where another trial may still win."""
    lead = searched_by(cell, checked.cells).id
    searched, missing = queue.trials(cell.id)
    final, (trainable, total) = checked.study.final, model.parameters[cell.id]
    weight, finals, there = trainable / total + SCORING, len(final.seeds), 0
    if not queue.trials(lead)[1]:
        test, general = checked.test_digest or NONE, model.forgetting or NONE
        winner = queue.winner(lead)
        records = final_records(cell, winner, space, checked, test_digest=test, generality_digest=general)
        there = len(standing(runs.children(cell.id, "final"), records, space))
        finals = len(records) - there
    if cell not in chosen:
        finals, there = 0, 0
    if lead != cell.id:  # answered by weights that are there
        weight = SCORING
    if forecast and (planned := forecast.cells.get(cell.id)) and planned.trials + planned.finals:
        weight = planned.seconds / (planned.trials + planned.finals)
    return CellWork(cell.levels, missing, finals, searched + there, weight)
