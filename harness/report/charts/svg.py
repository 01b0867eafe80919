"""Charts as inline SVG: every panel on the same axes, with labels that keep out of each other's way."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from markupsafe import Markup

from harness.report.charts.chart import Axis, Chart, Line, Panel, Point
from harness.report.charts.svg_marks import Scale, color, dashed, log_ticks, marker, scale, swatch, ticks

__all__ = ["Frame", "Picture", "frame", "picture"]

GLYPH = 6.2
"""The width of a letter at the size of labels, on the safe side; a browser's fonts are not known here."""

LEFT, RIGHT, TOP = 46, 14, 24
ROW = 13
"""From one row of labels to the next."""


class Frame(NamedTuple):
    """Where the values of a chart lie on its drawings."""

    width: int
    height: int
    bottom: int
    """What is below the axis across: its labels and its title."""
    across: Scale
    """Of the values across, or of their logarithms to base 10."""
    up: Scale
    log: bool

    def x(self, value: float) -> float:
        """Return how far from the left a value lies."""
        return LEFT + (self.width - LEFT - RIGHT) * self.across.place(math.log10(value) if self.log else value)

    def y(self, value: float) -> float:
        """Return how far from the top a value lies."""
        return self.height - self.bottom - (self.height - TOP - self.bottom) * self.up.place(value)


class Picture(NamedTuple):
    """A chart as the page shows it."""

    legend: list[tuple[Markup, str]]
    """Sample and name of each kind of line."""
    panels: list[tuple[str, Markup]]
    """Title, empty where it stands alone, and drawing."""


def frame(chart: Chart) -> Frame:
    """Return the axes that all panels of a chart share; a chart of one panel is a little larger."""
    width, height = (380, 260) if len(chart.panels) == 1 else (340, 215)
    log, names = chart.x.kind == "log", chart.x.names
    if names:
        across = Scale(-0.5, len(names) - 0.5)
    else:
        across = scale(math.log10(value) if log else value for value in chart.widths())
    rows = _rows(names, width)
    return Frame(width, height + ROW * (rows - 1), 36 + ROW * (rows - 1), across, scale(chart.heights()), log)


def picture(chart: Chart) -> Picture:
    """Return a chart as SVG, with its legend."""
    where = frame(chart)
    panels = [(panel.title, _panel(panel, chart, where, number)) for number, panel in enumerate(chart.panels)]
    return Picture([(swatch(line), line.name) for line in chart.entries()], panels)


def _panel(panel: Panel, chart: Chart, where: Frame, number: int) -> Markup:
    label = f"{chart.title}: {panel.title}" if panel.title else chart.title
    told = f"{chart.name}-{number}"
    size = Markup('<svg class="panel" viewBox="0 0 {} {}" role="img" ').format(where.width, where.height)
    names = Markup('aria-label="{}" aria-describedby="{}"><desc id="{}">{}</desc>').format(
        label, told, told, panel.words
    )
    opening = size + names
    parts = [*_axes(chart, where), *(_line(line, where) for line in panel.lines)]
    return opening + Markup("").join(parts) + Markup("</svg>")


def _axes(chart: Chart, where: Frame) -> list[Markup]:
    left, right, floor = LEFT, where.width - RIGHT, where.height - where.bottom
    parts = []
    for value, label in ticks(where.up, most=5):
        at = round(where.y(value), 1)
        parts.append(Markup('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(left, right, at, at))
        parts.append(_text(label, left - 5, at + 3.5, "end"))
    rows = _rows(chart.x.names, where.width)
    for place, (value, label) in enumerate(_across(chart.x, where)):
        at = round(where.x(10**value if where.log else value), 1)
        parts.append(Markup('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(at, at, TOP, floor))
        parts.append(_text(label, _inside(at, label, where.width), floor + 14 + ROW * (place % rows), "middle"))
    parts.append(_text(_cut(chart.y.label, where.width - 8), 4, 11, "start"))
    parts.append(_text(_cut(chart.x.label, right - 4), right, where.height - 4, "end"))
    return parts


def _across(axis: Axis, where: Frame) -> list[tuple[float, str]]:
    if axis.names:
        return [(float(place), name) for place, name in enumerate(axis.names)]
    if where.log:
        return log_ticks(where.across)
    whole = axis.kind == "count"
    return ticks(where.across, most=8 if whole else 5, whole=whole)


def _rows(names: tuple[str, ...], width: int) -> int:
    """Return over how many rows names are spread, so that none touches the next."""
    slot = (width - LEFT - RIGHT) / max(1, len(names))
    return max((math.ceil((len(name) + 1) * GLYPH / slot) for name in names), default=1)


def _inside(at: float, label: str, width: int) -> float:
    """Return where to center a label so that it stays within the drawing."""
    half = len(label) * GLYPH / 2
    return round(min(max(at, half), width - half), 1)


def _cut(text: str, width: float) -> str:
    most = int(width / GLYPH)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _text(text: str, x: float, y: float, anchor: str) -> Markup:
    return Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(x, round(y, 1), anchor, text)


def _line(line: Line, where: Frame) -> Markup:
    draw: dict[str, Callable[[Line, Frame], Markup]] = {
        "marked": _marked,
        "dots": _dots,
        "thin": _thin,
        "level": _level,
        "band": _band,
        "steps": _thin,
    }
    return Markup('<g class="{}">{}</g>').format(color(line.style), draw[line.drawn](line, where))


def _path(points: list[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _spots(line: Line, where: Frame) -> list[tuple[float, float]]:
    return [(where.x(point.x), where.y(point.y)) for point in line.points]


def _marked(line: Line, where: Frame) -> Markup:
    drawn = Markup('<polyline class="curve" points="{}"{}/>').format(_path(_spots(line, where)), dashed(line.style))
    return drawn + _dots(line, where)


def _dots(line: Line, where: Frame) -> Markup:
    return Markup("").join(_dot(point, line.style, where) for point in line.points)


def _dot(point: Point, style: int, where: Frame) -> Markup:
    x, y = where.x(point.x), where.y(point.y)
    spread = Markup("")
    if math.isfinite(point.low) and math.isfinite(point.high):
        spread = Markup('<line class="spread" x1="{0:.1f}" x2="{0:.1f}" y1="{1:.1f}" y2="{2:.1f}"/>').format(
            x, where.y(point.low), where.y(point.high)
        )
    return spread + marker(style, x, y, point.name)


def _thin(line: Line, where: Frame) -> Markup:
    return Markup('<polyline class="{}" points="{}"/>').format(line.drawn, _path(_spots(line, where)))


def _level(line: Line, where: Frame) -> Markup:
    at = where.y(line.points[0].y)
    return Markup('<line class="level" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>').format(
        LEFT, where.width - RIGHT, at, at
    )


def _band(line: Line, where: Frame) -> Markup:
    there = [(where.x(point.x), where.y(point.low)) for point in line.points]
    back = [(where.x(point.x), where.y(point.high)) for point in reversed(line.points)]
    return Markup('<polygon class="band" points="{}"/>').format(_path([*there, *back]))
