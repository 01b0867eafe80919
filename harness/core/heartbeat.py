"""Heartbeat: a thread that tells of a process for the length of a block."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["heartbeat"]


@contextmanager
def heartbeat(beat: Callable[[threading.Event], None]) -> Iterator[None]:
    """Run a function in a thread of its own for the length of a block; it ends soon after its event is set."""
    over = threading.Event()
    heart = threading.Thread(target=beat, args=(over,), name="harness heartbeat", daemon=True)
    heart.start()
    try:
        yield
    finally:
        over.set()
        heart.join()
