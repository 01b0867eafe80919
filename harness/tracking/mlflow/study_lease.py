"""Which process runs a study: a tag of its experiment, renewed for as long as that process lives.

On one machine a lock decides, which ends with its process, so that a study which was killed goes on at once. Another
machine does not see that lock. It sees whether the tag still changes, which needs no common clock.
"""

from __future__ import annotations

import itertools
import os
import platform
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from mlflow import MlflowClient

from harness.core import interrupts
from harness.core.errors import StoreError
from harness.tracking.address import is_server
from harness.tracking.mlflow.http import answers, client_of
from harness.tracking.schema import PageTags

__all__ = ["Holder", "boot_of_machine", "leased"]

BEAT = 20.0
"""Seconds between two renewals."""

BOOT = Path("/proc/sys/kernel/random/boot_id")

SIGN = re.compile(r"(?P<boot>[^:]*):\S* (?P<who>process (?P<pid>\d+) on (?P<node>.*)), \d+")
"""A value of the tag, as `leased` writes it."""

SILENCE = 90.0
"""Seconds without one, after which a process on another machine is taken for dead."""


@contextmanager
def leased(uri: str, experiment: str, machine: str, tell: Callable[[str], None]) -> Iterator[None]:
    """Have a study of a store for the length of a block.

    Args:
        uri: The store.
        experiment: The id of the study's experiment.
        machine: Stands for the lock that this process holds on the study; nobody else with the same name lives.
        tell: Hears what is waited for.

    Raises:
        StoreError: A process elsewhere has it.
    """
    client = client_of(uri) if is_server(uri) else MlflowClient(uri)
    process = f"process {os.getpid()} on {platform.node() or 'another machine'}"
    signs = (f"{machine} {process}, {number}" for number in itertools.count())
    with answers(uri):
        _await_silence(client, experiment, machine, tell)
        client.set_experiment_tag(experiment, PageTags.LEASE, next(signs))
    over = threading.Event()
    beats = threading.Thread(target=_renew, args=(client, uri, experiment, signs, over), daemon=True)
    beats.start()
    try:
        yield
    finally:
        over.set()
        beats.join(timeout=2.0)  # a server that is away may take long


class Holder:
    """Who has a study of a store, asked as often as one likes.

    Args:
        uri: The store.
        experiment: The id of the study's experiment.
    """

    def __init__(self, uri: str, experiment: str) -> None:
        self._uri, self._experiment = uri, experiment
        self._client = client_of(uri) if is_server(uri) else MlflowClient(uri)
        self._sign, self._since = "", 0.0

    def now(self) -> str:
        """Return its process in words; empty where there is none, or it is gone.

        One on this machine is gone when no such process is there, or the machine was started anew since; any, when it
        has given no sign for `SILENCE`.

        Raises:
            StoreError: The store cannot be asked.
        """
        with answers(self._uri):
            sign = _held(self._client, self._experiment)
        if sign != self._sign:
            self._sign, self._since = sign, time.monotonic()
        said = SIGN.fullmatch(sign)
        if said is None or time.monotonic() - self._since > SILENCE:
            return ""
        if said["node"] != platform.node():
            return said["who"]
        is_there = said["boot"] == boot_of_machine() and psutil.pid_exists(int(said["pid"]))
        return said["who"] if is_there else ""


def boot_of_machine() -> str:
    """Return what stands for this machine since it was started."""
    return BOOT.read_text().strip() if BOOT.exists() else platform.node()


def _await_silence(client: MlflowClient, experiment: str, machine: str, tell: Callable[[str], None]) -> None:
    """Wait until a process elsewhere, if one has the study, has given no sign for long enough."""
    first = _held(client, experiment)
    if not first or first.startswith(f"{machine} "):
        return
    who = first.partition(" ")[2].rpartition(", ")[0]
    tell(f"{who} has this study and did not say that it ended; waiting {SILENCE:.0f} s for a sign of it")
    end = time.monotonic() + SILENCE
    while (held := _held(client, experiment)) and time.monotonic() < end:
        if held != first:
            raise StoreError(f"the study is being run by {who}; wait for it or end it")
        with interrupts.at_once():
            time.sleep(1.0)


def _held(client: MlflowClient, experiment: str) -> str:
    return str(client.get_experiment(experiment).tags.get(PageTags.LEASE, ""))


def _renew(client: MlflowClient, uri: str, experiment: str, signs: Iterator[str], over: threading.Event) -> None:
    """Give a sign every now and then, and at the end say that nobody has it; a store that is away misses some."""
    while True:
        held = "" if over.wait(BEAT) else next(signs)
        with suppress(StoreError), answers(uri):
            client.set_experiment_tag(experiment, PageTags.LEASE, held)
        if not held:
            return
