"""``none``: nothing trains; the model as it comes, zero-shot or few-shot."""

from __future__ import annotations

from harness.study.tunings.tuning_kind import TuningKind

__all__ = ["NONE"]

NONE = TuningKind(0, lambda parts, _: (), words="nothing")
