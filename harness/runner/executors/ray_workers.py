"""Workers on the machines of a Ray cluster: each a process that a Ray actor starts there and relays for."""

from __future__ import annotations

import os
import pickle
import platform
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import cast

from harness.core.errors import UserError
from harness.core.example import digest
from harness.core.workspace import Workspace
from harness.runner.executors import ray_outpost
from harness.runner.executors.crew import VISIBLE, Crew
from harness.runner.executors.job_checkpoint import LIBRARIES
from harness.runner.executors.ray_cluster import Cluster, Needs
from harness.runner.executors.ray_worker import LISTENING, RayWorker
from harness.runner.executors.side_by_side import NotSent
from harness.runner.executors.worker_engine import Member
from harness.runner.executors.worker_messages import Footprint, Setup
from harness.study.checked_study import Checked
from harness.study.package_archive import package_archive
from harness.study.shipped_study import shipped

__all__ = ["RayWorkers", "needs_of"]

LOOKING = 2.0
"""Seconds between two looks at the cluster."""

WAITING = 10.0
"""Seconds after which it is told for what workers wait."""

HOPELESS = 120.0
"""Seconds for which there may be no machine that could take a worker where there is no other worker: one may come."""


class RayWorkers:
    """The engine of `harness.runner.executors.side_by_side` for a cluster.

    Args:
        checked: The study, which is sent as it was read.
        workspace: Where it is run.
        crew: How many workers, where.
        say: Told for what workers wait.

    Raises:
        NotSent: The study cannot be sent.
        UserError: The cluster cannot be used.
    """

    def __init__(self, checked: Checked, workspace: Workspace, crew: Crew, say: Callable[[str], None]) -> None:
        self.study, self._crew, self._say = shipped(checked), crew, say
        try:
            sent = pickle.dumps(self.study)
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            raise NotSent(f"this study cannot be sent to another machine: {error}") from error
        self._cluster = Cluster(crew.address or "")
        import ray

        ray.cloudpickle.register_pickle_by_value(ray_outpost)
        self._ray, self._outpost = ray, ray.remote(ray_outpost.Outpost)
        self._code, self._sent = ray.put(package_archive()), ray.put(sent)
        home = workspace.folder.absolute()
        self._home = str(home) if self._cluster.is_here else None
        self._key = digest([platform.node(), os.getuid(), str(home)])
        self._machines = self._cluster.machines()
        self._needs = needs_of(crew, self._machines)
        self._looked, self._told, self._hopeless_since = 0.0, "", time.monotonic()

    @property
    def workers(self) -> int:
        """How many there are to be: those that were asked for, or as many as the cluster has room for by now."""
        room = sum(map(self._needs.fitting, self._machines))
        return max(1, room) if self._crew.is_auto else self._crew.workers

    def share(self, number: int) -> int:
        """Return how many workers one machine may have, where they share its memory."""
        most = max(map(self._needs.fitting, self._machines), default=1)
        return 1 if self._needs.gpus else max(1, min(most, self.workers))

    def begin(self, number: int, setup: Setup, log: Path) -> RayWorker:
        """Ask for an actor; it begins when a machine has what it needs."""
        needs = self._needs
        actor = self._outpost.options(
            num_cpus=needs.cpus, num_gpus=needs.gpus, memory=needs.memory or None, max_restarts=0
        ).remote()
        hidden = {} if needs.gpus else {VISIBLE: ""}
        begun = actor.begin.remote(
            self._code,
            self._sent,
            pickle.dumps(setup._replace(study=None)),  # type: ignore[arg-type]  # it is sent once for all
            libraries={library: version(library) for library in LIBRARIES},
            environment={"OMP_NUM_THREADS": str(needs.cpus), **hidden},
            home=self._home,
            key=self._key,
        )
        return RayWorker(number, actor, begun, log, self._cluster.has)

    def make_room(self, taken: Footprint) -> None:
        """Have the workers that begin from now on need the memory that one takes."""
        self._needs = self._needs._replace(memory=0 if self._needs.gpus else taken.own)

    def wait(self, members: Sequence[Member]) -> Collection[Member]:
        """Wait for an answer, and see whether machines have come, and who waits for one; any may have answered.

        Raises:
            UserError: No machine could ever take a worker, and there is none that has begun; or the cluster is gone.
        """
        try:
            if calls := [cast(RayWorker, member).call() for member in members]:
                self._ray.wait(calls, timeout=LISTENING)
            if time.monotonic() - self._looked > LOOKING:
                self._machines = self._cluster.machines()
                self._see_who_waits(cast(Sequence[RayWorker], members))
                self._looked = time.monotonic()
        except ConnectionError as error:
            raise UserError(
                f"the cluster is out of reach: {error}; the same command goes on when it is back"
            ) from error
        return members

    def close(self) -> None:
        """Leave the cluster."""
        self._cluster.close()

    def _see_who_waits(self, workers: Sequence[RayWorker]) -> None:
        """Tell for what workers wait, once for as long as it stays so."""
        now, waiting = time.monotonic(), [worker for worker in workers if not worker.place]
        if not waiting or now - waiting[0].since < WAITING:
            self._told, self._hopeless_since = "", now
            return
        is_hopeless = not any(map(self._needs.fitting, self._machines))
        told = (
            f"{len(waiting)} of {len(workers)} workers wait to begin, each for {self._needs.in_words()} on one machine"
        )
        told = f"{told}; {self._cluster.in_words()}"
        if not is_hopeless or len(waiting) < len(workers):
            self._hopeless_since = now
        if now - self._hopeless_since > HOPELESS:
            raise UserError(f"{told}; add such a machine, or ask for less: OMP_NUM_THREADS, --devices cpu")
        if told != self._told:
            self._say(told)
            self._told = told


def needs_of(crew: Crew, machines: Sequence[Mapping[str, float]]) -> Needs:
    """Return what one of some workers needs: ``OMP_NUM_THREADS`` CPUs, else as many as there are for each of so many.

    Args:
        crew: How many workers; ``cuda``, ``cpu``, or neither: GPUs if there are any.
        machines: What each machine has.
    """
    kind = crew.devices[0] if crew.devices else "cuda" if any(machine.get("GPU") for machine in machines) else "cpu"
    gpus = int(kind == "cuda")
    most = int(max((machine.get("CPU", 1) for machine in machines), default=1))
    counts = [crew.threads] if crew.threads else range(most, 0, -1) if crew.workers else [1]
    room = (Needs(cpus, gpus) for cpus in counts if sum(map(Needs(cpus, gpus).fitting, machines)) >= crew.workers)
    return next(room, Needs(crew.threads or 1, gpus))
