"""How often the test split was scored for a study, and how often before the study was last edited."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from harness.tracking.base import Run

__all__ = ["Looks", "looks"]

CLOSED = "none"
"""The test digest of a run that was made while test was closed."""


class Looks(NamedTuple):
    """What the store knows of a study's looks at test."""

    scorings: int
    """Final runs and reference rows that scored test, whatever became of them since."""
    before_edit: int
    """Those until the last one that an earlier edition of the study made; 0 where there is one edition alone."""


def looks(runs: Sequence[Run], edition: str | None) -> Looks:
    """Count the runs that scored test.

    Superseded, interrupted and deleted ones count: the number was there to be seen. What they have in common is the
    digest of the test rows, which neither a cell's parent nor a trial carries, and a score on them.

    Args:
        runs: All runs of a study, deleted ones among them, in any order.
        edition: From `harness.cells.edition`, of the study as it is now; runs that were made before there were
            editions say nothing of edits.
    """
    scored = [run for run in runs if run.tags.get("test_digest", CLOSED) != CLOSED and _scored(run)]
    scored.sort(key=lambda run: run.started)
    others = [run.tags.get("edition", edition) not in (None, edition) for run in scored]
    return Looks(len(scored), max((number for number, other in enumerate(others, start=1) if other), default=0))


def _scored(run: Run) -> bool:
    return any(name.startswith("test/") for name in run.metrics)
