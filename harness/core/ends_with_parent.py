"""A command that ends with the process that started it, however that one dies: the end of a pipe tells.

This file is also what runs in between, by its path and on the standard library alone.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from types import FrameType

__all__ = ["ending_with_parent"]

GRACE = 3.0
"""Seconds between asking and killing."""


def ending_with_parent(command: Sequence[str]) -> list[str]:
    """Return a command that runs another one until its own standard input ends.

    Start it with ``stdin=PIPE`` and ``start_new_session=True``: the pipe's other end closes with this process, even
    where it is killed, and then everything in the session is ended. What ``pass_fds`` hands on reaches the command.
    """
    return [sys.executable, "-I", "-S", __file__, *command]


def _outlive(number: int, frame: FrameType | None) -> None:
    """Ignore SIGTERM to the group, for as long as the command itself takes; it does not inherit this."""


def _end_with_parent(ending: threading.Event) -> None:
    os.read(0, 1)  # nobody writes: this returns when the other end is closed
    ending.set()
    os.killpg(0, signal.SIGTERM)
    time.sleep(GRACE)
    os.killpg(0, signal.SIGKILL)


def _run(command: Sequence[str]) -> int:
    signal.signal(signal.SIGTERM, _outlive)
    ending = threading.Event()
    watch = threading.Thread(target=_end_with_parent, args=[ending], daemon=True)
    watch.start()
    status = subprocess.Popen(command, stdin=subprocess.DEVNULL, close_fds=False).wait()
    if ending.is_set():
        watch.join()  # the command may have left others behind
    return status if status >= 0 else 128 - status  # of a signal, as shells count


if __name__ == "__main__":
    sys.exit(_run(sys.argv[1:]))
