"""The matrix of prompt transfer: cells that trained with one prompt, asked under all."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from harness.report.charts.chart import legible, short_names
from harness.report.number_format import score, typeset
from harness.results.collect import Results
from harness.results.prompt_transfer import PromptTransfer

__all__ = ["draw_transfer"]


def draw_transfer(found: PromptTransfer, results: Results) -> Figure:
    """Draw scores as shades with the numbers written in; framed where a cell is asked under its own prompt."""
    grid = [[row.scores[name] for name in found.prompts] for row in found.rows]
    figure = Figure(figsize=(1.2 * len(found.prompts) + 3.6, 0.4 * len(grid) + 1.9), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(grid, cmap="cividis" if results.maximize else "cividis_r", aspect="auto")
    for y, (row, values) in enumerate(zip(found.rows, grid, strict=True)):
        for x, (name, value) in enumerate(zip(found.prompts, values, strict=True)):
            bright = math.isnan(value) or image.to_rgba(np.array([value]))[0, :3].sum() > 1.5
            ink = "black" if bright else "white"
            axes.text(x, y, typeset(score(value)), ha="center", va="center", fontsize=9, color=ink)
            if name == row.prompt:
                axes.add_patch(Rectangle((x - 0.47, y - 0.44), 0.94, 0.88, fill=False, edgecolor=ink, linewidth=1.4))
    axes.set_xticks(range(len(found.prompts)), short_names(found.prompts), rotation=30, ha="right", fontsize=8)
    axes.set_yticks(range(len(grid)), short_names(row.cell for row in found.rows), fontsize=8)
    axes.set_xlabel("asked under")
    axes.set_ylabel("trained")
    figure.colorbar(image, ax=axes, label=legible(f"{results.lead} on test"))
    axes.set_title("Final models under every prompt; framed: their own", fontsize=11)
    return figure
