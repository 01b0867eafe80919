"""``head``: the output projection with its bias; where it is tied, an untied copy of it."""

from __future__ import annotations

from harness.study.tunings.tuning_kind import TuningKind

__all__ = ["HEAD"]

HEAD = TuningKind(1, lambda parts, _: (parts.head.name,), words="the output layer alone", rates=(3e-4, 3e-1))
