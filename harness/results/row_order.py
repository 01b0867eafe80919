"""The order in which prompts and tunings are shown, and the split whose scores are."""

from __future__ import annotations

import math
from collections.abc import Iterator

from harness.results.collect import CellResult, Results
from harness.study.tuning_kinds import depth

__all__ = ["by_prompt", "kept_split", "prompts", "score_grid", "tunings"]


def kept_split(results: Results) -> str:
    """Return the split whose scores a report shows: ``test`` where it was scored, else ``validation``."""
    return "test" if any(cell.values(f"test/{results.lead}") for cell in results.cells) else "validation"


def tunings(results: Results) -> list[str]:
    """Return the tunings of a study, shallow ones first."""
    return sorted(dict.fromkeys(cell.tuning for cell in results.cells), key=depth)


def prompts(results: Results) -> list[str]:
    """Return the prompts of a study in its own order."""
    return list(dict.fromkeys(cell.prompt for cell in results.cells))


def by_prompt(results: Results) -> Iterator[tuple[str, list[CellResult]]]:
    """Yield each prompt with its cells, shallow ones first."""
    for prompt in prompts(results):
        own = [cell for cell in results.cells if cell.prompt == prompt]
        yield prompt, sorted(own, key=lambda cell: depth(cell.tuning))


def score_grid(results: Results) -> dict[str, list[tuple[str, float]]]:
    """Return by prompt each tuning's cell with its score on the split that is shown, nan where there is none."""
    metric = f"{kept_split(results)}/{results.lead}"
    cells = {(cell.prompt, cell.tuning): (cell.id, cell.score(metric)) for cell in results.cells}
    return {
        prompt: [cells.get((prompt, tuning), ("", math.nan)) for tuning in tunings(results)]
        for prompt in prompts(results)
    }
