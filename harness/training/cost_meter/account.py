"""Cost account of one run: told of every part of it, priced with its own number of operations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple

import torch

from harness.core.cost_names import Costs
from harness.data.tokenization import Row
from harness.models.frozen.replay import Pass
from harness.training.cost_meter.energy import Counter as EnergyCounter
from harness.training.cost_meter.energy import EnergyMeter, gpu_counter, package_counters
from harness.training.cost_meter.prices import Amount, Call, Prices, amounts
from harness.training.loss import ForwardPass

__all__ = ["Account", "Priced", "Rates", "energy_counters"]


def energy_counters(device: torch.device) -> list[EnergyCounter]:
    """Return the counters of what computes: the processors', and a GPU's; none where its own cannot be read."""
    packages = package_counters()
    if device.type != "cuda":
        return packages
    gpu = gpu_counter(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
    return [*packages, gpu] if gpu else []


class Priced(NamedTuple):
    """Operations of some work, and those that a replay spared it."""

    done: float
    saved: float


class Rates:
    """Prices of the rows of a study, kept from run to run.

    Args:
        prices: Of the model's passes.
        counters: Of energy; empty where none can be read.
    """

    def __init__(self, prices: Prices, counters: Sequence[EnergyCounter]) -> None:
        self.prices, self.counters = prices, counters
        self._amounts: dict[Hashable, Mapping[tuple[int, int], Amount]] = {}
        self._epochs: dict[Hashable, float] = {}

    def losses(self, name: Hashable, rows: Sequence[Row], cut: int) -> Priced:
        """Price the losses of some rows.

        Args:
            name: Names the rows.
            rows: A split, as one prompt has it.
            cut: The first block that is not replayed; 0: none is.
        """
        parts = self.prices.losses(self._amount(name, rows))
        return Priced(float(parts[cut:].sum()), float(parts[:cut].sum()))

    def epoch(self, name: Hashable, rows: Sequence[Row], tuning: Hashable, forward: ForwardPass, cut: int) -> Priced:
        """Price an epoch of training, as the model is tuned now; see `losses`."""
        of, key = self._amount(name, rows), (name, tuning)
        if key not in self._epochs:
            self._epochs[key] = self.prices.steps(of, tuning, forward)
        saved = float(self.prices.losses(of)[:cut].sum())
        return Priced(self._epochs[key] - saved, saved)

    def generation(self, calls: Counter[Call], cut: int, *, beams: int) -> Priced:
        """Price generation; behind an encoder, the encoder alone is replayed."""
        encoders = self.prices.encoders
        return Priced(*self.prices.generation(calls, min(cut, encoders) if encoders else cut, beams=beams))

    def _amount(self, name: Hashable, rows: Sequence[Row]) -> Mapping[tuple[int, int], Amount]:
        if name not in self._amounts:
            self._amounts[name] = amounts(rows, self.prices.loaded)
        return self._amounts[name]


class Account:
    """What one run costs, from now on.

    Args:
        rates: What its parts are priced with.
        peak_memory: Returns the most memory used so far, in MiB.
    """

    def __init__(self, rates: Rates, peak_memory: Callable[[], float]) -> None:
        self.rates = rates
        self._costs, self._meter, self._peak = Costs(), EnergyMeter(rates.counters), peak_memory

    def opened(self, seconds: float, passes: Sequence[Pass]) -> None:
        """Take note of recordings that were found, made and proved."""
        self._add(self.rates.prices.opening(passes), 0.0, recording_seconds=seconds)

    def trained(self, work: Priced, *, seconds: float, examples: int, tokens: int) -> None:
        """Take note of an epoch."""
        self._add(*work, train_seconds=seconds, examples=examples, tokens=tokens)

    def scored(self, split: str, seconds: float, *works: Priced) -> None:
        """Take note of the scoring of a split, ``validation`` or ``test``."""
        self._add(sum(work.done for work in works), sum(work.saved for work in works), **{f"{split}_seconds": seconds})

    def _add(self, flops: float, saved: float, **more: float) -> None:
        self._costs = self._costs.plus(flops=flops, flops_saved=saved, **more)
        self._meter.joules()  # in time, before a counter goes round

    def metrics(self) -> dict[str, float]:
        """Return what was spent, by the names of metrics."""
        return self._costs.metrics(peak_memory_mib=self._peak(), joules=self._meter.joules())
