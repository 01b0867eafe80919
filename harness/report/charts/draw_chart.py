"""A chart as matplotlib draws it, once for page and files: panels on the same axes, a legend and a title above them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from harness.report.charts.chart import Axis, Chart, Line, dashes, shape
from harness.report.charts.layout import GLYPH, LEFT, RIGHT, ROW, Box, Layout, layout
from harness.report.charts.palette import GRID, NEUTRAL, PAPER, STYLES, TEXT
from harness.report.charts.ticks import limits, linear_ticks, log_ticks

__all__ = ["draw_chart"]

MARKERS = "osD^vPX"
LABELS = 10
"""Points of all text but titles."""


def draw_chart(chart: Chart) -> Figure:
    """Return a chart as a figure.

    Panels are named ``<chart>-<panel>`` in its SVG, lines ``<chart>-<panel>-<line>``, samples ``<chart>-key-<entry>``;
    a mark with a name of its own has that behind an ``@``.
    """
    where = layout(chart)
    figure = Figure(figsize=(where.width / 72, where.height / 72))
    points = where.points(figure)
    text: dict[str, Any] = {"transform": points, "color": TEXT, "va": "baseline"}
    figure.text(4, 4, where.title, fontsize=12, **text | {"va": "top"})
    for number, (box, line) in enumerate(zip(where.keys, chart.entries(), strict=True)):
        figure.add_artist(_key(line, box, gid=f"{chart.name}-key-{number}", transform=points))
        figure.text(box.x + box.width + 5, box.y + 10, line.name, fontsize=LABELS, **text)
    for number, (tile, panel) in enumerate(zip(where.tiles, chart.panels, strict=True)):
        axes = figure.add_axes(where.axes(tile), gid=f"{chart.name}-{number}")
        _axes(axes, chart, where, tile)
        for place, line in enumerate(panel.lines):
            DRAWN[line.drawn](axes, line, f"{chart.name}-{number}-{place}")
        figure.text(tile.x + 4, tile.y - 3, panel.title, fontsize=11, weight="bold", **text)
    return figure


def _axes(axes: Any, chart: Chart, where: Layout, tile: Box) -> None:
    """Set up one panel's axes: nothing but a grid, numbers at its ends, and what both axes measure."""
    axes.set_axisbelow(True)
    axes.patch.set_visible(False)
    axes.spines[:].set_visible(False)
    axes.grid(color=GRID, linewidth=0.7, clip_on=False)
    axes.tick_params(length=0, pad=5, labelsize=LABELS, labelcolor=TEXT)
    low, high = limits(chart.heights())
    axes.set_ylim(low, high)
    _ticks(axes.yaxis, linear_ticks(low, high, most=5))
    low, high = _across(chart)
    if chart.x.kind == "log":
        axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.minorticks_off()
    text: dict[str, Any] = {"transform": where.points(axes.figure), "color": TEXT, "fontsize": LABELS, "va": "baseline"}
    if chart.x.names:
        _ticks(axes.xaxis, dict.fromkeys(map(float, range(len(chart.x.names))), ""))
        _names(axes, chart.x, where, tile, text)
    elif chart.x.kind == "log":
        _ticks(axes.xaxis, log_ticks(low, high))
    else:
        count = chart.x.kind == "count"
        _ticks(axes.xaxis, linear_ticks(low, high, most=8 if count else 5, whole=count))
    axes.text(tile.x + 4, tile.y + 11, _cut(chart.y.label, tile.width - 8), **text)
    right = tile.x + tile.width - RIGHT
    axes.text(right, tile.y + tile.height - 4, _cut(chart.x.label, tile.width - RIGHT - 4), ha="right", **text)


def _across(chart: Chart) -> tuple[float, float]:
    """Return the ends of the axis across."""
    if chart.x.names:
        return -0.5, len(chart.x.names) - 0.5
    if chart.x.kind != "log":
        return limits(chart.widths())
    low, high = limits(math.log10(value) for value in chart.widths())
    return 10**low, 10**high


def _ticks(axis: Any, labels: dict[float, str]) -> None:
    axis.set_ticks(list(labels), list(labels.values()))


def _names(axes: Any, x: Axis, where: Layout, tile: Box, text: dict[str, Any]) -> None:
    """Write the names of an axis in rows, each below its place and within the tile."""
    slot = (tile.width - LEFT - RIGHT) / len(x.names)
    floor = tile.y + tile.height - 8 - ROW * where.rows
    for place, name in enumerate(x.names):
        half = len(name) * GLYPH / 2
        middle = min(max(LEFT + slot * (place + 0.5), half), tile.width - half)
        axes.text(tile.x + middle, floor + ROW * (place % where.rows), name, ha="center", **text)


def _cut(text: str, width: float) -> str:
    most = int(width / GLYPH)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _color(line: Line) -> str:
    return NEUTRAL if line.style < 0 else STYLES[line.style % len(STYLES)]


def _marks(line: Line) -> dict[str, Any]:
    """Return how the marks of a line look, so that lines differ without their color."""
    if line.style < 0:
        return {"marker": "x", "markersize": 6, "markeredgewidth": 1.6}
    marker = MARKERS[shape(line.style, len(MARKERS))]
    return {"marker": marker, "markersize": 7, "markeredgewidth": 0.5, "markeredgecolor": PAPER}


def _stroke(line: Line) -> dict[str, Any]:
    """Return how the stroke of a line looks."""
    solid: dict[str, Any] = {
        "linestyle": (0, dashes(line.style)) if line.style >= 0 and dashes(line.style) else "-",
        "linewidth": 1.6,
    }
    kinds: dict[str, dict[str, Any]] = {
        "thin": {"linestyle": (0, (3, 2)), "linewidth": 1.1},
        "level": {"linestyle": (0, (5, 3)), "linewidth": 1.4},
        "steps": {"linestyle": (0, (1.5, 2.5)), "linewidth": 1.2},
        "dots": {"linestyle": "none"},
    }
    return {**kinds.get(line.drawn, solid), "color": _color(line)}


def _key(line: Line, box: Box, **named: Any) -> Line2D:
    """Return a line's sample for the legend."""
    marks = _marks(line) | {"markevery": [1]} if line.drawn in ("marked", "dots") else {}
    middle = box.y + box.height / 2
    return Line2D([box.x, box.x + box.width / 2, box.x + box.width], [middle] * 3, **_stroke(line), **marks, **named)


def _marked(axes: Any, line: Line, gid: str) -> None:
    axes.plot(*_xy(line), clip_on=False, gid=gid, **_stroke(line) | _marks(line))
    spread = [point for point in line.points if math.isfinite(point.low) and math.isfinite(point.high)]
    if spread:
        x, low, high = zip(*((point.x, point.low, point.high) for point in spread), strict=True)
        bars = axes.vlines(x, low, high, color=_color(line), linewidth=1.2, alpha=0.75, clip_on=False)
        bars.set_gid(f"{gid}-spread")


def _dots(axes: Any, line: Line, gid: str) -> None:
    for point in line.points:
        axes.plot([point.x], [point.y], clip_on=False, gid=f"{gid}@{point.name}", **_stroke(line) | _marks(line))


def _plain(axes: Any, line: Line, gid: str) -> None:
    axes.plot(*_xy(line), clip_on=False, gid=gid, **_stroke(line))


def _level(axes: Any, line: Line, gid: str) -> None:
    axes.axhline(line.points[0].y, clip_on=False, gid=gid, **_stroke(line))


def _band(axes: Any, line: Line, gid: str) -> None:
    x, low, high = zip(*((point.x, point.low, point.high) for point in line.points), strict=True)
    axes.fill_between(x, low, high, color=_color(line), alpha=0.13, linewidth=0, clip_on=False, gid=gid)


def _xy(line: Line) -> tuple[list[float], list[float]]:
    return [point.x for point in line.points], [point.y for point in line.points]


DRAWN: dict[str, Callable[[Any, Line, str], None]] = {
    "marked": _marked,
    "dots": _dots,
    "thin": _plain,
    "level": _level,
    "band": _band,
    "steps": _plain,
}
