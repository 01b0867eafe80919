"""Ctrl-C held back for a moment."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["unbroken"]

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def unbroken() -> Iterator[None]:
    """Let a block run to its end, and only then hear of Ctrl-C or of being asked to end."""
    if threading.current_thread() is not threading.main_thread():  # signals come to the main thread alone
        yield
        return
    held: list[int] = []
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        for number in SIGNALS:
            signal.signal(number, lambda caught, frame: held.append(caught))
        yield
    finally:
        for number in SIGNALS:
            signal.signal(number, before[number])
    if held:
        signal.raise_signal(held[0])
