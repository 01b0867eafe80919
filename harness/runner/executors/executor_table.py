"""The executors by name: an entry here is all that another way to run jobs needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from harness.core.closest_match import closest
from harness.core.errors import UserError
from harness.core.progress import Progress
from harness.core.workspace import Workspace
from harness.runner.executors.crew import Crew, Workers, cluster_crew, crew_of
from harness.runner.executors.protocol import Executor
from harness.study.checked_study import Checked

if TYPE_CHECKING:
    from harness.runner.executors.worker_engine import Engine

__all__ = ["EXECUTORS", "crew_for"]


Make = Callable[[Checked, Workspace, Progress, Crew], Executor]


def _local(checked: Checked, workspace: Workspace, progress: Progress, crew: Crew) -> Executor:
    from harness.runner.executors.local_workers import LocalWorkers

    return _abreast(checked, workspace, progress, crew, lambda: LocalWorkers(checked.file, crew))


def _ray(checked: Checked, workspace: Workspace, progress: Progress, crew: Crew) -> Executor:
    from harness.runner.executors.ray_workers import RayWorkers

    return _abreast(checked, workspace, progress, crew, lambda: RayWorkers(checked, workspace, crew, progress.say))


def _abreast(
    checked: Checked, workspace: Workspace, progress: Progress, crew: Crew, engine: Callable[[], Engine]
) -> Executor:
    """Return workers, or this process where there are to be none, or none that can do these jobs."""
    from harness.runner.executors.in_process import InProcess  # torch, which a study with nothing left to do needs not
    from harness.runner.executors.side_by_side import NotSent, SideBySide

    if not crew.is_alone:
        try:
            return SideBySide(checked, workspace, progress, engine())
        except NotSent as why:
            progress.say(f"{why}; so all runs are done in this process, one after the other")
    return InProcess(checked, workspace, progress)


EXECUTORS: dict[str, Make] = {"local": _local, "ray": _ray}
"""Names to what makes an executor of a checked study, and loads its model; it is told where recordings are kept, whom
to tell how far its jobs are, and of what takes time or does not work, and how many workers there are to be."""


def crew_for(
    executor: str, workers: Workers | None, devices: Sequence[str], device: str, address: str | None = None
) -> Crew:
    """Return who trains, as a command asks for it; takes what `crew_of` does, and a cluster's address.

    Raises:
        UserError: There is no such executor, or no such crew, or no cluster there.
    """
    if executor not in EXECUTORS:
        raise UserError(f"unknown executor {executor!r}; {closest(executor, EXECUTORS)}")
    if executor == "ray":
        from harness.runner.executors.ray_cluster import cluster_address

        return cluster_crew(workers, devices, device, cluster_address(address))
    if address is not None:
        raise UserError(f"address {address!r} is a cluster's, and executor {executor!r} has none; add --executor ray")
    return crew_of(workers, devices, device)
