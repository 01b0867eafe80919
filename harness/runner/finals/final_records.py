"""Which final runs a cell is to have, and which of them are there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from harness.core.absent_value import NONE
from harness.data.label_words import answers_of
from harness.data.prompt_mixture import parts_of
from harness.data.tokenization import PromptForm
from harness.study.checked_study import Checked
from harness.study.grid import Cell
from harness.study.search_space import Hyperparameters, SearchSpace
from harness.tracking.run_records import FinalRecord
from harness.tracking.stored_run import Run
from harness.tracking.transfer_names import contents

__all__ = ["final_records", "standing"]


def final_records(
    cell: Cell,
    winner: Hyperparameters,
    space: SearchSpace,
    checked: Checked,
    *,
    test_digest: str,
    generality_digest: str,
) -> dict[str, FinalRecord]:
    """Return the final runs that a cell with a winner is to have, by seed: none without one.

    Args:
        cell: Which.
        winner: Empty where none is known.
        space: What it was drawn from.
        checked: The study.
        test_digest: The test rows.
        generality_digest: What forgetting is measured on.
    """
    final = checked.study.final
    seeds = [str(seed) for seed in final.seeds if winner] if cell.tuning.trains else [NONE]
    record = partial(
        FinalRecord,
        cell=cell.id,
        hyperparameters=space.format(winner),
        test_digest=test_digest,
        generality_digest=generality_digest,
        asked_under=contents(_others(cell, checked)) if cell.tuning.trains else {},
    )
    return {seed: record(seed=seed) for seed in seeds}


def _others(cell: Cell, checked: Checked) -> list[PromptForm]:
    """Return the prompts that a cell's final models are asked under beside its own: of a mixture always its parts."""
    parts, transfers = parts_of(cell.prompt), checked.study.final.transfer
    others = [prompt for prompt in checked.prompts if prompt.name != cell.prompt.name and not parts_of(prompt)]
    alike = [prompt for prompt in others if answers_of(prompt) == answers_of(cell.prompt)]
    return [prompt for prompt in alike if transfers or prompt.name in parts]


def standing(finals: Iterable[Run], records: Mapping[str, FinalRecord], space: SearchSpace) -> dict[str, str]:
    """Return, by seed, the ids of the runs that are among the final runs that a cell is to have; the oldest of each."""
    there = dict[str, str]()
    for run in finals:
        record = FinalRecord.from_run(run, space.params)
        belongs = record.seed in records and record.is_of(records[record.seed])
        if belongs and (run.status == "FINISHED" or record.diverged):
            there.setdefault(record.seed, run.id)
    return there
