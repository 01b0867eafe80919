"""The executors by name: an entry here is all that another way to run jobs needs."""

from __future__ import annotations

from collections.abc import Callable

from harness.core.closest_match import closest
from harness.core.errors import UserError
from harness.core.workspace import Workspace
from harness.runner.executors.in_process import InProcess
from harness.runner.executors.protocol import Executor
from harness.study.check import Checked

__all__ = ["EXECUTORS", "LOCAL", "open_executor"]

LOCAL = "local"
"""The executor of a study that names none."""

EXECUTORS: dict[str, Callable[[Checked, Workspace, Callable[[str], None]], Executor]] = {LOCAL: InProcess}
"""Names to what makes an executor of a checked study, and is told what takes time or does not work."""


def open_executor(name: str, checked: Checked, workspace: Workspace, say: Callable[[str], None]) -> Executor:
    """Make an executor, which loads the study's model.

    Args:
        name: One of `EXECUTORS`.
        checked: The study.
        workspace: Where recordings are kept.
        say: Told what takes time or does not work.

    Raises:
        UserError: There is none of that name.
    """
    if name not in EXECUTORS:
        raise UserError(f"unknown executor {name!r}; {closest(name, EXECUTORS)}")
    return EXECUTORS[name](checked, workspace, say)
