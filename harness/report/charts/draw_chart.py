"""A chart as matplotlib draws it, once for page and files: panels on the same axes, a title and a legend above them."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation
from matplotlib.ticker import LogLocator, MaxNLocator

from harness.report.charts.chart import Axis, Chart, Line
from harness.report.charts.palette import COLORS, GRID, NEUTRAL, PAPER, STYLES, TEXT

__all__ = ["draw_chart"]

MARKERS = "osD^vPX"
DASHES = ("-", (0, (6, 2)), (0, (2, 2)), (0, (7, 2, 2, 2)))
"""Lines of one color differ in both."""

LABELS = 10
"""Points of all text but the title."""

GLYPH = 6.2
"""The width of a letter at the size of labels, on the safe side; a browser's fonts are not known here."""

COLUMNS = 3

LEFT, RIGHT, ABOVE, BELOW, ROW = 48, 14, 44, 24, 13
"""Around a panel's axes, in points: room for numbers, title and labels, and for each row of what stands below."""

LINES = 4
"""The most lines of a name below an axis; with more, names stand upright."""

UPRIGHT = 36
"""The most letters of a name that stands upright."""

OUT = -0.12
"""Where what stands above a panel begins, as a share of its axes' width."""

ACROSS = 270
"""About how wide a panel's axes are, in points."""


def draw_chart(chart: Chart) -> Figure:
    """Return a chart as a figure with a pixel to the point.

    Panels are named ``<chart>-<panel>`` in its SVG, lines ``<chart>-<panel>-<line>``, samples ``<chart>-key-<entry>``;
    a mark with a name of its own has that behind an ``@``.
    """
    entries, columns = chart.entries(), min(COLUMNS, len(chart.panels))
    rows = math.ceil(len(chart.panels) / columns)
    wide, high = (380, 260) if len(chart.panels) == 1 else (340, 240)
    width, below = wide * columns, BELOW + _room_below(chart.x.names)
    high += math.ceil(max(0.0, below - BELOW - LINES * ROW))
    title = textwrap.wrap(chart.title, int(width / GLYPH / 1.2))
    keys = max(1, int(width / (60 + GLYPH * max((len(line.name) for line in entries), default=0))))
    header = 16 * (len(title) + math.ceil(len(entries) / keys)) + 8
    height = header + high * rows
    figure = Figure(figsize=(width / 72, height / 72), dpi=72)
    legend = figure.legend(
        [
            Line2D([], [], **_stroke(line), **(_marks(line) if line.drawn in ("marked", "dots") else {}))
            for line in entries
        ],
        [line.name for line in entries],
        title="\n".join(title),
        title_fontproperties={"size": 12},
        loc="upper left",
        borderaxespad=0.3,
        alignment="left",
        ncols=keys,
        fontsize=LABELS,
        labelcolor=TEXT,
        handlelength=2.8,
        frameon=False,
    )
    legend.get_title().set_color(TEXT)
    for number, handle in enumerate(legend.get_lines()):
        handle.set_gid(f"{chart.name}-key-{number}")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flatten()
    figure.subplots_adjust(
        left=LEFT / width,
        right=1 - RIGHT / width,
        top=1 - (header + ABOVE) / height,
        bottom=below / height,
        wspace=(LEFT + RIGHT) / (wide - LEFT - RIGHT),
        hspace=(ABOVE + below) / (high - ABOVE - below),
    )
    for number, (axes, panel) in enumerate(zip(grid, chart.panels, strict=False)):
        axes.set_gid(f"{chart.name}-{number}")
        _axes(axes, chart, panel.title)
        for place, line in enumerate(panel.lines):
            _draw(axes, line, f"{chart.name}-{number}-{place}")
    _across(grid[0], chart.x)
    grid[0].yaxis.set_major_locator(MaxNLocator(5))
    for axes in grid[len(chart.panels) :]:
        axes.remove()
    return figure


def _axes(axes: Axes, chart: Chart, title: str) -> None:
    """Set up one panel's axes: nothing but a grid, numbers at its ends, and what both axes measure."""
    axes.set_axisbelow(True)
    axes.patch.set_visible(False)
    axes.spines[:].set_visible(False)
    axes.grid(color=GRID, linewidth=0.7, clip_on=False)
    axes.tick_params(length=0, pad=5, labelsize=LABELS, labelcolor=TEXT, labelleft=True, labelbottom=True)
    text: dict[str, Any] = {"fontsize": LABELS, "color": TEXT}
    room = "\n" if title else ""
    axes.set_title(room + _cut(chart.y.label), loc="left", x=OUT, **text)
    axes.set_xlabel(_cut(chart.x.label), loc="right", **text)
    place: dict[str, Any] = {"xycoords": axes.transAxes, "xytext": (0, 20), "textcoords": "offset points"}
    heading = Annotation(_cut(title), (OUT, 1), **place, weight="bold", **text)
    axes.figure.add_artist(heading)  # and not to the axes' own group: the page has headings of its own


def _across(axes: Axes, x: Axis) -> None:
    """Scale the axis across, which all panels share, and say where it has names or numbers."""
    if x.names:
        axes.set_xlim(-0.5, len(x.names) - 0.5)
        upright = _stand_upright(x.names)
        names = list(map(_cut_upright, x.names)) if upright else _broken(x.names)
        axes.set_xticks(range(len(x.names)), names, rotation=90 if upright else 0)
        return
    axes.dataLim.update_from_data_x(x.span, ignore=False)
    if x.kind == "log":
        axes.set_xscale("log")
        axes.minorticks_off()
        low, high = axes.get_xlim()
        wide = math.log10(high / low)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if wide < 1.5 else (1, 3) if wide < 3 else (1,)))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True) if x.kind == "count" else MaxNLocator(5))
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}" if 1e3 <= x < 1e6 else f"{x:.3g}")


def _stand_upright(names: Sequence[str]) -> bool:
    """Return whether names below an axis would take so many lines that they are better read upright."""
    return any(name.count("\n") >= LINES for name in _broken(names))


def _room_below(names: Sequence[str]) -> float:
    """Return the height of the names below an axis, in points."""
    if _stand_upright(names):
        return GLYPH * max(len(_cut_upright(name)) for name in names) + ROW
    return ROW * (1 + max((name.count("\n") for name in _broken(names)), default=0))


def _cut_upright(name: str) -> str:
    return name if len(name) <= UPRIGHT else f"{name[: UPRIGHT - 1]}…"


def _broken(names: Sequence[str]) -> list[str]:
    """Return the names below an axis in lines so short that none touches the next, broken behind signs if possible."""
    most = max(2, int(ACROSS / max(1, len(names)) / GLYPH) - 1)
    broken = []
    for name in names:
        lines = [""]
        for part in [part for word in re.findall(r"[^-_/ ]+[-_/ ]*", name) for part in textwrap.wrap(word, most)]:
            lines = [*lines[:-1], lines[-1] + part] if len(lines[-1] + part) <= most else [*lines, part]
        broken.append("\n".join(filter(None, lines)))
    return broken


def _cut(text: str) -> str:
    most = int((ACROSS + 40) / GLYPH)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _color(line: Line) -> str:
    return NEUTRAL if line.style < 0 else STYLES[line.style % len(STYLES)]


def _marks(line: Line) -> dict[str, Any]:
    """Return how the marks of a line look, so that lines differ without their color."""
    if line.style < 0:
        return {"marker": "x", "markersize": 6, "markeredgewidth": 1.6}
    marker = MARKERS[(line.style + line.style // len(COLORS)) % len(MARKERS)]
    return {"marker": marker, "markersize": 7, "markeredgewidth": 0.5, "markeredgecolor": PAPER}


def _stroke(line: Line) -> dict[str, Any]:
    """Return how the stroke of a line looks."""
    dashes = DASHES[max(0, line.style) // len(COLORS) % len(DASHES)]
    kinds: dict[str, dict[str, Any]] = {
        "thin": {"linestyle": (0, (3, 2)), "linewidth": 1.1},
        "level": {"linestyle": (0, (5, 3)), "linewidth": 1.4},
        "steps": {"linestyle": (0, (1.5, 2.5)), "linewidth": 1.2},
        "dots": {"linestyle": "none"},
    }
    return {**kinds.get(line.drawn, {"linestyle": dashes, "linewidth": 1.6}), "color": _color(line)}


def _draw(axes: Axes, line: Line, gid: str) -> None:
    """Draw a line, its marks and its spread, under names that the page and tests go by."""
    inside: dict[str, Any] = {"clip_on": False, "in_layout": False}
    look = {**inside, **_stroke(line)}
    x, y, low, high, names = zip(*line.points, strict=True)
    match line.drawn:
        case "level":
            axes.axhline(y[0], gid=gid, **look)
        case "band":
            axes.fill_between(x, low, high, color=_color(line), alpha=0.13, linewidth=0, gid=gid, **inside)
        case "dots":
            for name, *place in zip(names, x, y, strict=True):
                axes.plot(*[[value] for value in place], gid=f"{gid}@{name}", **look | _marks(line))
        case "marked":
            axes.plot(x, y, gid=gid, **look | _marks(line))
            if np.isfinite([*low, *high]).any():
                bars = axes.vlines(x, low, high, color=_color(line), linewidth=1.2, alpha=0.75, **inside)
                bars.set_gid(f"{gid}-spread")
        case "thin" | "steps":
            axes.plot(x, y, gid=gid, **look)
    if line.best:
        ring: dict[str, Any] = {"marker": "o", "markersize": 13, "markerfacecolor": "none"}
        axes.plot([line.best.x], [line.best.y], gid=f"{gid}-best", markeredgecolor=_color(line), **inside, **ring)
