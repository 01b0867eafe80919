"""The names of tags, params and metrics in the store."""

from __future__ import annotations

__all__ = ["SCORED"]


SCORED = "test_scored"
"""The tag of a run that is about to score test, ``yes``; of one that has its scores from another, that one's id."""
