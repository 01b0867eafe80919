"""Effects of prompts' features: a factorial inside the axis of prompts, crossed with all other axes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

from harness.stats.multiple_comparisons import Effects, effects
from harness.stats.trained_cells import Trained

__all__ = ["feature_effects"]


def feature_effects(
    features: Mapping[str, Mapping[str, Mapping[str, str]]],
    tested: Mapping[str, Trained],
    baseline: Mapping[str, str] | None,
    *,
    higher_is_better: bool,
    unmoved: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> dict[str, Effects]:
    """Return the effects of each prompt's features, where the cell of its first wordings was tested.

    Args:
        features: By prompt, its cells with the levels of its features and of the axes behind the prompt.
        tested: From `resample`.
        baseline: The levels of the baseline, whose further ones the first wordings are held at; ``None``: the first.
        higher_is_better: The metric's direction.
        unmoved: By axis, the cells that are the same at each of its levels.
    """
    found = {}
    for prompt, cells in features.items():
        there = {cell: levels for cell, levels in cells.items() if cell in tested}
        first = next(iter(cells.values()))
        start = {axis: (baseline or {}).get(axis, level) for axis, level in first.items()}
        reference = next((cell for cell, levels in there.items() if levels == start), None)
        if reference is not None:
            found[prompt] = effects(
                tested, there, reference=reference, higher_is_better=higher_is_better, unmoved=unmoved
            )
    return found
