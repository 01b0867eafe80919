"""Accesses to the test split: how often it was scored for a study, and how often before rows or study were changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from harness.core.absent_value import NONE
from harness.tracking.schema import Metrics, Tags
from harness.tracking.stored_run import Run

__all__ = ["TestAccess", "count_accesses"]


@dataclass(frozen=True)
class TestAccess:
    """A study's accesses to test, as far as the store knows of them."""

    __test__: ClassVar[bool] = False  # pytest would take the name for a test's

    scorings: int = 0
    """Final runs and reference rows that scored test, whatever became of them since."""
    other_rows: int = 0
    """Those of them that scored other test rows than the study has now."""
    before_edit: int = 0
    """Of those that scored the rows it has now: all until the last one that an earlier edition of the study made."""


def count_accesses(runs: Sequence[Run], *, edition: str | None, rows: str | None) -> TestAccess:
    """Count the runs that scored test.

    Superseded, interrupted and deleted ones count: the number was there to be seen.

    Args:
        runs: All runs of a study, deleted ones among them, in any order.
        edition: From `harness.study.cell_digests.edition`, of the study as it is now; runs that were made before
            there were editions say nothing of edits.
        rows: The digest of the test rows that the study has now; of all rows alike if it is not known.
    """
    scored = [run for run in runs if run.tags.get(Tags.TEST_DIGEST, NONE) != NONE and _scored(run)]
    same = [run for run in scored if rows in (None, run.tags[Tags.TEST_DIGEST])]
    same.sort(key=lambda run: run.started)
    edited = [run.tags.get(Tags.EDITION, edition) not in (None, edition) for run in same]
    before = max((number for number, other in enumerate(edited, start=1) if other), default=0)
    return TestAccess(len(scored), len(scored) - len(same), before)


def _scored(run: Run) -> bool:
    scored = run.tags.get(Tags.SCORED)
    return scored == "yes" if scored else any(name.startswith(Metrics.TEST) for name in run.metrics)
