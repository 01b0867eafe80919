"""SIGINT, SIGTERM and SIGHUP in a command: noted at once, raised at safe places, obeyed within seconds.

A handler that raises does so wherever Python happens to be: in a destructor or a callback too, where the exception is
dropped, and the signal with it. So a signal is noted, and `check` raises it between steps, batches and tokens. Whatever
runs long without a check, such as a metric of the user's, is interrupted where it stands, and again until that is
heard. What cannot be interrupted, such as a call that waits for a lock, is left behind as by SIGKILL, which stores and
files bear. A second signal does so at once.

Outside a command nothing of this is there: in a Python session Ctrl-C is Python's own, and `check` does nothing.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from types import FrameType

__all__ = ["Interrupted", "arrived", "at_once", "check", "listening", "resumable", "status"]

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

GRACE = 2.0
"""Seconds in which a check is to come; then what runs is interrupted where it stands, and again after as many."""

LIMIT = 9.0
"""Seconds after which the process ends in any case."""

SAME = 0.3
"""Seconds in which a second signal is the first one said twice, by a terminal and by a program that passes it on."""

FAREWELL = b"ended at once; the same command goes on from here\n"


class Interrupted(KeyboardInterrupt):
    """A call from Python that was interrupted, said in a sentence; a notebook shows that alone and no traceback."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


@contextmanager
def resumable() -> Iterator[None]:
    """Say of an interrupt that the same call goes on; below it, Python's own has its traceback.

    Raises:
        Interrupted: In place of KeyboardInterrupt.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(
            "interrupted; nothing is lost: run the same cell or call again, and it goes on from here"
        ) from None


class _Listener:
    """What a process knows of its signals. Its thread hears of them even while the main thread is in a call into C."""

    def __init__(self) -> None:
        self.caught = 0
        """The first signal's number; 0 before it."""
        self.has_arrived = False
        """Whether the exception has come to where things are closed: nothing is raised any more."""
        self.raises = False
        """Whether the main thread waits where a signal may raise."""
        self._is_on_its_way = self._insists = False
        self._own = 0
        self._ear, self._mouth = socket.socketpair()
        self._mouth.setblocking(False)
        self._watcher = threading.Thread(target=self._watch, name="harness signals", daemon=True)
        self._watcher.start()
        self._woken = signal.set_wakeup_fd(self._mouth.fileno(), warn_on_full_buffer=False)
        handled = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]  # as nohup has SIGHUP
        self._before = {number: signal.signal(number, self._handle) for number in handled}

    def close(self) -> None:
        """Put back what was there before; the thread ends."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._woken)
        self._mouth.close()
        self._watcher.join()
        self._ear.close()

    def check(self) -> None:
        """Raise what was caught, until it arrives; on the way there, servers are stopped and files closed."""
        if self.caught and not self.has_arrived:
            self._is_on_its_way = True
            raise KeyboardInterrupt(self.caught)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.caught = self.caught or number
        if self.raises:
            self.check()
        elif self._insists and not self.has_arrived:
            self._insists = False
            raise KeyboardInterrupt(self.caught)

    def _watch(self) -> None:
        first = self._next(None)
        if first is None:
            return
        self.caught = self.caught or first
        began = time.monotonic()
        insists, end = began + GRACE, began + LIMIT
        while (now := time.monotonic()) < end:
            heard, now = self._next(max(0.0, min(insists, end) - now)), time.monotonic()
            if heard is None:
                return
            if heard and self._own:
                self._own -= 1
            elif heard and now - began > SAME:
                break
            elif not heard:
                insists = now + GRACE * (now % 1.0)  # never in step with what drops it
                self._insist()
        with suppress(OSError):
            os.write(2, FAREWELL)
        os._exit(128 + self.caught)

    def _insist(self) -> None:
        """Interrupt the main thread where it stands."""
        if not (self.has_arrived or self._is_on_its_way):
            self._insists, self._own = True, self._own + 1
            signal.pthread_kill(threading.main_thread().ident or 0, self.caught)

    def _next(self, seconds: float | None) -> int | None:
        """Return the next signal, 0 if none comes within some seconds, ``None`` when listening is over."""
        self._ear.settimeout(seconds)
        with suppress(TimeoutError, BlockingIOError):
            while said := self._ear.recv(1):
                if said[0] in SIGNALS:  # others may have handlers too
                    return said[0]
            return None
        return 0


_listener: _Listener | None = None


@contextmanager
def listening() -> Iterator[None]:
    """Note signals for the length of a block, in the main thread; one that came counts until the process has ended."""
    global _listener
    if _listener:
        yield
        return
    _listener = _Listener()
    try:
        yield
    finally:
        if not _listener.caught:
            _listener.close()
            _listener = None


def check() -> None:
    """Raise KeyboardInterrupt with its number if a signal was caught; where nothing that lasts is half done."""
    if _listener:
        _listener.check()


@contextmanager
def _raising(listener: _Listener) -> Iterator[None]:
    listener.raises = True
    try:
        listener.check()
        yield
    finally:
        listener.raises = False


def at_once() -> AbstractContextManager[None]:
    """Let a signal raise in a block that waits, and does nothing that could be left half done."""
    return _raising(_listener) if _listener else nullcontext()


def arrived() -> None:
    """Say that the exception has come to where things are closed, which nothing is to disturb."""
    if _listener:
        _listener.has_arrived = True


def status() -> int:
    """Return the exit status that a signal asks for, such as 130 after SIGINT; 0 where none came."""
    return 128 + _listener.caught if _listener and _listener.caught else 0


def _forget() -> None:
    """Give a forked child the signals that its parent had before."""
    global _listener
    if _listener:
        _listener.close()
        _listener = None


os.register_at_fork(after_in_child=_forget)
