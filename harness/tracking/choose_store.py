"""The tracker of a study that runs: straight to a file or a database server, through a journal to a tracking server."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import Timeout

from harness.core.database_urls import sqlite_file
from harness.core.errors import StoreError
from harness.core.passwords import masked
from harness.core.workspace import HERE
from harness.tracking.address import StudyAddress, is_server
from harness.tracking.mlflow.http import ask, client_of, reach_store
from harness.tracking.mlflow.mlflow_tracker import MlflowTracker
from harness.tracking.mlflow.study_experiments import open_experiment
from harness.tracking.mlflow.write_run import RunWriter
from harness.tracking.server_outage.delivery import Delivery
from harness.tracking.server_outage.journal import Journal
from harness.tracking.server_outage.outage_tracker import OutageTracker
from harness.tracking.server_outage.sender import Sender
from harness.tracking.store_link import DIRECT, PatientLink
from harness.tracking.store_protocols import Tracker

__all__ = ["deliver_left", "opened"]

FAREWELL = 5.0
"""Seconds that a study which was cut short gives a server to take what is left."""

BACKLOG = 300.0
"""Seconds that a server which answers may take for what an earlier process left, before it is read."""


@contextmanager
def opened(address: StudyAddress, tell: Callable[[str], None]) -> Iterator[Tracker]:
    """Open a study's experiment; at the end the store has everything, or a journal keeps it for the next command.

    Raises:
        StoreError: The store cannot be used, its experiment was deleted or is another study's, or another process
            has the journal open.
    """
    if not is_server(address.store):
        yield MlflowTracker.open(address, DIRECT if sqlite_file(address.store) else PatientLink(tell))
        return
    try:
        tracker = _journaled(address, tell)
    except Timeout as error:
        raise StoreError(f"another process delivers {error.lock_file}; wait for it or end it") from error
    try:
        yield tracker
    except BaseException:
        tracker.close(seconds=FAREWELL)
        raise
    tracker.close()


def deliver_left(address: StudyAddress) -> None:
    """Deliver what an earlier process of a study left in its journal, so that the store may be read.

    Raises:
        StoreError: The server does not answer, or does not take it.
    """
    if not is_server(address.store) or not _file(address).exists():
        return
    reach_store(address.store)
    try:
        tracker = _journaled(address, lambda line: None)
    except Timeout:
        return  # the study is running, and delivers it itself
    if not tracker.close(seconds=BACKLOG):
        waiting = f"store {masked(address.store, address.store)} does not take what waits in {_file(address)}"
        raise StoreError(f"{waiting}; try again when it answers")


def _journaled(address: StudyAddress, tell: Callable[[str], None]) -> OutageTracker:
    uri = address.store
    journal = Journal(_file(address))
    client = client_of(uri)
    try:
        experiment = ask(uri, lambda: open_experiment(client, address), lambda trouble: tell(str(trouble)))
    except BaseException:
        journal.close()
        raise
    sender = Sender(uri, journal, RunWriter(client_of(uri), experiment))
    return OutageTracker(client, uri, experiment, Delivery(journal, sender, tell))


def _file(address: StudyAddress) -> Path:
    """Return a study's journal for its server, and for its experiment where that has a name of its own."""
    study, experiment, store = address
    place = store.rstrip("/") + (f" {experiment}" if experiment != study else "")
    return HERE.journal(study, hashlib.sha256(place.encode()).hexdigest()[:8])
