"""Names under which runs say how they were made to fit the memory."""

from __future__ import annotations

from typing import Final

__all__ = ["CHECKPOINTING", "FITTED", "FORWARD_BATCH", "FROZEN", "GENERATION_BATCH", "SCORING_BATCH"]

CHECKPOINTING: Final = "gradient_checkpointing"
"""Tag: whether training kept no values inside of blocks, ``on`` or ``off``, and why where that was found out."""

FORWARD_BATCH: Final = "forward_batch"
"""Tag: the most rows of a forward pass in training, if memory ran out over more; a step's are those of the study."""

SCORING_BATCH: Final = "scoring_batch"
"""Tag: likewise where losses are scored."""

GENERATION_BATCH: Final = "generation_batch"
"""Tag: likewise where predictions are made."""

FROZEN: Final = "model.frozen"
"""Param of a cell: what weights that do not train are held in, where that is not float32."""

FITTED = (CHECKPOINTING, FORWARD_BATCH, SCORING_BATCH, GENERATION_BATCH)
"""All of the tags."""
