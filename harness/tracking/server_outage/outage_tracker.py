"""A study on a tracking server: written through a journal, read from a mirror, so that training never waits.

What is written is in the journal when the call returns, and a thread brings it to the server. What this process can
know is answered without asking. Whatever needs the server waits until it has all records, and until it answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlflow import MlflowClient

from harness.tracking.mlflow.mlflow_tracker import MlflowTracker
from harness.tracking.server_outage.delivery import Delivery
from harness.tracking.server_outage.journal import unbroken
from harness.tracking.server_outage.mirror import Mirror
from harness.tracking.store_protocols import Kind, Run

__all__ = ["OutageTracker"]


class OutageTracker(MlflowTracker):
    """A tracker that a server may leave alone for a while.

    A run that this process starts has an id of our own at once; the server's takes its place on the way out, and
    gives way to it on the way in.
    """

    def __init__(self, client: MlflowClient, uri: str, experiment: str, delivery: Delivery) -> None:
        super().__init__(client, uri, experiment, delivery)
        self._delivery = delivery
        self._mirror: Mirror | None = None

    def close(self, *, seconds: float | None = None) -> bool:
        """Wait until the server has all records, and let go; return whether it does. See `Delivery.close`."""
        return self._delivery.close(seconds=seconds)

    def runs(self, *, removed: bool = False) -> list[Run]:
        """Return all runs of the study; only those that were deleted are asked for."""
        return super().runs(removed=True) if removed else list(self._mirrored().runs.values())

    def run(self, run: str) -> Run:
        """Return one run as it will be once the server has all records."""
        return self._mirrored().runs[run]

    def _start(self, content: Mapping[str, Any]) -> str:
        run = self.link.new()
        self._write(run, "start", content)
        return run

    def _write(self, run: str, kind: Kind, content: Mapping[str, Any], *, lasting: bool = False) -> None:
        with unbroken():
            record = self._delivery.journal.add(run, kind, content, lasting=lasting)
            if self._mirror:
                self._mirror.heed(record)
        self._delivery.announce()

    def _mirrored(self) -> Mirror:
        if self._mirror is None:
            self._mirror = Mirror(super().runs())
        return self._mirror
