"""What a drawing shows, apart from how: `draw_chart` draws it once for the page and for files."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, NamedTuple

from harness.core.printable import printable

__all__ = ["Axis", "Chart", "Line", "Panel", "Point", "legible", "short_names"]


NAME = 40
"""Characters of a name beside an axis."""


class Point(NamedTuple):
    """A mark of a drawing."""

    x: float
    """On an axis of names: the number of the name, 0 for the first, and a little beside it."""
    y: float
    low: float = math.nan
    """The lower end of its interval, where it has one."""
    high: float = math.nan
    name: str = ""
    """What it is, where its line does not say so; the page tells it to who points at the mark."""


class Line(NamedTuple):
    """Points that belong together."""

    name: str
    """Its entry in the legend; empty: none."""
    style: int
    """Which color, shape and dashes; -1: neutral."""
    points: tuple[Point, ...]
    drawn: Literal["marked", "dots", "thin", "level", "band", "steps"] = "marked"
    """A line with marks; marks alone; a thin dashed line without marks; a level through the first point; the area
    between ``low`` and ``high``; or steps, as of a front that nothing lies beyond."""
    best: Point | None = None
    """The one of its points that was chosen, which has a ring around it."""


class Panel(NamedTuple):
    """One of the drawings that stand side by side on the same axes."""

    title: str
    """Empty where there is one alone."""
    lines: tuple[Line, ...]
    words: str
    """The drawing in words, for who does not see it."""


class Axis(NamedTuple):
    """What is measured along a side."""

    label: str
    """With its unit."""
    kind: Literal["linear", "log", "count", "names"] = "linear"
    names: tuple[str, ...] = ()
    """Of an axis of names."""
    span: tuple[float, ...] = ()
    """What the axis holds apart from the points, such as the ends of the range that was searched."""


@dataclass(frozen=True)
class Chart:
    """A figure: one drawing, or several on the same axes."""

    name: str
    """Of its files."""
    title: str
    x: Axis
    y: Axis
    panels: tuple[Panel, ...]
    legend: str = "what trains"
    """What the lines stand for."""

    @property
    def alt(self) -> str:
        """What stands for it where pictures are not shown."""
        told = [f"{panel.title}: {panel.words}" if panel.title else panel.words for panel in self.panels]
        return f"{'. '.join([self.title, *told])}."

    def entries(self) -> list[Line]:
        """Return a line for each entry of the legend, in order of appearance."""
        lines = [line for panel in self.panels for line in panel.lines if line.name]
        return list({(line.name, line.style, line.drawn): line for line in lines}.values())


def short_names(names: Iterable[str]) -> list[str]:
    """Return names as a font can draw them, the middle of long ones left out, so that a figure keeps its place.

    >>> short_names(["head", "x" * 50 + "/" + "y" * 50])
    ['head', 'xxxxxxxxxxxxxxxxxxxx…yyyyyyyyyyyyyyyyyyy']
    """
    half = NAME // 2
    return [name if len(name) <= NAME else f"{name[:half]}…{name[1 - half :]}" for name in map(legible, names)]


def legible(part: Any) -> Any:
    """Return texts, charts or parts of them as a font can draw them: in one line, what is hidden as its escape."""
    if isinstance(part, str):
        return re.sub(r"[\t\n]+", " ", printable(part))
    if isinstance(part, Chart):
        return replace(part, **{field.name: legible(getattr(part, field.name)) for field in fields(part)})
    if isinstance(part, list | tuple):
        inside = [legible(one) for one in part]
        return type(part)(*inside) if hasattr(part, "_fields") else type(part)(inside)
    return part
