"""The executors by name: an entry here is all that another way to run jobs needs."""

from __future__ import annotations

from collections.abc import Callable

from harness.core.progress import Progress
from harness.core.workspace import Workspace
from harness.runner.executors.protocol import Executor
from harness.study.check import Checked

__all__ = ["EXECUTORS"]


def _in_process(checked: Checked, workspace: Workspace, progress: Progress) -> Executor:
    from harness.runner.executors.in_process import InProcess  # torch, which a study with nothing left to do needs not

    return InProcess(checked, workspace, progress)


EXECUTORS: dict[str, Callable[[Checked, Workspace, Progress], Executor]] = {"local": _in_process}
"""Names to what makes an executor of a checked study, and loads its model; it is told where recordings are kept, and
whom to tell how far its jobs are, and of what takes time or does not work."""
