"""``full``: everything that the architecture does not hold constant; ties stay."""

from __future__ import annotations

from harness.study.tunings.tuning_kind import TuningKind

__all__ = ["FULL"]

FULL = TuningKind(3, lambda parts, _: ("",), words="the whole model")
