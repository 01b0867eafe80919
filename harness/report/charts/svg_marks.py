"""Small pieces of inline SVG for the page: scales and their ticks, marks, entries of a legend, an interval with a dot.

Colors are CSS classes, so that one drawing serves light, dark and print; what a drawing shows stands beside it in
words or in a table as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from harness.report.charts.chart import COLORS, Line, dashes, shape

__all__ = ["Scale", "color", "dashed", "interval", "log_ticks", "marker", "scale", "swatch", "ticks"]

NEUTRAL = "M-3,-3 L3,3 M-3,3 L3,-3"
SHAPES = (
    "M-3.5,0 a3.5,3.5 0 1,0 7,0 a3.5,3.5 0 1,0 -7,0",
    "M-3,-3 h6 v6 h-6 z",
    "M0,-4.4 L4.4,0 L0,4.4 L-4.4,0 z",
    "M0,-4 L4,3 L-4,3 z",
    "M0,4 L4,-3 L-4,-3 z",
    "M-1.4,-4 h2.8 v2.6 h2.6 v2.8 h-2.6 v2.6 h-2.8 v-2.6 h-2.6 v-2.8 h2.6 z",
    "M-4,-2 L0,-4.5 L4,-2 L2.5,3.5 L-2.5,3.5 z",
)


class Scale(NamedTuple):
    """The numbers that the ends of an axis stand for."""

    low: float
    high: float

    def place(self, value: float) -> float:
        """Return where a value lies, 0 at the low end and 1 at the high one."""
        return (value - self.low) / (self.high - self.low)


def scale(values: Iterable[float]) -> Scale:
    """Return a scale that holds all values that are numbers, with a little room at both ends."""
    known = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(known), max(known)
    room = 0.05 * (high - low) or max(0.05 * abs(low), 1e-3)
    return Scale(low - room, high + room)


def ticks(on: Scale, *, most: int, whole: bool = False) -> list[tuple[float, str]]:
    """Return round values within a scale, with their labels; all have the decimals that the finest needs."""
    found = MaxNLocator(most, integer=whole).tick_values(on.low, on.high)
    values = [float(value) for value in found if on.low <= value <= on.high]
    places = next((n for n in range(7) if all(math.isclose(round(v, n), v, abs_tol=1e-9) for v in values)), 7)
    return [(value, f"{value:.{places}f}" if abs(value) < 1e5 else f"{value:.3g}") for value in values]


def log_ticks(on: Scale) -> list[tuple[float, str]]:
    """Return ticks on a scale of logarithms to base 10: powers of ten, and more where the range is short."""
    far = on.high - on.low
    factors = (1, 2, 5) if far < 1.5 else (1, 3) if far < 3 else (1,)
    step = max(1, math.ceil(far / 6))
    powers = [power for power in range(math.floor(on.low), math.ceil(on.high) + 1) if power % step == 0]
    found = [(power + math.log10(factor), power, factor) for power in powers for factor in factors]
    kept = [one for one in found if on.low <= one[0] <= on.high]
    plain = all(-2 <= power <= 3 for _, power, _ in kept)
    return [(at, f"{factor * 10.0**power:g}" if plain else f"{factor}e{power}") for at, power, factor in kept]


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


def color(style: int) -> str:
    """Return the class that colors a style."""
    return "neutral" if style < 0 else f"s{style % COLORS}"


def dashed(style: int) -> Markup:
    """Return the attribute that dashes a style's line; nothing for an unbroken one."""
    gaps = dashes(style) if style >= 0 else ()
    return Markup(' stroke-dasharray="{}"').format(" ".join(map(str, gaps))) if gaps else Markup("")


def marker(style: int, x: float, y: float, name: str = "") -> Markup:
    """Draw a mark in the shape of its style, so that lines differ without their color; a name is shown on hovering."""
    form, kind = (NEUTRAL, "cross") if style < 0 else (SHAPES[shape(style, len(SHAPES))], "mark")
    opening = Markup('<path class="{}" d="{}" transform="translate({:.1f} {:.1f})"').format(kind, form, x, y)
    return opening + (Markup("><title>{}</title></path>").format(name) if name else Markup("/>"))


def swatch(line: Line) -> Markup:
    """Draw a line's entry in a legend."""
    kind = {"level": "level", "steps": "steps", "thin": "thin"}.get(line.drawn, "curve")
    parts = [Markup('<line class="{}" x1="0" x2="26" y1="6" y2="6"{}/>').format(kind, dashed(line.style))]
    if line.drawn == "dots":
        parts = [marker(line.style, 13, 6)]
    elif line.drawn == "marked":
        parts.append(marker(line.style, 13, 6))
    opening = Markup('<svg class="swatch {}" viewBox="0 0 26 12" aria-hidden="true">').format(color(line.style))
    return opening + Markup("").join(parts) + Markup("</svg>")
