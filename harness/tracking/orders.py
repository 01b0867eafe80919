"""Orders to a study, as tags of its summary run: a command sets them, and so may anybody in MLflow's pages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from harness.tracking.schema import Tags
from harness.tracking.stored_run import Run

__all__ = ["NO_ORDERS", "PAUSE", "STOP", "Orders", "moved_by_more"]

PAUSE, STOP = "pause", "stop"
"""What `Tags.ORDER` says; anything else: go on."""

MOST = 1_000_000
"""Trials; a larger number is a slip."""


class Orders(NamedTuple):
    """What a study was told since it was written."""

    state: str = ""
    """`PAUSE`, `STOP`, or nothing."""
    skipped: tuple[str, ...] = ()
    """Patterns of cells that are left out from then on."""
    more: int = 0
    """Trials of each cell beyond the study file's."""

    @classmethod
    def of(cls, summary: Run | None) -> Orders:
        """Read the orders of a study from its summary run; what is no order, in tags set by hand, is none."""
        tags = summary.tags if summary else {}
        state = tags.get(Tags.ORDER, "").strip().lower()
        patterns = (pattern.strip() for pattern in tags.get(Tags.SKIPPED, "").split(","))
        more = tags.get(Tags.MORE, "").strip()
        number = int(more) if re.fullmatch(r"[0-9]{1,7}", more) else 0
        return cls(
            state if state in (PAUSE, STOP) else "",
            tuple(dict.fromkeys(pattern for pattern in patterns if pattern)),
            number if number <= MOST else 0,
        )

    def heeded(self, search: Mapping[str, Any]) -> Orders:
        """Return them without trials that a study with this search section cannot be given; see `moved_by_more`."""
        return self._replace(more=0) if moved_by_more(search) else self

    def tags(self) -> dict[str, str]:
        """Return what the summary run is to say; an empty tag is none, since a store may not forget any."""
        return {Tags.ORDER: self.state, Tags.SKIPPED: ",".join(self.skipped), Tags.MORE: str(self.more or "")}

    def leaves_out(self, cell: str) -> bool:
        """Return whether a cell, by its id, is left out."""
        return any(fnmatchcase(cell, pattern) for pattern in self.skipped)

    def in_words(self) -> str:
        """Return what stays of them from command to command; empty where nothing does."""
        told = [f"cells {', '.join(self.skipped)} are left out"] if self.skipped else []
        told += [f"each cell has {self.more} trials more than the study file says"] if self.more else []
        return ", and ".join(told)


def moved_by_more(search: Mapping[str, Any]) -> str:
    """Return what more trials would move of cells that are there, given a study's search section, or nothing."""
    if search["sampler"] == "grid":
        return "the points of a grid"
    if search["warm_start"] != "none":
        return "what cells start from"
    return "where a widened range begins" if search.get("edges") == "extend" else ""


NO_ORDERS = Orders()
