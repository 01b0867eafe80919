"""A Ray cluster as a driver sees it: reached, or begun for one command; what it holds, and who waits for what."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, NamedTuple

from harness.core.errors import UserError
from harness.core.interrupts import SIGNALS

__all__ = ["LOCAL", "Cluster", "Needs", "cluster_address"]

LOCAL = "local"
"""The address of a cluster of this machine alone, which begins and ends with its command."""

ANSWER = 5.0
"""Seconds in which a machine takes up a connection."""

PORTS = {"ray://": 10001, "": 6379}
"""Where clusters listen, by the form of the address."""

MIB = 2**20


def cluster_address(named: str | None) -> str:
    """Return the address of a cluster, which is tried as far as that takes no Ray.

    Args:
        named: ``auto``: one that runs on this machine; ``host:6379``, one that this machine is a part of, or
            ``ray://host:10001``; ``None``: ``RAY_ADDRESS`` of the environment, else `LOCAL`.

    Raises:
        UserError: Ray is not installed, or nobody answers there.
    """
    if find_spec("ray") is None:
        raise UserError("executor ray needs Ray, which is not installed; pip install 'prompt-depth-harness[ray]'")
    address = named or os.environ.get("RAY_ADDRESS") or LOCAL
    if address in (LOCAL, "auto"):
        return address
    form = "ray://" if address.startswith("ray://") else ""
    host, _, port = address.removeprefix(form).partition(":")
    if not host or (port and not port.isdecimal()):
        raise UserError(f"address {address!r} is none of a cluster; give auto, host:6379 or ray://host:10001")
    if form and find_spec("grpc") is None:
        raise UserError(f"address {address} needs Ray's client, which is not installed; pip install 'ray[client]'")
    try:
        socket.create_connection((host, int(port or PORTS[form])), ANSWER).close()
    except (OSError, OverflowError) as error:
        told = f"no cluster answers at {address}: {getattr(error, 'strerror', None) or error}"
        raise UserError(f"{told}; see that its head runs (`ray status`), and that this machine reaches it") from error
    return address


class Needs(NamedTuple):
    """What one worker takes of a machine, in Ray's units."""

    cpus: int
    gpus: int
    memory: int = 0
    """Bytes; 0 as long as nothing was measured."""

    def in_words(self) -> str:
        """Return it as messages say it."""
        gpu = f", {self.gpus} GPU" if self.gpus else ""
        memory = f", {self.memory / MIB:,.0f} MiB of memory" if self.memory else ""
        return f"{self.cpus} CPU{'s' * (self.cpus != 1)}{gpu}{memory}"

    def fitting(self, there: Mapping[str, float]) -> int:
        """Return how many workers there is room for on a machine."""
        asked = {"CPU": self.cpus, "GPU": self.gpus, "memory": self.memory}
        return min(int(there.get(name, 0) // need) for name, need in asked.items() if need)


class Cluster:
    """A connection to a cluster, and the cluster itself where it is of this command.

    Where this process is connected already, as a notebook may be, that connection is used, and is left as it is.

    Args:
        address: From `cluster_address`.

    Raises:
        UserError: There is none, or it is of another version.
    """

    def __init__(self, address: str) -> None:
        import ray

        from harness.runner.executors.ray_compat import keep_off_standard_output

        self._ray = ray
        self.is_own = not ray.is_initialized()
        """Whether the connection ends with this."""
        self.is_here = self.is_own and address == LOCAL
        """Whether it is of this machine alone."""
        if not self.is_own:
            return
        options: dict[str, Any] = {"include_dashboard": False} if self.is_here else {}
        logging.getLogger("ray").setLevel(logging.ERROR)
        try:
            with _own_signals():
                ray.init(address, configure_logging=False, log_to_driver=False, **options)
        except (ConnectionError, RuntimeError, ValueError, TimeoutError, SystemExit) as error:
            told = " ".join(str(error).split())
            raise UserError(f"no cluster can be used at {address}: {told}; start one by `ray start --head`") from error
        keep_off_standard_output()

    def machines(self) -> list[Mapping[str, float]]:
        """Return what each machine has in all, those that are free and those that are taken alike."""
        return [machine["Resources"] for machine in self._ray.nodes() if machine["Alive"]]

    def has(self, place: str) -> bool:
        """Return whether a machine is still a part of it."""
        return any(machine["NodeID"] == place and machine["Alive"] for machine in self._ray.nodes())

    def in_words(self) -> str:
        """Return what it has, as messages say it."""
        machines = self.machines()
        free = self._ray.available_resources()
        cpus, gpus = (sum(machine.get(name, 0) for machine in machines) for name in ("CPU", "GPU"))
        memory = max((machine.get("memory", 0) for machine in machines), default=0)
        return (
            f"the cluster has {len(machines)} machines with {cpus:g} CPUs, of which {free.get('CPU', 0):g} are free, "
            f"{gpus:g} GPUs, and up to {memory / MIB:,.0f} MiB of memory each"
        )

    def close(self) -> None:
        """Leave it, and end it where it is of this command."""
        if self.is_own:
            self._ray.shutdown()


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep what this process does on signals: Ray would put its own in their place."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
