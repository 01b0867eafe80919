"""A worker: a process of its own that does one job after the other, as its driver says. The driver alone writes.

Started by `harness.runner.executors.worker`; its one argument is the number of an open socket. Standard output and
error are its log. It ends with its driver: see `harness.core.ends_with_parent`.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from harness.core.errors import HarnessError, UserError
from harness.core.example import fingerprint
from harness.core.failures import explained
from harness.core.heartbeat import heartbeat
from harness.core.logged_progress import LOGGER, LoggedProgress
from harness.core.passwords import masked
from harness.core.progress import Progress, Step
from harness.core.scratch import scratch
from harness.core.workspace import Workspace
from harness.runner.executors.protocol import Job
from harness.runner.executors.worker_messages import Beat, Free, Loaded, Opened, Raised, Ready, Said, Setup, Unlike
from harness.study.check import Checked, check

if TYPE_CHECKING:
    from harness.runner.executors.in_process import InProcess

__all__ = ["fingerprints", "main"]

BEAT = 0.5
"""Seconds between two signs of life."""


class _Voice(Progress):
    """Tells the driver: events of a job, and from a thread of its own that this process lives, and how far it is."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._latest = connection, Beat()
        self._lock = threading.Lock()

    def send(self, message: Any = None) -> None:
        """Send a message, or a sign of life; where the driver is gone, so is this process."""
        try:
            with self._lock:  # how far a job is, is not said when it is over
                latest, self._latest = self._latest, Beat()
                self._connection.send(message or latest)
        except OSError:
            os._exit(1)

    def at(self, job: str, step: Step) -> None:
        """Tell how far a job is, with the next sign of life."""
        self._latest = Beat(job, step)

    def say(self, text: str) -> None:
        """Tell what a person should read."""
        self.send(Said(text))

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Give signs of life for the length of a block."""
        with heartbeat(self._beat):
            yield

    def _beat(self, over: threading.Event) -> None:
        while not over.wait(BEAT):
            self.send()


def main(descriptor: int) -> None:
    """Work until the driver hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver hears of it, and ends its workers
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    LOGGER.setLevel(logging.INFO)
    LOGGER.info("a worker begins: process %d", os.getpid())
    connection = Connection(descriptor)
    voice = _Voice(connection)
    with scratch(), voice.beating():
        try:
            _work(connection, voice)
        except EOFError:
            LOGGER.info("the driver has hung up")
        except Exception as error:
            sys.stderr.write(masked(traceback.format_exc(), os.environ.get("MLFLOW_TRACKING_URI", "")))
            voice.send(_raised(error))


def _work(connection: Connection, voice: _Voice) -> None:
    setup: Setup = connection.recv()
    workspace = Workspace(setup.home)
    checked = _checked(setup)
    if isinstance(checked, Unlike):
        voice.send(checked)
        return
    from harness.runner.executors.in_process import InProcess  # torch
    from harness.runner.executors.worker_memory import measured
    from harness.runner.progress_display import quiet_libraries

    quiet_libraries()
    if setup.asks_memory:
        voice.send(measured(checked))
    tell = partial(_tell_loaded, voice)
    executor = InProcess(checked, workspace, LoggedProgress(voice), share=setup.share, loaded=tell)
    voice.send(Ready(executor.facts() if setup.asks_facts else None))
    while True:
        message = connection.recv()
        if isinstance(message, Opened):
            executor.open_test(message.examples)
        else:
            _do(message, executor, connection, voice)


def _tell_loaded(voice: _Voice, model: str, manner: tuple[object, ...]) -> None:
    voice.send(Loaded(model, manner))


def _checked(setup: Setup) -> Checked | Unlike:
    """Read the study as the driver did."""
    try:
        checked = check(setup.file, test=setup.opens_test)
    except UserError as error:
        return Unlike(f"a worker cannot read this study as it is here: {error}")
    if fingerprints(checked) != setup.rows:
        return Unlike("a worker reads other rows than were read here")
    return checked


def fingerprints(checked: Checked) -> str:
    """Return the digest of a study's training and validation rows."""
    return " ".join(fingerprint(checked.examples[split]) for split in ("train", "validation"))


def _do(job: Job, executor: InProcess, connection: Connection, voice: _Voice) -> None:
    """Do a job: each of its events is answered by the driver."""
    began = time.perf_counter()
    LOGGER.info("%s: begun", job.name)
    events = executor.do(job)
    event = next(events, None)
    while event is not None:
        voice.send(event)
        try:
            event = events.send(connection.recv())
        except StopIteration:
            break
    LOGGER.info("%s: ended after %.1f s", job.name, time.perf_counter() - began)
    voice.send(Free(dict(executor.recordings())))


def _raised(error: Exception) -> Raised:
    """Return what is told of an error that ends the study."""
    told = error if isinstance(error, HarnessError) else explained(error)
    if told is None:
        return Raised(f"{type(error).__name__}: {error}", is_of_user=False, is_known=False)
    return Raised(str(told), isinstance(told, UserError), is_known=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
