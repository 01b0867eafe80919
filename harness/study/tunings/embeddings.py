"""``embeddings``: what a stack calls before its first block; a head that is tied to them moves with them."""

from __future__ import annotations

from harness.study.tunings.tuning_kind import TuningKind

__all__ = ["EMBEDDINGS"]

EMBEDDINGS = TuningKind(
    1.2,
    lambda parts, _: tuple(part.name for part in parts.embeddings),
    words="the embeddings",
    rates=(1e-4, 1e-1),
)
