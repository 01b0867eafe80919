"""The events of a run as plain data, for lines of JSON and trackers of one's own; docs/json.md has their fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from harness.core.plain_json import plain
from harness.core.progress import CellWork, Progress

if TYPE_CHECKING:
    from harness.runner.result import Result

__all__ = ["Listener", "RunEvents"]

Listener = Callable[[Mapping[str, Any]], object]
"""Who is told of an event."""


class RunEvents(Progress):
    """Tells a listener of events, and another watcher of all that it hears.

    Args:
        listener: Is told; if it raises, it is told no more, and the study goes on.
        watcher: The other one, who hears why.
    """

    def __init__(self, listener: Listener, watcher: Progress) -> None:
        self._listener: Listener | None = listener
        self._watcher = watcher
        self._cells: dict[str, str] = {}
        self.at, self.done, self.settle = watcher.at, watcher.done, watcher.settle  # type: ignore[method-assign]
        self.stage, self.say = watcher.stage, watcher.say  # type: ignore[method-assign]

    def start(self, cells: Mapping[str, CellWork]) -> None:
        """Tell of ``started``: the cells, and what is missing of each."""
        self._watcher.start(cells)
        facts = {
            name: {"levels": cell.factors, "trials": cell.trials, "finals": cell.finals, "there": cell.there}
            for name, cell in cells.items()
        }
        self._tell("started", {"cells": facts})

    def began(self, job: str, cell: str, *, final: bool) -> None:
        """Note a job's cell."""
        self._cells[job] = cell
        self._watcher.began(job, cell, final=final)

    def record(self, kind: str, job: str, facts: Mapping[str, Any]) -> None:
        """Tell of ``epoch``, ``trial`` or ``final``."""
        self._watcher.record(kind, job, facts)
        self._tell(kind, {"job": job, "cell": self._cells[job], **facts})

    def finished(self, result: Result) -> None:
        """Tell of ``finished``: the ranked cells, what may be claimed, where the report is."""
        self._tell("finished", {"result": result.facts()})

    def _tell(self, event: str, facts: Mapping[str, Any]) -> None:
        if self._listener is None:
            return
        time = datetime.now().astimezone().isoformat(timespec="milliseconds")
        try:
            self._listener(plain({"event": event, "time": time, **facts}))
        except Exception as error:
            self._listener = None
            self.say(f"on_event raised {type(error).__name__}: {error}; it hears no more events, and the study goes on")
