"""The tracker of a study that runs: straight to a database, through a journal to a tracking server."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import Timeout

from harness.core.errors import StoreError
from harness.core.workspace import HERE
from harness.tracking.address import is_server, store_uri
from harness.tracking.mlflow.http import ask, client_of, reach_store
from harness.tracking.mlflow.mlflow_tracker import MlflowTracker, open_experiment
from harness.tracking.mlflow.write_run import RunWriter
from harness.tracking.server_outage.delivery import Delivery
from harness.tracking.server_outage.journal import Journal
from harness.tracking.server_outage.outage_tracker import OutageTracker
from harness.tracking.server_outage.sender import Sender
from harness.tracking.store_protocols import Tracker

__all__ = ["deliver_left", "opened"]

FAREWELL = 5.0
"""Seconds that a study which was cut short gives a server to take what is left."""

BACKLOG = 300.0
"""Seconds that a server which answers may take for what an earlier process left, before it is read."""


@contextmanager
def opened(study: str, tell: Callable[[str], None]) -> Iterator[Tracker]:
    """Open a study's experiment; at the end the store has everything, or a journal keeps it for the next command.

    Raises:
        StoreError: The store cannot be used, its experiment was deleted, or another process has the journal open.
    """
    if not is_server(store_uri()):
        yield MlflowTracker.open(study)
        return
    try:
        tracker = _journaled(study, tell)
    except Timeout as error:
        raise StoreError(f"another process delivers {error.lock_file}; wait for it or end it") from error
    try:
        yield tracker
    except BaseException:
        tracker.close(seconds=FAREWELL)
        raise
    tracker.close()


def deliver_left(study: str) -> None:
    """Deliver what an earlier process of a study left in its journal, so that the store may be read.

    Raises:
        StoreError: The server does not answer, or does not take it.
    """
    if not is_server(store_uri()) or not _file(study).exists():
        return
    reach_store()
    try:
        tracker = _journaled(study, lambda line: None)
    except Timeout:
        return  # the study is running, and delivers it itself
    if not tracker.close(seconds=BACKLOG):
        raise StoreError(f"store {store_uri()} does not take what waits in {_file(study)}; try again when it answers")


def _journaled(study: str, tell: Callable[[str], None]) -> OutageTracker:
    uri = store_uri()
    journal = Journal(_file(study))
    client = client_of(uri)
    try:
        experiment = ask(uri, lambda: open_experiment(client, study), lambda trouble: tell(str(trouble)))
    except BaseException:
        journal.close()
        raise
    sender = Sender(uri, journal, RunWriter(client_of(uri), experiment))
    return OutageTracker(client, uri, experiment, Delivery(journal, sender, tell))


def _file(study: str) -> Path:
    """Return a study's journal for the server at hand."""
    return HERE.journal(study, hashlib.sha256(store_uri().rstrip("/").encode()).hexdigest()[:8])
