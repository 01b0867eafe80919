"""A Ray cluster whose machines are all this one, each with one CPU.

It is held by a process of its own: Ray leaves files open in the one that begins it, and takes its signals.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil

__all__ = ["RayMachines", "left_over"]

WORKER = "harness.runner.executors.worker_process"

HOLDER = """\
import socket, sys
from ray.cluster_utils import Cluster

STORE = 80 * 2**20
with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
# So that it shows within seconds that a machine is gone.
quick = {"health_check_initial_delay_ms": 500, "health_check_period_ms": 500, "health_check_failure_threshold": 6}
head = {"num_cpus": 1, "object_store_memory": STORE, "include_dashboard": False, "ray_client_server_port": port}
cluster = Cluster(initialize_head=True, head_node_args={**head, "_system_config": quick})
machines = []
print("!", cluster.address, port, flush=True)
for line in sys.stdin:
    if line == "add\\n":
        machines.append(cluster.add_node(num_cpus=1, object_store_memory=STORE))
    else:
        cluster.remove_node(machines.pop(), allow_graceful=False)
    print("! done", flush=True)
cluster.shutdown()
"""


class RayMachines:
    """The cluster; its first machine is its head."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(
            [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.address, port = self._answer()
        self.client_address = f"ray://{self.address.partition(':')[0]}:{port}"

    def add(self) -> None:
        """Have another machine join."""
        self._tell("add")

    def lose(self) -> None:
        """End the machine that joined last without grace: what it was doing is lost."""
        self._tell("lose")

    def close(self) -> None:
        """End all of them."""
        self._holder.communicate(timeout=60)

    def _tell(self, order: str) -> None:
        assert self._holder.stdin
        self._holder.stdin.write(f"{order}\n")
        self._holder.stdin.flush()
        self._answer()

    def _answer(self) -> list[str]:
        assert self._holder.stdout
        said = next(line for line in self._holder.stdout if line.startswith("!"))
        return said.split()[1:]


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
