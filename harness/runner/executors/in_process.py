"""The executor that trains in this process, one job after the other."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from functools import partial

from harness.core.example import Example
from harness.core.progress import Progress
from harness.core.workspace import Workspace
from harness.runner.executors.job_checkpoint import job_checkpoint
from harness.runner.executors.job_run import JobRun
from harness.runner.executors.protocol import Event, Job, JobQueue, Reply
from harness.runner.executors.resident_model import ModelsInTurn, Told
from harness.study.checked_study import Checked
from harness.training.model_facts import ModelFacts

__all__ = ["InProcess"]


class InProcess:
    """Does jobs one by one, in the order of the queue; a study's first model is loaded when this is made.

    Of several models one is there at a time, and all that waits for it is done before the next is loaded; so it is with
    a model and the same one under a classification head.

    Args:
        checked: The study.
        workspace: Where recordings are kept.
        progress: Told how far jobs are, and of what takes time or does not work.
        share: How many processes that do the same divide the memory between them.
        loaded: Told of each model that is loaded; see `harness.runner.executors.resident_model.Loaded`.
    """

    def __init__(
        self,
        checked: Checked,
        workspace: Workspace,
        progress: Progress,
        *,
        share: int = 1,
        loaded: Told = lambda model, manner: None,
    ) -> None:
        self._checked, self._workspace, self._progress = checked, workspace, progress
        self._models = ModelsInTurn(checked, workspace, progress, share, loaded)
        self._model_of = {cell.id: cell.resident for cell in checked.cells}

    def facts(self) -> ModelFacts:
        """Return what the records of the study say of its model, or of each of them."""
        return self._models.facts()

    def open_test(self, examples: Sequence[Example]) -> None:
        """Hand the test split in."""
        self._models.open_test(examples)

    def run(self, queue: JobQueue) -> Generator[Event, Reply, None]:
        """Do jobs until none waits."""
        while names := queue.waiting():
            here = (name for name in names if self._model_of[queue.cell(name)] == self._models.resident.model)
            yield from self.do(queue.take(next(here, names[0])))

    def do(self, job: Job) -> Generator[Event, Reply, None]:
        """Do one job."""
        own = self._models.of(self._model_of[job.cell])
        tell, device = partial(self._progress.at, job.name), own.trainer.setup.loaded.model.device.type
        kept = job_checkpoint(job, self._checked, self._workspace, device=device, say=self._progress.say)
        return JobRun(job, self._checked, own.trainer, own.forgetting, tell, kept).events()

    def recorded(self) -> int:
        """Return the bytes of the recordings that were made or found."""
        return sum(self.recordings().values())

    def recordings(self) -> Mapping[str, int]:
        """Return them by what names a recording, for whoever shares them with others."""
        return self._models.recordings()

    def close(self) -> None:
        """Do nothing: the model goes with the process."""
