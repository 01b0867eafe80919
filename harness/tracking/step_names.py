"""Names of what a run says of its steps: where it ended early, which score counts, where it was gone on with."""

from __future__ import annotations

from typing import Final

__all__ = ["BEST_STEP", "PRUNED_AFTER_STEP", "RESUMED_AFTER", "STOPPED_AFTER_STEP"]

PRUNED_AFTER_STEP: Final = "pruned_after_step"
STOPPED_AFTER_STEP: Final = "stopped_after_step"
"""Tags in place of `Tags.PRUNED_AFTER` and `Tags.STOPPED_AFTER` where the study counts steps."""

RESUMED_AFTER: Final = "resumed_after_step"
"""Tag of a run that goes on with another one's training: behind which optimizer step."""

BEST_STEP: Final = "best_step"
"""A metric, in place of `Metrics.BEST_EPOCH` there."""
