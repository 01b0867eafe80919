"""The colors of a report, told apart by most kinds of color vision."""

from __future__ import annotations

__all__ = ["COLORS", "GRID", "NEUTRAL", "PAGE_COLORS", "PAPER", "STYLES", "TEXT"]


COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette (Color Universal Design, 2008): distinguishable for color-blind readers."""

STYLES = (*(color.lower() for color in COLORS[:-1]), "#1b1f24")
"""Those of lines; not quite black, which an SVG leaves unsaid."""

NEUTRAL, TEXT, GRID, PAPER = "#666666", "#57606a", "#d4d9df", "#ffffff"

PAGE_COLORS = {
    **{color: f"var(--s{number})" for number, color in enumerate(STYLES)},
    NEUTRAL: "var(--quiet)",
    TEXT: "var(--quiet)",
    GRID: "var(--line)",
    PAPER: "var(--paper)",
}
"""What the page has in their place: its style sheet gives each a color for light, dark and print."""
