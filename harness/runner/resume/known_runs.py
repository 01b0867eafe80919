"""The runs of a study as they were last read: oldest first, by their ids, and by what they stand below.

A study asks for a cell's runs at the end of each of its trials. To look through all runs of the study for them would
make every trial the slower, the more came before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from harness.tracking.stored_run import Run

__all__ = ["KnownRuns"]


class KnownRuns:
    """Runs; one that is kept again takes the place of what was known of it.

    Args:
        runs: Those there are, oldest first.
    """

    def __init__(self, runs: Iterable[Run] = ()) -> None:
        self._runs: dict[str, Run] = {}
        self._places: dict[str, int] = {}
        self._below: dict[str | None, set[str]] = {}
        """The ids of each parent's children."""
        for run in runs:
            self.keep(run)

    def __iter__(self) -> Iterator[Run]:
        """Yield them as they are when it is called; any may be kept meanwhile."""
        return iter(list(self._runs.values()))

    def __getitem__(self, run: str) -> Run:
        return self._runs[run]

    def keep(self, run: Run) -> Run:
        """Take note of a run, and return it."""
        before = self._runs.get(run.id)
        if before and before.parent != run.parent:
            self._below[before.parent].remove(run.id)
        self._runs[run.id] = run
        self._places.setdefault(run.id, len(self._places))
        self._below.setdefault(run.parent, set()).add(run.id)
        return run

    def below(self, parent: str) -> list[Run]:
        """Return the children of a run, oldest first."""
        return [self._runs[run] for run in sorted(self._below.get(parent, ()), key=self._places.__getitem__)]
