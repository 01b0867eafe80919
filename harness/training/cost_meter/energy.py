"""Energy, from the machine's own counters where they can be read; nothing is estimated elsewhere.

Linux counts what each processor package takes (running average power limit, Intel 64 and IA-32 Architectures Software
Developer's Manual, volume 3, section "Power and Thermal Management"; AMD's processors are found in the same place).
What is measured is the packages of the whole machine over an interval, whoever used them; the parts of a package, which
the kernel lists below it, and the platform, which contains it, are left out. A GPU's own counter is added where the
model is on one and `pynvml` is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

__all__ = ["POWERCAP", "Counter", "EnergyMeter", "energy_counters", "gpu_counter", "package_counters"]

POWERCAP = Path("/sys/class/powercap")
"""Where the kernel shows its counters."""

PACKAGE = "intel-rapl:[0-9]*"
"""Their folders; a part of a package has one more colon."""


class Counter(NamedTuple):
    """A counter of energy that only grows, until it begins again."""

    name: str
    read: Callable[[], int | None]
    """Return microjoules; ``None`` where it cannot be read."""
    wrap: int
    """How many microjoules after its largest value it begins at 0 again; 0 where it never does."""


class EnergyMeter:
    """Adds up what some counters count; read it at least once while each of them goes round, some minutes at full load.

    Where one of them cannot be read, no energy is known from then on: the others alone would be too little. None of
    them may contain another.
    """

    def __init__(self, counters: Sequence[Counter]) -> None:
        self._counters = counters
        self._last = [counter.read() for counter in counters]
        self._total = 0

    def joules(self) -> float | None:
        """Return joules since the meter was made; ``None`` where they are not known."""
        now = [counter.read() for counter in self._counters]
        for counter, before, after in zip(self._counters, self._last, now, strict=True):
            if before is not None and after is not None:
                self._total += after - before + (counter.wrap if after < before else 0)
        # A counter that could not be read once has lost an unknown amount: it stays unknown.
        self._last = [None if before is None else after for before, after in zip(self._last, now, strict=True)]
        return self._total / 1e6 if self._last and None not in self._last else None


def energy_counters(device: torch.device) -> list[Counter]:
    """Return the counters of what computes: the processors', and a GPU's; none where its own cannot be read."""
    packages = package_counters()
    if device.type != "cuda":
        return packages
    gpu = gpu_counter(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
    return [*packages, gpu] if gpu else []


def package_counters(folder: Path = POWERCAP) -> list[Counter]:
    """Return the counter of every processor package; none where one of them cannot be read."""
    counters = []
    for domain in sorted(folder.glob(PACKAGE)):
        try:
            if ":" in domain.name.partition(":")[2] or not (domain / "name").read_text().startswith("package"):
                continue
            wrap = int((domain / "max_energy_range_uj").read_text())
        except (OSError, ValueError):
            return []
        name = (domain / "name").read_text().strip()
        counters.append(Counter(name, lambda file=domain / "energy_uj": _number(file), wrap))  # type: ignore[misc]
    return counters if all(counter.read() is not None for counter in counters) else []


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # most systems let only the administrator read it
        return None


def gpu_counter(uuid: str) -> Counter | None:
    """Return the counter of an NVIDIA GPU, ``GPU-...``; ``None`` where `pynvml` is not installed or it has none."""
    try:
        import pynvml  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except pynvml.NVMLError:
        return None

    def read() -> int | None:
        try:
            return int(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) * 1000  # it counts millijoules
        except pynvml.NVMLError:
            return None

    return Counter(f"gpu {uuid}", read, 0)
