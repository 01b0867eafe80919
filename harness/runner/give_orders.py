"""Orders to a study that is being run elsewhere, or will be again: pause, go on, stop, leave cells out, draw more."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import NamedTuple

from harness.core.closest_match import closest
from harness.core.errors import UserError
from harness.study.find_study import known_study
from harness.tracking.mlflow.mlflow_tracker import MlflowTracker
from harness.tracking.mlflow.study_lease import Holder
from harness.tracking.orders import MOST, PAUSE, STOP, Orders, moved_by_more
from harness.tracking.stored_run import Run
from harness.tracking.study_record import StudyRecord, summary_of

__all__ = ["draw_more", "halt", "leave_out", "resume"]


class _Ordered(NamedTuple):
    """A study that is given an order."""

    name: str
    tracker: MlflowTracker
    summary: Run
    record: StudyRecord

    @property
    def is_run(self) -> bool:
        """Whether some process runs it now."""
        return bool(Holder(self.tracker.uri, self.tracker.pages.experiment).now())

    def give(self, change: Callable[[Orders], Orders]) -> Orders:
        """Change its orders, and return them."""
        now = change(Orders.of(self.tracker.run(self.summary.id)))
        self.tracker.tags(self.summary.id, now.tags())
        return now

    @property
    def heeded(self) -> str:
        """When they are heeded, to end a sentence."""
        return "" if self.is_run else "; no process runs it now, the next `harness run` heeds it"


def _ordered(study: str) -> _Ordered:
    name, tracker = known_study(study)
    summary = summary_of(tracker.runs(phase="summary"))
    if summary is None:
        raise UserError(f"study {name!r} was never begun; run it first")
    return _Ordered(name, tracker, summary, StudyRecord.from_run(tracker, summary))


def halt(study: str, *, stops: bool = False) -> str:
    """Have a study that is being run pause, or stop, and return what to tell.

    Raises:
        UserError: The store does not know it, or nobody runs it.
    """
    ordered = _ordered(study)
    if not ordered.is_run:
        raise UserError(f"study {ordered.name!r} is not being run; `harness status {ordered.name}` says how far it is")
    ordered.give(lambda orders: orders._replace(state=STOP if stops else PAUSE))
    if stops:
        return f"study {ordered.name} stops; `harness run` goes on from there"
    return f"study {ordered.name} pauses after the step that it is at; `harness resume {ordered.name}` has it go on"


def resume(study: str) -> str:
    """Have a study that pauses go on, and return what to tell.

    Raises:
        UserError: The store does not know it, or it does not pause.
    """
    ordered = _ordered(study)
    if Orders.of(ordered.summary).state != PAUSE:
        raise UserError(f"study {ordered.name!r} does not pause; `harness run` goes on with one that was stopped")
    ordered.give(lambda orders: orders._replace(state=""))
    return f"study {ordered.name} goes on"


def leave_out(study: str, pattern: str, *, undo: bool = False) -> str:
    """Have a study leave cells out from now on, or take them in again, and return what to tell.

    Raises:
        UserError: The store does not know it, or the pattern names none of its cells, or was not left out.
    """
    ordered = _ordered(study)
    cells = [cell for cell in ordered.record.cells if fnmatchcase(cell, pattern)]
    if "," in pattern or not cells:
        raise UserError(f"pattern {pattern!r} matches no cell; {closest(pattern, ordered.record.cells)}")
    known = Orders.of(ordered.summary).skipped
    if undo and pattern not in known:
        raise UserError(f"pattern {pattern!r} is not left out; {closest(pattern, known)}")
    others = tuple(one for one in known if one != pattern)
    ordered.give(lambda orders: orders._replace(skipped=others if undo else (*others, pattern)))
    if undo:
        return f"study {ordered.name}: {', '.join(cells)} are taken in again by the next `harness run`"
    return f"study {ordered.name}: {', '.join(cells)} are left out from now on{ordered.heeded}"


def draw_more(study: str, trials: int) -> str:
    """Have a study draw more trials in each cell, or fewer of those that it was given so, and return what to tell.

    Raises:
        UserError: The store does not know it, or its searches cannot be made longer so, or it would have too few.
    """
    ordered = _ordered(study)
    if moved := moved_by_more(ordered.record.study["search"]):
        raise UserError(
            f"study {ordered.name!r}: more trials move {moved}; set search.trials, and all such cells are new"
        )
    given = Orders.of(ordered.summary).more
    if not 0 <= given + trials <= MOST or not trials:
        back = f", or from -{given} on to take back what was added" if given else ""
        raise UserError(f"--trials is {trials}; give a number from 1 to {MOST - given:,}{back}")
    ordered.give(lambda orders: orders._replace(more=given + trials))
    return f"study {ordered.name}: each cell has {given + trials} trials more than its file says{ordered.heeded}"
