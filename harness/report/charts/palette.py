"""The colors of a report, told apart by most kinds of color vision."""

from __future__ import annotations

__all__ = ["COLORS"]


COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette (Color Universal Design, 2008): distinguishable for color-blind readers."""
