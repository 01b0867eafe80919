"""The executors by name: an entry here is all that another way to run jobs needs."""

from __future__ import annotations

from collections.abc import Callable

from harness.core.progress import Progress
from harness.core.workspace import Workspace
from harness.runner.executors.crew import Crew
from harness.runner.executors.protocol import Executor
from harness.study.check import Checked

__all__ = ["EXECUTORS"]


def _local(checked: Checked, workspace: Workspace, progress: Progress, crew: Crew) -> Executor:
    from harness.runner.executors.in_process import InProcess  # torch, which a study with nothing left to do needs not
    from harness.runner.executors.local_workers import LocalWorkers, NotSent

    if not crew.is_alone:
        try:
            return LocalWorkers(checked, workspace, progress, crew)
        except NotSent as why:
            progress.say(f"{why}; so all runs are done in this process, one after the other")
    return InProcess(checked, workspace, progress)


EXECUTORS: dict[str, Callable[[Checked, Workspace, Progress, Crew], Executor]] = {"local": _local}
"""Names to what makes an executor of a checked study, and loads its model; it is told where recordings are kept, whom
to tell how far its jobs are, and of what takes time or does not work, and how many workers there are to be."""
