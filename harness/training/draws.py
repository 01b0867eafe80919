"""Draws of a run: torch's generators as dropout moves them, apart from those of the process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["Draws", "seeded"]


class Draws:
    """The generators of the CPU and of one device, from epoch to epoch of a run; evaluations do not move them."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self._seed, self._device = seed, device
        self.states: Mapping[str, Tensor] = {}
        """As `drawing` left them; empty before the first epoch."""

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Draw from them in a block, where they were left, then put the process's own back."""
        with _apart(self._device):
            if self.states:
                torch.set_rng_state(self.states["cpu"])
                if "device" in self.states:
                    _module(self._device).set_rng_state(self.states["device"], *_which(self._device))
            yield
            self.states = self.now()

    def begin(self, epoch: int) -> None:
        """Seed them for an epoch, in a block of `drawing`."""
        _seed(self._seed, epoch, self._device)

    def now(self) -> dict[str, Tensor]:
        """Return them as they are, in a block of `drawing`: bytes, by name."""
        states = {"cpu": torch.get_rng_state()}
        if self._device.type != "cpu":
            states["device"] = _module(self._device).get_rng_state(*_which(self._device))
        return states


@contextmanager
def seeded(seed: int, epoch: int, device: torch.device) -> Iterator[None]:
    """Run with torch's generators of the CPU and of one device seeded, then put them back as they were."""
    with _apart(device):
        _seed(seed, epoch, device)
        yield


@contextmanager
def _apart(device: torch.device) -> Iterator[None]:
    accelerators = [] if device.type == "cpu" else [device]
    with torch.random.fork_rng(accelerators, device_type=device.type):
        yield


def _seed(seed: int, epoch: int, device: torch.device) -> None:
    value = int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
    # torch.manual_seed would also reseed devices that are not forked here.
    torch.default_generator.manual_seed(value)
    if device.type != "cpu":
        _module(device).manual_seed(value)


def _module(device: torch.device) -> Any:
    return torch.get_device_module(device)


def _which(device: torch.device) -> tuple[torch.device, ...]:
    """Return what its module is told of a device; of mps there is one alone."""
    return () if device.type == "mps" else (device,)
