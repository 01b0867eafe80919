"""A worker as its driver sees it: a process that was started, is heard, and is ended with all that it started."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Hashable, Iterator
from contextlib import suppress
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

from harness.core.ends_with_parent import ending_with_parent
from harness.core.python_child import child_environment, python
from harness.runner.executors.protocol import Job
from harness.runner.executors.worker_messages import Setup

__all__ = ["FAREWELL", "Worker"]

PROCESS = "harness.runner.executors.worker_process"

SILENCE = 60.0
"""Seconds without a sign of life after which a worker is taken for hung; there are two of them in a second."""

LOADING = 600.0
"""The same while it imports and loads: a slow disk keeps a process in one call."""

FAREWELL = 2.0
"""Seconds in which a process whose socket is closed ends."""


class Worker:
    """One process, and what it does just now.

    Args:
        number: Counted from 1.
        setup: What it works on.
        log: The file that its output is added to.
        environment: Added to this process's.
    """

    def __init__(self, number: int, setup: Setup, log: Path, environment: dict[str, str]) -> None:
        self.number, self.log = number, log
        self.job: Job | None = None
        self.trunk: Hashable = None
        self.model: str | None = None
        """What it has loaded."""
        """What the frozen part of its last job was computed for."""
        self.is_ready = False
        """Whether its model is loaded."""
        self.connection, theirs = Pipe()
        with theirs, log.open("ab") as said:
            # In a session of its own: signals of the terminal are the driver's to hear, and all of it ends together.
            self._process = subprocess.Popen(
                ending_with_parent(python("-m", PROCESS, str(theirs.fileno()))),
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=said,
                start_new_session=True,
                pass_fds=[theirs.fileno()],
                env=child_environment(TMPDIR=tempfile.gettempdir(), **environment),
            )
        self._heard = time.monotonic()
        self.send(setup)

    @property
    def pid(self) -> int:
        """The process that ends the worker with its driver, and leads the group of all that it starts."""
        return self._process.pid

    def send(self, message: Any) -> None:
        """Send it something; that it has gone shows when it is heard next."""
        with suppress(OSError):
            self.connection.send(message)

    def messages(self) -> Iterator[Any]:
        """Yield what it has said so far.

        Raises:
            EOFError: It has gone.
        """
        try:
            while self.connection.poll():
                message = self.connection.recv()
                self._heard = time.monotonic()
                yield message
        except OSError as error:  # cut off in the middle of a message
            raise EOFError from error

    def is_silent(self) -> bool:
        """Return whether it is taken for hung."""
        patience = SILENCE if self.is_ready else LOADING
        return time.monotonic() - self._heard > patience and not self.connection.poll()

    def end(self) -> str:
        """End the process with all that it started, and return how it ended by itself, if it did."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(0 if self.is_silent() else FAREWELL)
        status = self._process.poll()
        self.kill()
        if status is None:
            return "gave no sign of life"
        number = status - 128 if status > 128 else -status
        if number > 0:
            why = ": memory may have run out" if number == signal.SIGKILL else ""
            return f"was ended by {signal.Signals(number).name}{why}"
        return f"ended with status {status}"

    def hang_up(self) -> None:
        """Let a process that has no job end by itself."""
        if self.job is None:
            self.connection.close()

    def kill(self, patience: float = 0.0) -> None:
        """End it at once, or where it has been hung up after some seconds."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(patience if self.connection.closed else 0.0)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self.connection.close()
        if self._process.stdin:
            self._process.stdin.close()
