"""What runs say of their model where a study compares several: the param that has its name, or its folder, in full."""

from __future__ import annotations

from typing import Final

__all__ = ["MODEL_NAME"]

MODEL_NAME: Final = "model.name"
"""Beside the axis, which has what ids call it."""
