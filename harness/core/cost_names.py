"""What a run costs: seconds, rows, tokens, operations, energy, memory; added up over the runs of a cell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

__all__ = ["ENERGY", "LARGEST", "PREFIX", "Costs", "summed"]

PREFIX = "cost/"
"""Before the name of each of them as a metric."""

LARGEST = "cost/peak_memory_mib"
"""The one of which a cell holds the largest, not the sum."""

ENERGY = "cost/energy_joules"
"""The one that is not known of every machine."""


class Costs(NamedTuple):
    """One trial or final run.

    Only what ended counts: an epoch in which the loss diverged is left out. So is what measures generality.
    """

    train_seconds: float = 0.0
    """Wall time of the epochs."""
    validation_seconds: float = 0.0
    """Wall time of scoring validation, after epochs and at the end."""
    test_seconds: float = 0.0
    """Likewise, of test."""
    recording_seconds: float = 0.0
    """Wall time of making, reading and proving recordings of the frozen part."""
    examples: float = 0.0
    """Rows trained on, each as often as it was seen."""
    tokens: float = 0.0
    """Label tokens trained on, likewise."""
    flops: float = 0.0
    """Floating-point operations of matrix products; see `harness.training.cost_meter.flops`."""
    flops_saved: float = 0.0
    """What computing the frozen part live would have added to them."""

    def plus(self, **more: float) -> Costs:
        """Return these costs with some more; ``flops=3`` adds 3."""
        return self._replace(**{name: getattr(self, name) + value for name, value in more.items()})

    def metrics(self, *, peak_memory_mib: float, joules: float | None) -> dict[str, float]:
        """Return all that was spent, as metrics.

        Args:
            peak_memory_mib: The most memory used so far.
            joules: Left out where it is not known.
        """
        energy = {} if joules is None else {ENERGY: joules}
        return {**{PREFIX + name: value for name, value in self._asdict().items()}, LARGEST: peak_memory_mib, **energy}


def summed(runs: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return what some runs cost together, from the metrics of each; of peak memory the largest.

    Energy is left out unless every run has it.

    >>> summed([{"cost/tokens": 2.0, "validation/loss": 1.0}, {"cost/tokens": 3.0}])
    {'cost/tokens': 5.0}
    """
    found = [{name: value for name, value in run.items() if name.startswith(PREFIX)} for run in runs]
    names = dict.fromkeys(name for run in found for name in run)
    whole = [name for name in names if "energy" not in name or all(name in run for run in found)]
    return {
        name: (max if name == LARGEST else sum)(run[name] for run in found if name in run) for name in sorted(whole)
    }
