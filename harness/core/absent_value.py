"""The text that stands in the store where there is no value."""

from __future__ import annotations

from typing import Final

__all__ = ["NONE"]

NONE: Final = "none"
"""A tag's or param's value where there is nothing to say: zero-shot's learning rate and seed, a test split that is
closed, a study that keeps no model."""
