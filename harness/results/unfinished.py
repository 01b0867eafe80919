"""Which cells of a study are not done: stopped or killed, or left out of what was run, though nobody said so."""

from __future__ import annotations

from harness.results.cell_result import CellResult
from harness.results.collect import Results
from harness.results.searched_cells import searched_as

__all__ = ["unfinished"]


def unfinished(results: Results) -> tuple[str, ...]:
    """Return the ids of cells that were not run yet, or lack trials or final runs of what the study asks for.

    Those that it was told to leave out are not among them.
    """
    lacking = (*(cell.id for cell in results.cells if _lacks(cell, results)), *results.absent)
    return tuple(cell for cell in lacking if not results.orders.leaves_out(cell))


def _lacks(cell: CellResult, results: Results) -> bool:
    finals = len(cell.finals) + cell.diverged_finals
    if cell.tuning == "none":
        return not finals
    levels = searched_as(cell.factors, results.settings)
    searched = next((other for other in results.cells if other.factors == levels), cell)
    is_grid = results.search["sampler"] == "grid"  # which may have fewer points than trials were asked for
    if not is_grid and len(searched.trials) - searched.added_trials < results.search["trials"]:
        return True
    if not cell.hyperparameters:
        return not searched.all_diverged
    return finals < len(results.settings.get("final", {}).get("seeds", ()))
