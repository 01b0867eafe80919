"""What the harness asks of a tracking store, in its own words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

__all__ = ["Phase", "Run", "Status", "Tracker"]

Phase = Literal["cell", "search", "final", "reference", "summary", "interrupted", "superseded"]
"""The tag that every run has."""

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True)
class Run:
    """A run as the store holds it."""

    id: str
    name: str
    status: Status
    parent: str | None
    """The id of the run above it."""
    params: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    """The last value of each."""
    seconds: float
    """From its start to its end; nan while it runs."""

    @property
    def phase(self) -> str:
        """What kind of run it is."""
        return self.tags.get("phase", "")


class Tracker(Protocol):
    """A store of runs for one study; every call names its run."""

    def runs(self) -> list[Run]:
        """Return all runs of the study, oldest first."""

    def run(self, run: str) -> Run:
        """Return one run as it is now."""

    def start(
        self, name: str, *, phase: Phase, parent: str | None, params: Mapping[str, Any], tags: Mapping[str, str]
    ) -> str:
        """Start a run and return its id."""

    def reopen(self, run: str) -> None:
        """Mark an ended run as running again."""

    def mark(self, run: str, *, phase: Phase, name: str) -> None:
        """Give a run another phase and name."""

    def adopt(self, run: str, parent: str) -> None:
        """Move a run below another parent."""

    def params(self, run: str, values: Mapping[str, Any]) -> None:
        """Record params; a param that is there keeps its value for good."""

    def tags(self, run: str, values: Mapping[str, str]) -> None:
        """Set tags."""

    def metrics(self, run: str, values: Mapping[str, float], step: int = 0) -> None:
        """Record metrics at a step, in one call."""

    def text(self, run: str, text: str, file: str) -> None:
        """Store a text as an artifact."""

    def table(self, run: str, columns: Mapping[str, Sequence[Any]], file: str) -> None:
        """Store a table, column by column, as an artifact that the UI can show."""

    def files(self, run: str, folder: Path, into: str) -> None:
        """Store all files of a folder as artifacts."""

    def fetch(self, run: str, file: str) -> str:
        """Return a text artifact."""

    def models(self) -> dict[str, str]:
        """Return the stored models: run id to model URI."""

    def model(self, run: str, folder: Path, *, name: str, code: Path) -> str:
        """Store a model that generates text, made by a run, from its files and the code that serves it.

        Returns:
            The URI that loads it.
        """

    def drop_model(self, uri: str) -> int:
        """Remove a stored model; return the bytes freed."""

    def end(
        self,
        run: str,
        status: Status = "FINISHED",
        *,
        tags: Mapping[str, str] | None = None,
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """End a run; what is only known by then is recorded with it, in as few calls as the store allows."""
