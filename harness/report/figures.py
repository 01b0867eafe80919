"""Figures as files: what each prompt gains at each depth, how scores depend on the learning rate, and differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from harness.report.collect import CellResult, Results
from harness.report.findings import Findings
from harness.stats import spread
from harness.verdicts import Verdicts

__all__ = ["draw"]

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette (Color Universal Design, 2008): distinguishable for color-blind readers."""

MARKERS = "osD^vPX"


def draw(results: Results, findings: Findings, folder: Path) -> list[Path]:
    """Write ``depths``, ``learning_rates`` and, where there are any, ``differences``; return the PNG files.

    Each is written as PNG and as SVG.
    """
    folder.mkdir(parents=True, exist_ok=True)
    figures = {"depths": _depths(results), "learning_rates": _learning_rates(results)}
    if findings.verdicts and findings.verdicts.to_baseline:
        figures["differences"] = _differences(findings.verdicts)
    files = []
    for name, figure in figures.items():
        FigureCanvasAgg(figure)
        for kind in ("png", "svg"):
            figure.savefig(folder / f"{name}.{kind}", dpi=150, bbox_inches="tight")
        files.append(folder / f"{name}.png")
    return files


def _names(cells: Sequence[CellResult], part: str) -> list[str]:
    return list(dict.fromkeys(getattr(cell, part) for cell in cells))


def _style(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)


def _depths(results: Results) -> Figure:
    """Draw the leading metric for each prompt over the tunings, mean and every seed's value."""
    split = "test" if any(cell.values(f"test/{results.lead}") for cell in results.cells) else "validation"
    prompts, tunings = _names(results.cells, "prompt"), _names(results.cells, "tuning")
    figure = Figure(figsize=(max(6.0, 1.6 * len(tunings) + 2.5), 4.2))
    axes = figure.add_subplot()
    width = 0.36 / max(1, len(prompts))
    for number, prompt in enumerate(prompts):
        cells = {cell.tuning: cell for cell in results.cells if cell.prompt == prompt}
        shift = (number - (len(prompts) - 1) / 2) * width
        color, marker = COLORS[number % len(COLORS)], MARKERS[number % len(MARKERS)]
        points = [(tunings.index(t) + shift, cell) for t, cell in cells.items()]
        xs = [x for x, _ in points]
        means = [cell.score(f"{split}/{results.lead}") for _, cell in points]
        spreads = [spread(cell.values(f"{split}/{results.lead}")) for _, cell in points]
        bars = [0.0 if math.isnan(value) else value for value in spreads]
        axes.errorbar(
            xs, means, yerr=bars, color=color, marker=marker, markersize=7, capsize=3, linewidth=1.4, label=prompt
        )
        for x, cell in points:
            values = cell.values(f"{split}/{results.lead}")
            axes.scatter([x] * len(values), values, s=10, color=color, alpha=0.5, zorder=1)
    axes.set_xticks(range(len(tunings)), tunings)
    axes.set_xlabel("what trains")
    axes.set_ylabel(f"{results.lead} ({split}{_direction(results.maximize)})")
    axes.set_title(
        f"{results.study}: prompts by depth, mean and standard deviation over seeds", fontsize=11, loc="left"
    )
    axes.legend(title="prompt", frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    _style(axes)
    return figure


def _direction(maximize: bool) -> str:
    return ", higher is better" if maximize else ", lower is better"


def _learning_rates(results: Results) -> Figure:
    """Draw the objective over the learning rate, one panel per prompt, one line per tuning."""
    prompts = _names(results.cells, "prompt")
    tunings = [t for t in _names(results.cells, "tuning") if t != "none"]
    columns = min(3, len(prompts))
    lines = math.ceil(len(prompts) / columns)
    figure = Figure(figsize=(3.6 * columns + 1.2, 3.1 * lines + 0.6), layout="constrained")
    panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).flat
    for axes, prompt in zip(panels, prompts, strict=False):
        for cell in (cell for cell in results.cells if cell.prompt == prompt):
            _curve(axes, cell, results, tunings)
        axes.set_title(prompt, fontsize=10)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        axes.xaxis.set_major_formatter(lambda rate, _: f"{rate:.0e}".replace("e-0", "e-"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.tick_params(axis="x", labelsize=8)
        _style(axes)
    for axes in list(panels)[len(prompts) :]:
        axes.set_visible(False)
    handles = {
        label: handle for axes in figure.axes for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), title="what trains", frameon=False, loc="outside right center")
    figure.supxlabel("learning rate", fontsize=10)
    loss = results.objective == "loss"
    better = _direction(results.maximize and not loss)
    figure.supylabel(f"{results.objective} ({'nats a token, ' if loss else ''}validation{better})", fontsize=10)
    return figure


def _curve(axes: Any, cell: CellResult, results: Results, tunings: Sequence[str]) -> None:
    if cell.tuning == "none":
        value = cell.score(f"validation/{results.objective}")
        if not math.isnan(value):
            axes.axhline(value, color="#777777", linestyle="--", linewidth=1, label="none (zero-shot)")
        return
    number = tunings.index(cell.tuning)
    color, marker = COLORS[number % len(COLORS)], MARKERS[number % len(MARKERS)]
    points = sorted((trial.learning_rate, trial.value) for trial in cell.trials if trial.state == "complete")
    axes.plot(
        *zip(*points, strict=True) if points else ([], []),
        color=color,
        marker=marker,
        markersize=5,
        linewidth=1.2,
        label=cell.tuning,
    )


def _differences(verdicts: Verdicts) -> Figure:
    """Draw every cell's difference to the baseline with its interval; what is decided is filled."""
    found = verdicts.to_baseline
    figure = Figure(figsize=(7.0, 0.32 * len(found) + 1.4), layout="constrained")
    axes = figure.add_subplot()
    colors = {"better": COLORS[0], "worse": COLORS[1], "undecided": "#777777"}
    for place, one in enumerate(found):
        difference, color = one.difference, colors[one.verdict]
        fill = "white" if one.verdict == "undecided" else color
        axes.plot([difference.low, difference.high], [place, place], color=color, linewidth=1.6)
        axes.plot(difference.value, place, marker="o", color=color, markerfacecolor=fill, markersize=6)
    axes.axvline(0, color="#777777", linestyle="--", linewidth=1)
    axes.set_yticks(range(len(found)), [one.a for one in found])
    axes.invert_yaxis()
    axes.set_xlabel(f"difference in test {verdicts.metric}{_direction(verdicts.higher_is_better)} (95% interval)")
    axes.set_title(f"Against {verdicts.baseline}; filled: decided after Holm's correction", fontsize=11, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    return figure
