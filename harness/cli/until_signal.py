"""How a server's command ends."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

__all__ = ["until_signal"]


@contextmanager
def until_signal(out: Console) -> Iterator[None]:
    """End the command with 128 and the number of the signal that interrupts it, as shells count."""
    try:
        yield
    except KeyboardInterrupt as stopped:
        out.print("stopped")
        sys.stdout.flush()
        sys.stderr.flush()
        # All is closed by now; taking heavy libraries down would keep whoever waits for several seconds more.
        os._exit(128 + (stopped.args or (signal.SIGINT,))[0])
