"""The figures that the page shows as tables: the heat map, and each cell's difference to the baseline."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure

from harness.report.charts.chart import legible, short_names
from harness.report.charts.palette import COLORS, NEUTRAL
from harness.report.charts.scores import score_axis
from harness.report.number_format import score, typeset
from harness.results.collect import Results
from harness.results.row_order import kept_split, rows_by, score_grid, tunings
from harness.stats.verdicts import Verdicts

__all__ = ["draw_differences", "draw_heat_map"]


def draw_heat_map(results: Results) -> Figure:
    """Draw the scores of prompts by depths as shades, with the numbers written in."""
    rows, columns, split = score_grid(results), tunings(results), kept_split(results)
    grid = [[value for _, value in row] for row in rows.values()]
    figure = Figure(figsize=(1.2 * len(columns) + 3.0, 0.5 * len(rows) + 1.8), layout="constrained")
    axes = figure.add_subplot()
    shades = "cividis" if results.maximize else "cividis_r"
    image = axes.imshow(grid, cmap=shades, aspect="auto")
    for y, row in enumerate(grid):
        for x, value in enumerate(row):
            bright = math.isnan(value) or image.to_rgba(np.array([value]))[0, :3].sum() > 1.5
            ink = "black" if bright else "white"
            axes.text(x, y, typeset(score(value)), ha="center", va="center", fontsize=9, color=ink)
    axes.set_xticks(range(len(columns)), short_names(columns), rotation=30, ha="right", fontsize=8)
    axes.set_yticks(range(len(rows)), short_names(rows), fontsize=8)
    axes.set_xlabel("what trains")
    axes.set_ylabel(rows_by(results))
    figure.colorbar(image, ax=axes, label=legible(score_axis(results.lead, split, results).label).replace(", ", "\n"))
    axes.set_title(f"{legible(results.lead)} by prompt and depth", fontsize=11)
    return figure


def draw_differences(verdicts: Verdicts) -> Figure:
    """Draw every cell's difference to the baseline with its interval; what is decided is filled."""
    comparisons = verdicts.to_baseline
    better = "higher is better" if verdicts.higher_is_better else "lower is better"
    figure = Figure(figsize=(7.0, 0.32 * len(comparisons) + 1.4), layout="constrained")
    axes = figure.add_subplot()
    for verdict, color in {"better": COLORS[0], "worse": COLORS[1], "undecided": NEUTRAL}.items():
        rows = [(y, row.difference) for y, row in enumerate(comparisons) if row.verdict == verdict]
        places, values = [y for y, _ in rows], [estimate.value for _, estimate in rows]
        axes.hlines(places, [one.low for _, one in rows], [one.high for _, one in rows], color=color, linewidth=1.6)
        fill = "white" if verdict == "undecided" else color
        axes.plot(values, places, "o", markersize=6, color=color, markerfacecolor=fill)
    axes.axvline(0, color=NEUTRAL, linestyle="--", linewidth=1)
    axes.set_yticks(range(len(comparisons)), short_names(row.a for row in comparisons))
    axes.invert_yaxis()
    axes.set_xlabel(f"difference in test {legible(verdicts.metric)}, {better} (95% interval)")
    figure.suptitle(f"Against {short_names([verdicts.baseline])[0]}; filled: decided, all tested together", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
