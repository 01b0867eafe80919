"""What `harness plan` predicted of a study, as a report sets it beside what the study took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

__all__ = ["CellForecast", "Forecast"]


class CellForecast(NamedTuple):
    """One cell, from nothing to its last final run."""

    trials: int
    finals: int
    seconds: float
    """Of all its runs together."""


@dataclass(frozen=True)
class Forecast:
    """A whole study, or those of its cells that were planned."""

    cells: Mapping[str, CellForecast]
    """By id, in grid order."""

    peak_memory_mib: float
    """The most that the process, or the GPU, holds at a time."""

    recordings_mib: float
    """What is recorded of the frozen parts."""

    @property
    def seconds(self) -> float:
        """Of all runs together; loading the model and writing the report come on top."""
        return sum(cell.seconds for cell in self.cells.values())

    def as_json(self) -> dict[str, Any]:
        """Return what `from_json` takes."""
        return asdict(self) | {"cells": {name: cell._asdict() for name, cell in self.cells.items()}}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Forecast:
        """Return what was written.

        Raises:
            KeyError: Not by `as_json`.
            TypeError: Likewise.
        """
        cells = {name: CellForecast(**cell) for name, cell in value["cells"].items()}
        return cls(cells, float(value["peak_memory_mib"]), float(value["recordings_mib"]))
