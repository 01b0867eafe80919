"""How many workers train a study, on which devices, and with how many threads each."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from harness.core.closest_match import closest
from harness.core.errors import UserError

__all__ = ["ALONE", "VISIBLE", "Crew", "Workers", "cluster_crew", "crew_of"]

Workers = int | Literal["auto"]
"""How many there are to be: ``auto``: one for each device, on the CPU for each core that no other one's threads take,
fewer where memory or jobs are."""

MOST = 1024
"""Workers of one machine; a larger number is a slip."""

KINDS = ("cpu", "cuda")
"""Devices of a cluster."""

VISIBLE = "CUDA_VISIBLE_DEVICES"


class Crew(NamedTuple):
    """The workers of a study on one machine, or on a cluster, as they were asked for."""

    workers: int = 1
    devices: tuple[str, ...] = ()
    """Whose turn it is in the order of the workers; none where this process does the jobs itself.

    On a cluster their kind, ``cpu`` or ``cuda``; none: as the cluster has them.
    """
    threads: int | None = None
    """Of each worker; ``None``: as many as torch takes by itself."""
    is_auto: bool = False
    """Whether fewer will do where memory is short; on a cluster whether there are as many as it holds."""
    address: str | None = None
    """The cluster's; ``None``: they are on this machine."""

    @property
    def is_alone(self) -> bool:
        """Whether this process does the jobs itself, one after the other."""
        return not self.devices and self.address is None

    def device(self, number: int) -> str:
        """Return the device of a worker, counted from 1."""
        return self.devices[(number - 1) % len(self.devices)]

    def beside(self, number: int) -> int:
        """Return how many workers share the device of one, itself among them."""
        return sum(self.device(other) == self.device(number) for other in range(1, self.workers + 1))

    def environment(self, number: int) -> dict[str, str]:
        """Return what a worker's environment says of its threads and its device, before torch is imported there."""
        kind, _, place = self.device(number).partition(":")
        shown = os.environ.get(VISIBLE)
        known = [one.strip() for one in shown.split(",")] if shown else []
        visible = {"cpu": "", "cuda": known[int(place or 0)] if known else place or "0"}
        return {
            "OMP_NUM_THREADS": str(self.threads),
            **({VISIBLE: visible[kind]} if kind in visible else {}),
        }


ALONE = Crew()
"""This process."""


def crew_of(workers: Workers | None, devices: Sequence[str], device: str) -> Crew:
    """Return who trains, as a command asks for it.

    Args:
        workers: ``None``: one for each device that is named, else this process alone.
        devices: Such as ``cuda:0``, or a text with commas, in the order of the workers; one may be named twice, and
            they are gone through again where there are more workers. None: all accelerators that the study's own
            choice lets in, else the CPU.
        device: The study's ``training.device``.

    Raises:
        UserError: There is no such device, or they are not of one kind, or it is no number of workers.
    """
    named = _named(workers, devices)
    if not named and workers in (None, 1):
        return ALONE
    there = _there(device)
    for name in named:
        if name not in there:
            raise UserError(f"device {name!r} is not here, or training.device is {device}; {closest(name, there)}")
    kinds = {name.partition(":")[0] for name in named}
    if len(kinds) > 1:
        raise UserError(f"devices of several kinds, {', '.join(sorted(kinds))}, give other figures; name one kind")
    chosen = named or tuple(_default(there))
    if workers == "auto" and not named and _automatic(chosen) == 1:
        return ALONE
    if "cpu" in kinds and there[0].startswith("mps"):
        raise UserError("device cpu is named, and training.device lets mps in; set training.device=cpu")
    count = _automatic(chosen) if workers == "auto" else workers or len(chosen)
    return Crew(count, chosen, _threads(count), workers == "auto")


def cluster_crew(workers: Workers | None, devices: Sequence[str], device: str, address: str) -> Crew:
    """Return who trains on a cluster, whose machines say which of their devices a worker has.

    Args:
        workers: ``None``, ``auto``: as many as the cluster holds.
        devices: A kind, ``cpu`` or ``cuda``; none: ``cuda`` where the study lets it in and the cluster has some.
        device: The study's ``training.device``.
        address: The cluster's.

    Raises:
        UserError: It is no kind of device, or none that the study lets in, or it is no number of workers.
    """
    named = _named(workers, devices) or ((device,) if device != "auto" else ())
    for name in named:
        if name not in KINDS:
            told = f"which of a machine's devices a worker has is its cluster's to say; {closest(name, KINDS)}"
            raise UserError(f"device {name!r} is no kind of device: {told}")
        if device not in ("auto", name):
            raise UserError(f"device {name!r} is named, but training.device is {device}; set training.device={name}")
    if len(set(named)) > 1:
        raise UserError("devices of several kinds, cpu, cuda, give other figures; name one kind")
    count = workers if isinstance(workers, int) else 0
    return Crew(count, named[:1], _said_threads(), is_auto=not count, address=address)


def _named(workers: Workers | None, devices: Sequence[str]) -> tuple[str, ...]:
    """Return the devices that are named, of workers whose number is one."""
    listed = devices.split(",") if isinstance(devices, str) else devices
    if not (workers in (None, "auto") or (type(workers) is int and 0 < workers <= MOST)):
        raise UserError(f"workers is {workers!r}; give a number from 1 to {MOST}, or auto")
    return tuple(name.strip().lower() for name in listed if name.strip())


def _there(device: str) -> list[str]:
    """Return the devices that workers may have, the one that ``auto`` takes first; CUDA's also by its bare name."""
    import torch

    cuda = [f"cuda:{number}" for number in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    found = [*cuda, *(["cuda"] if cuda else []), *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]
    return found if device == "auto" else [name for name in found if name.partition(":")[0] == device]


def _default(there: Sequence[str]) -> list[str]:
    """Return the devices that are used where none is named."""
    return [name for name in there if name.startswith("cuda:")] or list(there[:1]) or ["cpu"]


def _automatic(devices: Sequence[str]) -> int:
    return len(devices) if devices[0] != "cpu" else max(1, _cores() // (_said_threads() or 1))


def _threads(workers: int) -> int:
    return _said_threads() or max(1, _cores() // workers)


def _said_threads() -> int | None:
    """Return ``OMP_NUM_THREADS``; of a list of them, one for each level of nesting, the first."""
    found = re.match(r"\s*([1-9]\d*)", os.environ.get("OMP_NUM_THREADS", ""))
    return int(found[1]) if found else None


def _cores() -> int:
    """Return how many this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
