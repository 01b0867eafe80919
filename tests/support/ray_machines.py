"""A Ray cluster whose machines are all this one, each with one CPU, as its processes."""

from __future__ import annotations

import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

__all__ = ["RayMachines", "left_over"]

WORKER = "harness.runner.executors.worker_process"

STORE = 80 * 2**20
"""Bytes of a machine's object store."""

QUICK = {"health_check_initial_delay_ms": 500, "health_check_period_ms": 500, "health_check_failure_threshold": 4}
"""So that it shows within seconds that a machine is gone."""


class RayMachines:
    """The cluster; its first machine is its head."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 1, "object_store_memory": STORE, "include_dashboard": False, "_system_config": QUICK}
        before = signal.getsignal(signal.SIGTERM)
        self._cluster: Any = Cluster(initialize_head=True, head_node_args=head)
        signal.signal(signal.SIGTERM, before)
        self.address = str(self._cluster.address)

    def add(self) -> Any:
        """Have another machine join."""
        return self._cluster.add_node(num_cpus=1, object_store_memory=STORE)

    def lose(self, machine: Any) -> None:
        """End a machine without grace: what it was doing is lost."""
        self._cluster.remove_node(machine, allow_graceful=False)

    def close(self) -> None:
        """End all of them."""
        self._cluster.shutdown()


def left_over(temporary: Path) -> list[str]:
    """Return the workers that live, and the actors beside them, of machines whose temporary files lie in a folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        command = " ".join(process.info["cmdline"] or ())
        if process.info["status"] == psutil.STATUS_ZOMBIE or not (WORKER in command or "ray::Outpost" in command):
            continue
        with suppress(psutil.Error):
            if process.environ().get("TMPDIR", "").startswith(str(temporary)):
                found.append(command)
    return found
