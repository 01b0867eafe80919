"""Signals at random instants to real commands, one after another on the same study until it is done."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from tests.support.study_fixture import Place

NUMBERS = (signal.SIGINT, signal.SIGTERM)

STARTING = 0.4
"""Seconds in which a process may not have come to a line of ours; the system's default ends it there."""

LAST = ("\nreport: ", "rows answered", "kept for the report", "are the same to the last bit", "ready to run")
"""What commands say at their end."""


class Struck(NamedTuple):
    """How a command took a signal."""

    command: str
    number: int
    at: float
    """Seconds after its start."""
    status: int
    seconds: float
    """From the signal to the end."""
    out: str
    err: str

    @property
    def is_obeyed(self) -> bool:
        """Whether the status says so; before and behind our lines the system's default may have ended it."""
        is_ours = self.at >= STARTING and not any(last in self.out for last in LAST)
        return self.status == 128 + self.number or (self.status == -self.number and not is_ours)

    @property
    def is_told(self) -> bool:
        """Whether nothing but sentences was said."""
        return "Traceback" not in self.err or self.at < STARTING


def strike(place: Place, arguments: Sequence[str], number: int, at: float) -> Struck | None:
    """Run a command and send it a signal after so many seconds; ``None`` where it was over before, and well."""
    process = place.process(*arguments)
    end = time.monotonic() + at
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.002)
    if process.poll() is not None:
        _, err = process.communicate()
        assert process.returncode == 0, err
        return None
    process.send_signal(number)
    began = time.monotonic()
    out, err = process.communicate(timeout=60)
    return Struck(arguments[0], number, at, process.returncode, time.monotonic() - began, out, err)


def struck_until_done(place: Place, arguments: Sequence[str], longest: float, draws: random.Random) -> Iterator[Struck]:
    """Strike a command again and again at random instants, until it was over before a signal came."""
    while struck := strike(place, arguments, draws.choice(NUMBERS), draws.uniform(0.0, longest)):
        yield struck


def seconds_of(command: Callable[[], object]) -> float:
    """Return how long something takes."""
    began = time.monotonic()
    command()
    return time.monotonic() - began
