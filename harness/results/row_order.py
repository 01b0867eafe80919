"""The order in which prompts and tunings are shown, and the split whose scores are."""

from __future__ import annotations

import math
from collections.abc import Iterator

from harness.results.cell_result import CellResult
from harness.results.collect import Results
from harness.study.tuning_names import depth
from harness.tracking.schema import score_name

__all__ = ["alike", "by_prompt", "further", "kept_split", "prompts", "rows_by", "score_grid", "tunings"]


def kept_split(results: Results) -> str:
    """Return the split whose scores a report shows: ``test`` where it was scored, else ``validation``."""
    return "test" if any(cell.values(score_name("test", results.lead)) for cell in results.cells) else "validation"


def tunings(results: Results) -> list[str]:
    """Return the tunings of a study, shallow ones first; where it keeps no order of theirs, by their names."""
    names = dict.fromkeys(cell.tuning for cell in results.cells)
    return [name for name in results.depths if name in names] or sorted(names, key=depth)


def prompts(results: Results) -> list[str]:
    """Return the prompts of a study in its own order."""
    return list(dict.fromkeys(cell.prompt for cell in results.cells))


def further(cell: CellResult) -> str:
    """Return a cell's levels on the axes behind prompt and tuning as one name; empty where there are none."""
    return "/".join(level for axis, level in cell.factors.items() if axis not in ("prompt", "tuning"))


def rows_by(results: Results) -> str:
    """Return what the rows of `by_prompt` are called by: ``prompt``, and further axes behind it."""
    return "/".join(axis for axis in results.axes if axis != "tuning")


def by_prompt(results: Results) -> Iterator[tuple[str, list[CellResult]]]:
    """Yield each prompt, at each combination of further axes, with its cells, shallow ones first."""
    order = tunings(results)
    rows: dict[tuple[str, str], list[CellResult]] = {}
    for cell in results.cells:
        rows.setdefault((cell.prompt, further(cell)), []).append(cell)
    for names, cells in rows.items():
        yield "/".join(filter(None, names)), sorted(cells, key=lambda cell: order.index(cell.tuning))


def score_grid(results: Results) -> dict[str, list[tuple[str, float]]]:
    """Return by row of `by_prompt` each tuning's cell and its score on the split that is shown; nan for no score."""
    metric, grid = score_name(kept_split(results), results.lead), {}
    for name, cells in by_prompt(results):
        scores = {cell.tuning: (cell.id, cell.score(metric)) for cell in cells}
        grid[name] = [scores.get(tuning, ("", math.nan)) for tuning in tunings(results)]
    return grid


def alike(cell: CellResult, results: Results, *, but: str) -> list[CellResult]:
    """Return the cells that differ from one on an axis alone, and it, shallow ones first."""
    same = {axis: level for axis, level in cell.factors.items() if axis != but}
    cells = [other for other in results.cells if same.items() <= other.factors.items()]
    order = tunings(results)
    return sorted(cells, key=lambda other: order.index(other.tuning))
