"""Inline SVG for the page: an interval as a line with a dot, and scores over learning rates.

Colors are CSS classes, so that one drawing serves light, dark and print; what a drawing shows stands beside it in
words or in a table as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

__all__ = ["SERIES", "Curve", "Scale", "curves", "interval", "scale", "swatch"]

SERIES = 7
"""Colors of lines, ``s0`` to ``s6`` in the page's style; each has a marker of its own as well."""

WIDTH, HEIGHT = 320, 190
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 10, 30


class Scale(NamedTuple):
    """The numbers that the ends of an axis stand for."""

    low: float
    high: float

    def place(self, value: float) -> float:
        """Return where a value lies, 0 at the low end and 1 at the high one."""
        return (value - self.low) / (self.high - self.low)


class Curve(NamedTuple):
    """One line of a drawing."""

    name: str
    series: int
    """Which color and marker; -1: a level without points, dashed."""
    points: Sequence[tuple[float, float]]
    """Learning rate and score; for a level, its score alone counts."""


def scale(values: Iterable[float]) -> Scale:
    """Return a scale that holds all values that are numbers, with a little room at both ends."""
    known = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(known), max(known)
    room = 0.05 * (high - low) or max(0.05 * abs(low), 1e-3)
    return Scale(low - room, high + room)


def interval(low: float, value: float, high: float, *, on: Scale, zero: bool = False, tone: str = "plain") -> Markup:
    """Draw an interval on a scale; for eyes alone, since the numbers stand beside it.

    Args:
        low: Its lower end; nothing is drawn of an interval that is not defined.
        value: Its dot.
        high: Its upper end.
        on: The scale, the same for all intervals of a column.
        zero: Whether to draw the line of no difference.
        tone: A class of the style sheet: ``plain``, ``better``, ``worse`` or ``undecided``.
    """
    if not all(map(math.isfinite, (low, value, high))):
        return Markup("")
    ends = [round(4 + 172 * on.place(x), 1) for x in (low, value, high)]
    line = f'<line class="zero" x1="{4 + 172 * on.place(0):.1f}" x2="{4 + 172 * on.place(0):.1f}" y1="0" y2="16"/>'
    return Markup(
        f'<svg class="interval {tone}" viewBox="0 0 180 16" aria-hidden="true">{line if zero else ""}'
        f'<line x1="{ends[0]}" x2="{ends[2]}" y1="8" y2="8"/><circle cx="{ends[1]}" cy="8" r="4"/></svg>'
    )


def swatch(series: int) -> Markup:
    """Draw a line's entry in a legend."""
    if series < 0:
        return Markup('<svg class="swatch" viewBox="0 0 26 12" aria-hidden="true">{}</svg>').format(_level(0, 26, 6))
    mark = _marker(series, 13, 6)
    line = Markup('<line class="s{0} curve" x1="0" x2="26" y1="6" y2="6"/>').format(series)
    return Markup('<svg class="swatch" viewBox="0 0 26 12" aria-hidden="true">{}{}</svg>').format(line, mark)


def curves(title: str, lines: Sequence[Curve], *, x: Scale, y: Scale) -> Markup:
    """Draw scores over learning rates.

    Args:
        title: What a reader who does not see it is told.
        lines: At least one.
        x: Of the learning rates' logarithms to base 10.
        y: Of the scores.
    """
    parts = [*_frame(x, y)]
    for line in lines:
        if line.series < 0:
            parts.append(_level(LEFT, WIDTH - RIGHT, _down(line.points[0][1], y)))
            continue
        spots = [(_across(math.log10(rate), x), _down(score, y)) for rate, score in sorted(line.points)]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in spots)
        parts.append(Markup('<polyline class="s{} curve" points="{}"/>').format(line.series, path))
        parts += [_marker(line.series, a, b) for a, b in spots]
    drawing = Markup("").join(parts)
    opening = Markup('<svg class="panel" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(WIDTH, HEIGHT, title)
    return opening + drawing + Markup("</svg>")


def _across(value: float, x: Scale) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * x.place(value)


def _down(value: float, y: Scale) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * y.place(value)


def _frame(x: Scale, y: Scale) -> list[Markup]:
    parts = []
    ticks = [value for value in MaxNLocator(4).tick_values(y.low, y.high) if y.low <= value <= y.high]
    places = max(0, 1 - math.floor(math.log10(y.high - y.low)))
    for value in ticks:
        at = round(_down(value, y), 1)
        parts.append(Markup('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(LEFT, WIDTH - RIGHT, at, at))
        shown = f"{value:.{places}f}"
        parts.append(Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(LEFT - 5, at + 3.5, shown))
    for value, label in _rates(x):
        at = round(_across(value, x), 1)
        parts.append(
            Markup('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(at, at, TOP, HEIGHT - BOTTOM)
        )
        below = HEIGHT - BOTTOM + 14
        parts.append(Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(at, below, label))
    return parts


def _rates(x: Scale) -> list[tuple[float, str]]:
    """Return ticks at powers of ten, and at three times them where the range is short."""
    powers = range(math.floor(x.low), math.ceil(x.high) + 1)
    factors = (1, 3) if x.high - x.low < 3 else (1,)
    ticks = [(power + math.log10(factor), f"{factor}e{power}") for power in powers for factor in factors]
    return [(value, label) for value, label in ticks if x.low <= value <= x.high]


def _level(start: float, end: float, at: float) -> Markup:
    return Markup('<line class="level" x1="{0}" x2="{1}" y1="{2:.1f}" y2="{2:.1f}"/>').format(start, end, at)


def _marker(series: int, x: float, y: float) -> Markup:
    """Draw a mark of a shape of its own, so that lines differ without their color."""
    shapes = (
        "M-3.5,0 a3.5,3.5 0 1,0 7,0 a3.5,3.5 0 1,0 -7,0",
        "M-3,-3 h6 v6 h-6 z",
        "M0,-4.4 L4.4,0 L0,4.4 L-4.4,0 z",
        "M0,-4 L4,3 L-4,3 z",
        "M0,4 L4,-3 L-4,-3 z",
        "M-1.4,-4 h2.8 v2.6 h2.6 v2.8 h-2.6 v2.6 h-2.8 v-2.6 h-2.6 v-2.8 h2.6 z",
        "M-4,-2 L0,-4.5 L4,-2 L2.5,3.5 L-2.5,3.5 z",
    )
    shape = shapes[series % len(shapes)]
    return Markup('<path class="s{} mark" d="{}" transform="translate({:.1f} {:.1f})"/>').format(series, shape, x, y)
