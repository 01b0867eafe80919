"""``last_blocks``: the last k blocks, as ``blocks: last-k``; head and embeddings stay frozen, tied or not."""

from __future__ import annotations

from harness.study.tunings.model_parts import ModelParts
from harness.study.tunings.tuning_kind import TuningKind
from harness.study.tunings.whole_blocks import whole_blocks

__all__ = ["LAST_BLOCKS"]


def _paths(parts: ModelParts, count: int) -> tuple[str, ...]:
    return whole_blocks(parts, f"last-{count}")


LAST_BLOCKS = TuningKind(2, _paths, blocks="count", words="the last {} blocks", rates=(1e-4, 3e-2))
