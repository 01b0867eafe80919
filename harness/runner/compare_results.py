"""Two studies, cells or runs against each other: what `harness.compare` takes, and the command ``harness compare``."""

from __future__ import annotations

from harness.core.failures import in_words
from harness.core.workspace import HERE
from harness.report.compare import compare_studies
from harness.report.compare.compare_studies import Compared
from harness.runner.result import Result
from harness.runner.study import Study
from harness.tracking.address import StudyAddress

__all__ = ["compare"]

Side = str | Result | Study


@in_words()
def compare(a: Side, b: Side, *, metric: str | None = None, split: str = "test") -> Compared:
    """Compare the stored predictions of two sides, paired by example; no model is asked.

    Args:
        a: A study or its result, which stand for its best cell; a study's name or file, ``study:prompt/tuning``, or a
            final run's id or how that begins.
        b: What A is held against, likewise; a name is looked up in the workspace of the other side.
        metric: Left out: the one that leads both studies.
        split: ``test``, or ``validation``.

    Returns:
        Both sides, and in ``comparison`` what A has over B: difference, interval and p-value.

    Raises:
        UserError: A side is not there, both hold the same run, or data, metrics or splits differ: all of it at once.
    """
    workspaces = [side.workspace for side in (a, b) if not isinstance(side, str)]
    with next(iter(workspaces), HERE).in_force():
        return compare_studies.compare(_called(a), _called(b), metric=metric, split=split)


def _called(side: Side) -> str | StudyAddress:
    if isinstance(side, Study):
        return side.address
    return side.address or side.results.study if isinstance(side, Result) else side
