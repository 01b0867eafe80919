"""Charts on the page: pieces of the SVG that is also their file, in the page's colors and with words beside them."""

from __future__ import annotations

import re
from typing import NamedTuple

from markupsafe import Markup

from harness.report.charts.chart import Chart
from harness.report.charts.layout import Box, layout
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


def picture(chart: Chart, svg: str) -> Picture:
    """Return the pieces of a drawn chart.

    Args:
        chart: What is drawn.
        svg: What its file holds.
    """
    where, legend = layout(chart), []
    for number, (line, box) in enumerate(zip(chart.entries(), where.keys, strict=True)):
        opening = Markup('<svg class="swatch" viewBox="{}" aria-hidden="true">').format(_view(box))
        legend.append((opening + _piece(svg, f"{chart.name}-key-{number}") + Markup("</svg>"), line.name))
    panels = []
    for number, (panel, box) in enumerate(zip(chart.panels, where.tiles, strict=True)):
        name = f"{chart.name}-{number}"
        opening = Markup('<svg class="panel" viewBox="{}" role="img" aria-label="{}" aria-describedby="{}">').format(
            _view(box), f"{chart.title}: {panel.title}" if panel.title else chart.title, f"{name}-words"
        )
        words = Markup('<desc id="{}">{}</desc>').format(f"{name}-words", panel.words)
        panels.append((panel.title, opening + words + _piece(svg, name) + Markup("</svg>")))
    return Picture(legend, panels)


def _view(box: Box) -> str:
    return " ".join(f"{value:g}" for value in box)


def _piece(svg: str, name: str) -> Markup:
    """Return the group of an SVG that has a name, in the page's colors; matplotlib indents what is within a group."""
    group = re.search(rf'^( *)<g id="{re.escape(name)}">.*?^\1</g>', svg, flags=re.M | re.S)
    assert group is not None, name
    piece = re.sub(r"#[0-9a-f]{6}\b", lambda color: PAGE_COLORS.get(color[0], color[0]), group[0])
    for pattern, brief in SHORTER:
        piece = re.sub(pattern, brief, piece)
    return Markup(piece)
