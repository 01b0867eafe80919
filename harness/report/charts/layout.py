"""Where the parts of a drawing stand: title, legend, and one tile for each panel, in points from the upper left."""

from __future__ import annotations

import math
import textwrap
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.transforms import Affine2D, Transform

from harness.report.charts.chart import Chart

__all__ = ["Box", "Layout", "layout"]

GLYPH = 6.2
"""The width of a letter at the size of labels, on the safe side; a browser's fonts are not known here."""

LEFT, RIGHT, TOP, BOTTOM = 46, 14, 24, 36
"""Around a panel's axes, within its tile: room for numbers, names and labels."""

ROW = 13
"""From one row of labels to the next."""

COLUMNS = 3
TITLE, HEADING, KEY = 16, 18, 15
"""Heights of a line of the title, of a panel's name, of a row of the legend."""

SWATCH = 26
"""The width of a sample in the legend."""


class Box(NamedTuple):
    """A part of the drawing."""

    x: float
    y: float
    width: float
    height: float


class Layout(NamedTuple):
    """All parts of one chart's drawing."""

    width: float
    height: float
    title: str
    """Broken into lines."""
    keys: tuple[Box, ...]
    """A sample for each entry of the legend; its name stands to the right."""
    tiles: tuple[Box, ...]
    """One for each panel, with its numbers and labels; its name stands above."""
    rows: int
    """Over how many rows names below an axis are spread, so that none touches the next."""

    def points(self, figure: Figure) -> Transform:
        """Return what turns points from the upper left into a figure's own coordinates."""
        return Affine2D().scale(1 / 72, -1 / 72).translate(0, self.height / 72) + figure.dpi_scale_trans

    def axes(self, tile: Box) -> tuple[float, float, float, float]:
        """Return left, bottom, width and height of a tile's axes as shares of the figure."""
        bottom = BOTTOM + ROW * (self.rows - 1)
        width, height = tile.width - LEFT - RIGHT, tile.height - TOP - bottom
        low = self.height - tile.y - tile.height + bottom
        return (tile.x + LEFT) / self.width, low / self.height, width / self.width, height / self.height


def layout(chart: Chart) -> Layout:
    """Return the layout of a chart; one of a single panel has a little larger one."""
    lone = len(chart.panels) == 1
    width, height = (380, 260) if lone else (340, 215)
    columns = min(COLUMNS, len(chart.panels))
    slot = (width - LEFT - RIGHT) / max(1, len(chart.x.names))
    rows = max((math.ceil((len(name) + 1) * GLYPH / slot) for name in chart.x.names), default=1)
    height += ROW * (rows - 1)
    title = textwrap.wrap(chart.title, int(width * columns / GLYPH))
    top = TITLE * len(title) + 6
    names = [line.name for line in chart.entries()]
    wide = SWATCH + 22 + GLYPH * max(map(len, names), default=0)
    across = max(1, int(width * columns / wide))
    keys = tuple(
        Box(4 + wide * (place % across), top + KEY * (place // across), SWATCH, 12) for place in range(len(names))
    )
    top += KEY * math.ceil(len(names) / across) + (6 if lone else HEADING)
    tiles = tuple(
        Box(width * (place % columns), top + (height + HEADING) * (place // columns), width, height)
        for place in range(len(chart.panels))
    )
    return Layout(width * columns, tiles[-1].y + height, "\n".join(title), keys, tiles, rows)
