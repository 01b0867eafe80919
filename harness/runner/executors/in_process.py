"""The executor that trains in this process, one job after the other."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

from harness.core.example import Example
from harness.core.workspace import Workspace
from harness.runner.executors.job_run import JobRun
from harness.runner.executors.protocol import Event, Job, JobQueue, Reply
from harness.study.check import Checked
from harness.training.forgetting import Forgetting
from harness.training.trainer import ModelFacts, Trainer

__all__ = ["InProcess"]


class InProcess:
    """Does jobs one by one, in the order of the queue.

    Args:
        checked: The study, whose model is loaded now.
        workspace: Where recordings are kept.
        say: Told what takes time or does not work.
    """

    def __init__(self, checked: Checked, workspace: Workspace, say: Callable[[str], None]) -> None:
        self._checked, self._trainer = checked, Trainer(checked, workspace, say)
        setup, general, study = self._trainer.setup, checked.general, checked.study
        sizes = {"batch_size": study.training.batch_size, "prompts": study.generation.batch_size}
        self._forgetting = (
            Forgetting(general, setup.loaded, forward=setup.forward, **sizes) if general and study.final.seeds else None
        )

    def facts(self) -> ModelFacts:
        """Return what the records of the study say of its model."""
        facts = self._trainer.facts(self._checked.cells)
        return facts._replace(forgetting=self._forgetting.digest if self._forgetting else None)

    def open_test(self, examples: Sequence[Example]) -> None:
        """Hand the test split in."""
        self._trainer.setup.open_test(examples)

    def run(self, queue: JobQueue) -> Generator[Event, Reply, None]:
        """Do jobs until none waits."""
        while names := queue.waiting():
            yield from self.do(queue.take(names[0]))

    def do(self, job: Job) -> Generator[Event, Reply, None]:
        """Do one job."""
        return JobRun(job, self._checked, self._trainer, self._forgetting).events()

    def recorded(self) -> int:
        """Return the bytes of the recordings that were made or found."""
        return self._trainer.recorded
