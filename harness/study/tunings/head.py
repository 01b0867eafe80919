"""``head``: the output projection with its bias, of a masked model the transform before it as well.

Where the projection is tied, an untied copy of it.
"""

from __future__ import annotations

from harness.study.tunings.model_parts import ModelParts
from harness.study.tunings.tuning_kind import TuningKind

__all__ = ["HEAD"]


def _paths(parts: ModelParts, _: None) -> tuple[str, ...]:
    return (*(part.name for part in parts.transform), parts.head.name)


HEAD = TuningKind(1, _paths, words="the output layer alone", rates=(3e-4, 3e-1))
