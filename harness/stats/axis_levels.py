"""Where cells lie on the axes of a study, and what follows: effects of axes and features, learning curves."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

from harness.stats.feature_effects import feature_effects
from harness.stats.learning_curves import learning_curves
from harness.stats.multiple_comparisons import effects
from harness.stats.trained_cells import Trained

__all__ = ["NO_AXES", "AxisLevels"]


class AxisLevels(NamedTuple):
    """The levels of cells, by axis."""

    factors: Mapping[str, Mapping[str, str]] = MappingProxyType({})
    """Cell ids to the names of their levels, by axis; cells that are left out take no part in effects."""
    features: Mapping[str, Mapping[str, Mapping[str, str]]] = MappingProxyType({})
    """By the prompt that has features, its cells with the levels of features and of axes behind the prompt."""
    along: str = ""
    """The axis whose levels are numbers of training examples; empty: there is none."""
    sizes: Mapping[str, int] = MappingProxyType({})
    """By cell, these numbers, where they are not what the levels say."""
    unmoved: Mapping[str, Collection[str]] = MappingProxyType({})
    """By axis, the cells that are the same at each of its levels."""

    def judged(
        self,
        tested: Mapping[str, Trained],
        baseline: str,
        *,
        higher_is_better: bool,
        ends: tuple[float, float],
        seed: int,
    ) -> dict[str, Any]:
        """Return what `harness.stats.verdicts.Verdicts` say of axes: ``effects``, ``features`` and ``curves``.

        Args:
            tested: Cells that take part in tests.
            baseline: Whose levels others are held against.
            higher_is_better: Of the metric.
            ends: Of the metric.
            seed: Of what is drawn for learning curves.
        """
        levels = {name: self.factors[name] for name in tested if name in self.factors}
        moves = partial(effects, tested, higher_is_better=higher_is_better, unmoved=self.unmoved)
        parts = partial(feature_effects, self.features, tested, higher_is_better=higher_is_better, unmoved=self.unmoved)
        curves = partial(learning_curves, tested, levels, along=self.along, sizes=self.sizes)
        return {
            "effects": moves(levels, reference=baseline) if baseline in levels else None,
            "features": parts(levels.get(baseline)),
            "curves": curves(reference=baseline, ends=ends, seed=seed),
        }


NO_AXES = AxisLevels()
"""Of cells whose levels are not known."""
