"""A plan as a value, and as the tables that a terminal and a notebook show of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rich.console import RenderableType
from rich.table import Column, Table

from harness.report.console_page import as_html, as_text
from harness.results.score_forecast import Forecast

__all__ = ["MIB", "Cut", "Plan", "PlannedCell"]

MIB = 2**20


class PlannedCell(NamedTuple):
    """One cell, counted."""

    id: str
    trials: int
    finals: int
    """Final runs."""
    seconds: float
    """Of all its runs together."""
    steps: int
    """Optimizer steps of one training run, on average where the search decides; 0 where nothing trains."""
    trainable: int
    """Parameters that train; where a search decides, the most that it may."""
    parameters: int
    """Parameters that there are, likewise."""
    fewest: int
    """Parameters that train, the fewest where a search decides."""

    @property
    def sizes(self) -> tuple[int, int]:
        """Parameters that train, and all."""
        return self.trainable, self.parameters


class Cut(NamedTuple):
    """What is recorded for the tunings that train from one block on, in bytes over all prompts."""

    tunings: tuple[str, ...]
    train: int
    validation: int
    start: int
    """Of generation from validation prompts, where anything generates."""
    losses: int
    """The most that one prompt takes of the first two."""
    starts: int
    """The most that one prompt takes of the third."""

    @property
    def largest(self) -> int:
        """The most that one prompt takes at a time."""
        return self.losses + self.starts

    def losses_fit(self, memory: int, disk: int) -> bool:
        """Return whether there is room for the recordings of one prompt's losses."""
        return self.losses <= max(memory, disk)

    def starts_fit(self, memory: int, disk: int) -> bool:
        """Return whether there is room, beside those, for the start of its generation."""
        return self.largest <= memory or self.starts <= disk


@dataclass(frozen=True)
class Plan:
    """What a study will take; shows itself as the command's tables."""

    cells: tuple[PlannedCell, ...]
    cuts: tuple[Cut, ...]
    """Empty where nothing is replayed."""
    memory: int
    """Bytes that recordings may take in memory."""
    disk: int
    """Bytes that they may take on disk."""
    forecast: Forecast
    """What is kept of it for the report."""
    models: str
    """What the models that are kept take."""
    weights: str
    """Digest of the model's."""
    planning_seconds: float
    """What planning took."""
    epochs: str = ""
    """How many a run trains on average, where they are searched over."""
    frozen: str = ""
    """What is saved by weights that are held in less than float32."""
    file: Path | None = None
    """Where the forecast is kept; ``None``: nowhere."""

    @property
    def seconds(self) -> float:
        """Of all runs together; starting, loading the model and writing the report come on top."""
        return self.forecast.seconds

    @property
    def peak_memory_mib(self) -> float:
        """The most that the process, or the GPU, holds at a time."""
        return self.forecast.peak_memory_mib

    def parts(self) -> Iterator[RenderableType]:
        """Yield what it says: cells, recordings, time and memory."""
        yield _cells(self.cells)
        if self.epochs:
            yield self.epochs
        if self.cuts:
            yield _recordings(self)
            yield (
                f"MiB; {self.forecast.recordings_mib:,.1f} in all, what tunings share counted once; room for "
                f"{self.memory / MIB:,.0f} in memory, {self.disk / MIB:,.0f} on disk"
            )
        yield self.models
        yield (
            f"predicted: {self.seconds:.0f} s ({self.seconds / 60:.1f} min) for all runs; starting, checking, loading "
            "the model and the report come on top, some seconds each"
        )
        yield f"peak memory {self.peak_memory_mib:,.0f} MiB; planning took {self.planning_seconds:.0f} s"
        if self.frozen:
            yield self.frozen
        if self.file:
            yield f"kept for the report: {self.file}"

    def __repr__(self) -> str:
        return as_text(self.parts())

    def _repr_html_(self) -> str:
        return as_html(self.parts())


def _cells(cells: tuple[PlannedCell, ...]) -> Table:
    columns = ("trials", "finals", "steps a run", "steps in all", "parameters that train", "share", "seconds")
    table = Table("cell", *(Column(name, justify="right") for name in columns), box=None, header_style="bold")
    for cell in cells:
        runs, share = cell.trials + cell.finals, f"{cell.trainable / cell.parameters:.1%}"
        trained = f"{cell.fewest:,} to {cell.trainable:,}" if cell.fewest < cell.trainable else f"{cell.trainable:,}"
        counts = [cell.trials, cell.finals, cell.steps, cell.steps * runs]
        table.add_row(cell.id, *(f"{count:,}" for count in counts), trained, share, f"{cell.seconds:.1f}")
    return table


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
