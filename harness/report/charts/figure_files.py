"""Figures as files, PNG and SVG; the page shows pieces of the same SVG."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from harness.core.whole_files import write_whole

__all__ = ["Drawing", "drawn", "write_figures"]

PIXELS = 7e6
"""The most that a PNG may have; a larger one has fewer to the inch."""

SHARPEST = 150
"""Pixels to the inch of all others."""


class Drawing(NamedTuple):
    """A figure, and what its SVG file holds."""

    figure: Figure
    svg: str


def drawn(figure: Figure, name: str) -> Drawing:
    """Return a figure with its SVG; without a date and with fixed ids, the same study gives the same bytes."""
    FigureCanvasAgg(figure)
    file = io.StringIO()
    settings: Any = {"svg.hashsalt": name, "svg.fonttype": "none", "font.sans-serif": ["DejaVu Sans"]}
    with matplotlib.rc_context(settings):
        figure.savefig(file, format="svg", metadata={"Date": None})
    figure.set_layout_engine("none")  # else the PNG would be laid out again
    return Drawing(figure, file.getvalue())


def write_figures(drawings: Mapping[str, Drawing], folder: Path) -> None:
    """Write ``<name>.svg`` and ``<name>.png`` of each drawing; the folder holds no others afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in [*folder.glob("*.png"), *folder.glob("*.svg")]:
        old.unlink()  # a study that claims less now must not show what it claimed before
    for name, (figure, svg) in drawings.items():
        width, height = figure.get_size_inches()
        write_whole(folder / f"{name}.svg", svg)
        pixels = io.BytesIO()
        figure.savefig(pixels, format="png", dpi=min(SHARPEST, (PIXELS / width / height) ** 0.5))
        write_whole(folder / f"{name}.png", pixels.getvalue())
