"""A plan as people read it."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Column, Table

from harness.runner.planning.plan import MIB, Plan

__all__ = ["plan_tables"]


def plan_tables(made: Plan) -> Iterator[RenderableType]:
    """Yield what a plan says: cells, recordings, time and memory."""
    columns = ("trials", "finals", "steps a run", "steps in all", "parameters that train", "share", "seconds")
    table = Table("cell", *(Column(name, justify="right") for name in columns), box=None, header_style="bold")
    for cell in made.cells:
        trials, finals, seconds = made.forecast.cells[cell.id]
        share = f"{cell.trainable / cell.parameters:.1%}"
        counts = [trials, finals, cell.steps, cell.steps * (trials + finals), cell.trainable]
        table.add_row(cell.id, *(f"{count:,}" for count in counts), share, f"{seconds:.1f}")
    yield table
    if made.epochs:
        yield made.epochs
    if made.cuts:
        yield _recordings(made)
        yield (
            f"MiB; {made.forecast.recordings_mib:,.1f} in all, what tunings share counted once; room for "
            f"{made.memory / MIB:,.0f} in memory, {made.disk / MIB:,.0f} on disk"
        )
    yield made.models
    total, forecast = made.forecast.seconds, made.forecast
    yield (
        f"predicted: {total:.0f} s ({total / 60:.1f} min) for all runs, loading the model and the report apart; "
        f"peak memory {forecast.peak_memory_mib:,.0f} MiB; planning took {made.seconds:.0f} s"
    )


def _recordings(made: Plan) -> Table:
    columns = ("training", "validation", "generation", "one prompt")
    right = [Column(name, justify="right") for name in columns]
    table = Table("recorded for", *right, "fits", box=None, header_style="bold")
    for cut in made.cuts:
        sizes = (cut.train, cut.validation, cut.start, cut.largest)
        fits = "memory" if cut.largest <= made.memory else "disk"
        if not cut.losses_fit(made.memory, made.disk):
            fits = "nowhere: runs live"
        elif not cut.starts_fit(made.memory, made.disk):
            fits = "losses alone: prompts are read whole"
        table.add_row(", ".join(cut.tunings), *(f"{size / MIB:,.1f}" for size in sizes), fits)
    return table
