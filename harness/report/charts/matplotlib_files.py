"""Figures as files, PNG and SVG: the charts of the page, the heat map, and every cell's difference to the baseline."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from harness.report.charts.chart import Axis, Chart, Line, dashes, shape
from harness.report.charts.palette import COLORS
from harness.report.charts.scores import score_axis
from harness.report.number_format import score, typeset
from harness.results.collect import Results
from harness.results.row_order import kept_split, prompts, tunings
from harness.stats.verdicts import Verdicts

__all__ = ["draw"]


MARKERS = "osD^vPX"
GRAY = "#666666"


def draw(results: Results, verdicts: Verdicts | None, charts: Sequence[Chart], folder: Path) -> list[Path]:
    """Write each figure as ``<name>.png`` and ``<name>.svg``; return the PNG files.

    Beside the charts: ``heat`` where any cell has a score, ``differences`` where one is compared with the baseline.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in [*folder.glob("*.png"), *folder.glob("*.svg")]:
        old.unlink()  # a study that claims less now must not show what it claimed before
    figures = {chart.name: _chart(chart) for chart in charts}
    if "depths" in figures:
        figures["heat"] = _heat(results)
    if verdicts and verdicts.to_baseline:
        figures["differences"] = _differences(verdicts)
    files = []
    # Without a date and with fixed ids, the same study gives the same bytes.
    with matplotlib.rc_context({"svg.hashsalt": results.study, "svg.fonttype": "none"}):
        for name, figure in figures.items():
            FigureCanvasAgg(figure)
            figure.draw_without_rendering()
            figure.set_layout_engine("none")  # else both files would lay the figure out again
            figure.savefig(folder / f"{name}.png", dpi=120)
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
            files.append(folder / f"{name}.png")
    return files


def _style(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)


def _chart(chart: Chart) -> Figure:
    """Draw a chart's panels on the same axes, with one legend beside them."""
    columns = min(3, len(chart.panels))
    rows = math.ceil(len(chart.panels) / columns)
    width, height = (7.0, 4.2) if len(chart.panels) == 1 else (3.4 * columns + 1.6, 2.7 * rows + 0.9)
    figure = Figure(figsize=(width, height), layout="constrained")
    grid = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
    for axes, panel in zip(grid, chart.panels, strict=False):
        for line in panel.lines:
            _LINES[line.drawn](axes, line)
        axes.set_title(panel.title, fontsize=10)
        _style(axes)
    for place in range(len(chart.panels), len(grid)):
        grid[place].set_visible(False)
        grid[place - columns].tick_params(labelbottom=True)
    _across(figure.axes[0], chart.x)
    for axes in figure.axes:
        axes.tick_params(labelsize=8)
    entries = {label: handle for axes in figure.axes for handle, label in _handles(axes)}
    if entries:
        figure.legend(entries.values(), entries.keys(), title=chart.legend, frameon=False, loc="outside right center")
    figure.supxlabel(chart.x.label, fontsize=10)
    figure.supylabel(chart.y.label, fontsize=10)
    figure.suptitle(chart.title, fontsize=11, wrap=True)
    return figure


def _handles(axes: Any) -> list[tuple[Any, str]]:
    handles, labels = axes.get_legend_handles_labels()
    return list(zip(handles, labels, strict=True))


def _across(axes: Any, x: Axis) -> None:
    """Set up the axis across; panels share it."""
    if x.kind == "names":
        slant: dict[str, Any] = {"rotation": 30, "ha": "right"} if len(x.names) > 5 else {}
        axes.set_xticks(range(len(x.names)), x.names, **slant)
        axes.set_xlim(-0.5, len(x.names) - 0.5)
    elif x.kind == "count":
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    elif x.kind == "log":
        axes.set_xscale("log")
        low, high = axes.get_xlim()
        low, high = min([low, *x.span]), max([high, *x.span])
        axes.set_xlim(low, high)
        factors = (1.0, 3.0) if high < 1000 * low else (1.0,)
        axes.xaxis.set_major_locator(LogLocator(subs=factors))
        axes.xaxis.set_major_formatter(_plain if low >= 0.01 and high < 1e5 else _power)
        axes.xaxis.set_minor_locator(NullLocator())


def _plain(value: float, _: int) -> str:
    return f"{value:g}"


def _power(value: float, _: int) -> str:
    return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")


def _color(line: Line) -> str:
    return GRAY if line.style < 0 else COLORS[line.style % len(COLORS)]


def _mark(line: Line) -> str:
    return "x" if line.style < 0 else MARKERS[shape(line.style, len(MARKERS))]


def _strokes(line: Line) -> Any:
    return (0, dashes(line.style)) if line.style >= 0 and dashes(line.style) else "-"


def _points(line: Line) -> tuple[list[float], list[float]]:
    return [point.x for point in line.points], [point.y for point in line.points]


def _marked(axes: Any, line: Line) -> None:
    _marks(axes, line, _strokes(line))


def _dots(axes: Any, line: Line) -> None:
    _marks(axes, line, "none")


def _marks(axes: Any, line: Line, strokes: Any) -> None:
    looks = {"color": _color(line), "marker": _mark(line), "markersize": 5, "linestyle": strokes, "linewidth": 1.4}
    axes.plot(*_points(line), label=line.name, **looks)
    spread = [point for point in line.points if math.isfinite(point.low) and math.isfinite(point.high)]
    for point in spread:
        axes.plot([point.x, point.x], [point.low, point.high], color=_color(line), lw=1.1, alpha=0.8)


def _thin(axes: Any, line: Line) -> None:
    axes.plot(*_points(line), color=_color(line), linestyle="--", linewidth=1.0)


def _level(axes: Any, line: Line) -> None:
    axes.axhline(line.points[0].y, color=_color(line), ls="--", lw=1.0, label=line.name)


def _band(axes: Any, line: Line) -> None:
    ends = [point.low for point in line.points], [point.high for point in line.points]
    axes.fill_between([point.x for point in line.points], *ends, color=_color(line), alpha=0.13, lw=0)


def _steps(axes: Any, line: Line) -> None:
    axes.plot(*_points(line), color=_color(line), ls=":", lw=1.2, label=line.name)


_LINES: dict[str, Callable[[Any, Line], None]] = {
    "marked": _marked,
    "dots": _dots,
    "thin": _thin,
    "level": _level,
    "band": _band,
    "steps": _steps,
}


def _heat(results: Results) -> Figure:
    """Draw the scores of prompts by depths as shades, with the numbers written in."""
    split, own, deep = kept_split(results), prompts(results), tunings(results)
    scores = {(cell.prompt, cell.tuning): cell.score(f"{split}/{results.lead}") for cell in results.cells}
    grid = [[scores.get((prompt, tuning), math.nan) for tuning in deep] for prompt in own]
    figure = Figure(figsize=(1.2 * len(deep) + 3.0, 0.5 * len(own) + 1.8), layout="constrained")
    axes = figure.add_subplot()
    shades = "cividis" if results.maximize else "cividis_r"
    image = axes.imshow(grid, cmap=shades, aspect="auto")
    for row, line in enumerate(grid):
        for column, value in enumerate(line):
            text = typeset(score(value))
            bright = math.isnan(value) or image.to_rgba(np.array([value]))[0, :3].sum() > 1.5
            axes.text(column, row, text, ha="center", va="center", fontsize=9, color="black" if bright else "white")
    axes.set_xticks(range(len(deep)), deep, rotation=30, ha="right", fontsize=8)
    axes.set_yticks(range(len(own)), own, fontsize=8)
    axes.set_xlabel("what trains")
    axes.set_ylabel("prompt")
    figure.colorbar(image, ax=axes, label=score_axis(results.lead, split, results).label.replace(", ", "\n"))
    axes.set_title(f"{results.lead} by prompt and depth", fontsize=11)
    return figure


def _differences(verdicts: Verdicts) -> Figure:
    """Draw every cell's difference to the baseline with its interval; what is decided is filled."""
    found = verdicts.to_baseline
    better = "higher is better" if verdicts.higher_is_better else "lower is better"
    figure = Figure(figsize=(7.0, 0.32 * len(found) + 1.4), layout="constrained")
    axes = figure.add_subplot()
    colors = {"better": COLORS[0], "worse": COLORS[1], "undecided": GRAY}
    for place, one in enumerate(found):
        difference, color = one.difference, colors[one.verdict]
        fill = "white" if one.verdict == "undecided" else color
        axes.plot([difference.low, difference.high], [place, place], color=color, linewidth=1.6)
        axes.plot(difference.value, place, marker="o", color=color, markerfacecolor=fill, markersize=6)
    axes.axvline(0, color=GRAY, linestyle="--", linewidth=1)
    axes.set_yticks(range(len(found)), [one.a for one in found])
    axes.invert_yaxis()
    axes.set_xlabel(f"difference in test {verdicts.metric}, {better} (95% interval)")
    figure.suptitle(f"Against {verdicts.baseline}; filled: decided after Holm's correction", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
