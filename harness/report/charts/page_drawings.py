"""Charts on the page: pieces of the SVG that is also their file, in the page's colors and with words beside them."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from harness.report.charts.chart import Chart
from harness.report.charts.figure_files import Drawing
from harness.report.charts.palette import PAGE_COLORS

__all__ = ["Picture", "picture"]

SHORTER = (
    (r' id="[A-Za-z0-9.]+_\d+"', ""),  # matplotlib's own, which other drawings of the page have too
    (r'<g id="[^"@]*@([^"]*)">', r"<g><title>\1</title>"),
    (r' transform="rotate\(-0 [^"]*\)"', ""),
    (r"font-(size|family): [^;\"]*; ", ""),  # the page has its own
    (r"xlink:href", "href"),
    (r"(?<=[ \"(LM])(-?\d+\.\d)\d+(?=[ \")])", r"\1"),
    (r"\s*\n\s*", " "),
    (r"> <", "><"),
    (r"<g/>", ""),
)
"""What the page leaves out of a drawing, or says more briefly."""


class Picture(NamedTuple):
    """A chart as the page shows it."""

    legend: list[tuple[Markup, str]]
    """Sample and name of each kind of line."""
    panels: list[tuple[str, Markup]]
    """Title, empty where it stands alone, and drawing."""


def picture(chart: Chart, drawing: Drawing) -> Picture:
    """Return the pieces of a drawn chart."""
    figure, svg = drawing
    legend = []
    for number, (line, handle) in enumerate(zip(chart.entries(), figure.legends[0].legend_handles, strict=True)):
        view = _view(handle.get_window_extent().padded(1), figure)
        opening = Markup('<svg class="swatch" viewBox="{}" aria-hidden="true">').format(view)
        legend.append((opening + _piece(svg, f"{chart.name}-key-{number}") + Markup("</svg>"), line.name))
    panels = []
    for number, (panel, box) in enumerate(zip(chart.panels, _boxes(figure), strict=True)):
        name = f"{chart.name}-{number}"
        opening = Markup('<svg class="panel" viewBox="{}" role="img" aria-label="{}" aria-describedby="{}">').format(
            _view(box, figure), f"{chart.title}: {panel.title}" if panel.title else chart.title, f"{name}-words"
        )
        words = Markup('<desc id="{}">{}</desc>').format(f"{name}-words", panel.words)
        panels.append((panel.title, opening + words + _piece(svg, name) + Markup("</svg>")))
    return Picture(legend, panels)


def _boxes(figure: Figure) -> list[Bbox]:
    """Return what the panels take with all their text, boxes of one size."""
    inner = np.array([axes.get_window_extent().extents for axes in figure.axes])
    room = np.array([axes.get_tightbbox().extents for axes in figure.axes]) - inner
    return [Bbox.from_extents(*one) for one in inner + [*room.min(axis=0)[:2] - 4, *room.max(axis=0)[2:] + 4]]


def _view(box: Bbox, figure: Figure) -> str:
    return f"{box.x0:.1f} {figure.bbox.height - box.y1:.1f} {box.width:.1f} {box.height:.1f}"


def _piece(svg: str, name: str) -> Markup:
    """Return the group of an SVG that has a name, in the page's colors; matplotlib indents what is within a group."""
    group = re.search(rf'^( *)<g id="{re.escape(name)}">.*?^\1</g>', svg, flags=re.M | re.S)
    assert group is not None, name
    piece = re.sub(r"#[0-9a-f]{6}\b", lambda color: PAGE_COLORS.get(color[0], color[0]), group[0])
    for pattern, brief in SHORTER:
        piece = re.sub(pattern, brief, piece)
    return Markup(piece)
