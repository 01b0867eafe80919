"""Cost account of one run: told of every part of it, priced with its own number of operations."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from harness.core.cost_names import ENERGY, LARGEST, PREFIX, Costs
from harness.models.frozen.replay import Pass
from harness.training.cost_meter.energy import Counter, EnergyMeter
from harness.training.cost_meter.prices import Priced, Prices

__all__ = ["Account"]


class Account:
    """What one run costs, from now on; peak memory is in MiB, and energy is left out where no counter can be read."""

    def __init__(self, prices: Prices, counters: Sequence[Counter], peak_memory: Callable[[], float]) -> None:
        self.prices, self._counters = prices, counters
        self._costs, self._meter, self._peak = Costs(), EnergyMeter(counters), peak_memory
        self._peak_before, self._joules_before = 0.0, 0.0

    def another(self) -> Account:
        """Return an account of what comes from now on."""
        return Account(self.prices, self._counters, self._peak)

    def take_over(self, metrics: Mapping[str, float]) -> None:
        """Count what another process spent on the run, as `metrics` told there, as spent on it here."""
        self._costs = self._costs.plus(**{name: metrics[f"{PREFIX}{name}"] for name in Costs._fields})
        self._peak_before, self._joules_before = metrics[LARGEST], metrics.get(ENERGY, math.nan)

    def opened(self, seconds: float, passes: Sequence[Pass]) -> None:
        """Take note of recordings that were found, made and proved."""
        self._add(self.prices.opening(passes), 0.0, recording_seconds=seconds)

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
        joules = self._meter.joules()
        if joules is not None:  # of a process that could not read them, nothing is known
            joules = None if math.isnan(self._joules_before) else joules + self._joules_before
        return self._costs.metrics(peak_memory_mib=max(self._peak(), self._peak_before), joules=joules)
