"""``training.checkpoint:`` in a study file: how often a run that is under way is put by, to be gone on with."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from harness.core.number_types import Count
from harness.core.plain_yaml import shown
from harness.core.yaml_section import Section

__all__ = ["Checkpointing"]

FORM = r"^(auto|epoch|[1-9][0-9]{0,5}[smh])$"

SECONDS = {"s": 1, "m": 60, "h": 3600}

MOST = 1_000_000
"""Steps, as of any number of steps."""


def _known_interval(value: Any) -> Any:
    """Refuse what is neither a word, nor a number of steps, nor a time."""
    is_steps = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST
    if is_steps or (isinstance(value, str) and re.fullmatch(FORM, value)):
        return value
    raise ValueError(
        f"training.checkpoint.every is {shown(value)}; write auto, epoch, a number of optimizer steps up to {MOST:,}, "
        "or a time: 30s, 5m, 2h"
    )


Interval = Annotated[
    Annotated[int, Field(ge=1, le=MOST)] | Annotated[str, Field(pattern=FORM)], BeforeValidator(_known_interval)
]


class Checkpointing(Section):
    """How often a run that is under way is put by, to be gone on with after a kill; ``null``: never."""

    every: Interval = "auto"
    """``epoch``, a number of optimizer steps, or a time: ``30s``, ``5m``, ``2h``; then final runs leave the whole model
    beside each, for ``from_pretrained``. ``auto``: every 10 seconds, and less often where writing would take more than
    a twentieth of the time."""
    keep: Count = 2
    """How many checkpoints of a run there are at a time, and whole models when it has ended; where the newest is
    damaged, the one before counts."""

    @property
    def seconds(self) -> float | None:
        """The time between two of them, ``None`` where something else is counted."""
        if isinstance(self.every, int) or self.every in ("auto", "epoch"):
            return None
        return float(self.every[:-1]) * SECONDS[self.every[-1]]
