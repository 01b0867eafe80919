"""What a final run is asked of test: its rows under its own prompt, then under the study's others; each once.

What the very same weights answered before is taken over: an edit was taken back, say, or a prompt was added.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.runner.executors.protocol import Reply
from harness.runner.objective import Objective
from harness.runner.resume.missing_runs import StudyRuns
from harness.tracking.prediction_table import copy_predictions, is_whole
from harness.tracking.schema import Tags, score_name
from harness.tracking.stored_run import Run
from harness.tracking.transfer_names import asked_under, transfer_file, transfer_part

__all__ = ["TestAnswers"]

OWN = ""
"""Stands for the run's own prompt."""


@dataclass
class TestAnswers:
    """The questions to one final run that are open."""

    __test__ = False  # for pytest, which takes the name for a test's

    run: str
    cell: str
    others: Mapping[str, str]
    """Digests of the other prompts that it is to answer under, by their names."""
    objective: Objective
    runs: StudyRuns
    _open: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self._open = [OWN, *self.others]

    def next(self, weights: str, values: dict[str, float]) -> Reply:
        """Return the next question, none where all are answered.

        Args:
            weights: Digest of what trained.
            values: The run's scores, to which those are added that another run has.
        """
        while self._open:
            if not self._is_answered(under := self._open.pop(0), weights, values):
                return Reply(score="test", under=under)
        return Reply()

    def _is_answered(self, under: str, weights: str, values: dict[str, float]) -> bool:
        """Take over what the very same weights answered to test before, if they did.

        The tag comes first: a run that is about to score test counts as one that did.
        """
        part, file = (transfer_part(under), transfer_file(under)) if under else ("test", "test")
        tracker = self.runs.tracker
        twins = self.runs.twins(self.run, self.cell, weights, scored=score_name(part, self.objective.lead))
        same = (run for run in twins if not under or self._asked_alike(run, under))
        twin = next((run for run in same if is_whole(tracker, run, file)), None)
        if under == OWN:
            tracker.tags(self.run, {Tags.SCORED: twin.id if twin else "yes"})
        if twin is None:
            return False
        copy_predictions(tracker, twin, self.run, file, self.runs.kept_off)
        values |= {name: value for name, value in twin.metrics.items() if name.startswith(f"{part}/")}
        return True

    def _asked_alike(self, run: Run, under: str) -> bool:
        return asked_under(run).get(under) == self.others[under]
