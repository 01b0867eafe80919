"""A later clock: what a process reads that is to show whether a task's examples depend on the day it is run."""

from __future__ import annotations

import datetime
import time
from typing import Any

__all__ = ["turn_ahead"]

AHEAD = datetime.timedelta(days=397, hours=5, minutes=7, seconds=11).total_seconds()
"""Another year, month, day, weekday and time of day."""

_DateTime = datetime.datetime


class _AnyDateTime(type):
    """Dates that this process did not make are dates as well."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _DateTime)


class _Later(datetime.datetime, metaclass=_AnyDateTime):
    """Only asks the time otherwise: the original does not ask `time.time`."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Any:
        return cls.fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls) -> Any:
        return cls.fromtimestamp(time.time(), datetime.UTC).replace(tzinfo=None)


def turn_ahead() -> None:
    """Have all that is imported from now on into this process read a later time from Python's own modules."""
    now, local, utc, written, shown = time.time, time.localtime, time.gmtime, time.strftime, time.ctime
    module: Any = time
    module.time = lambda: now() + AHEAD
    module.time_ns = lambda: int(time.time() * 1e9)
    module.localtime = lambda seconds=None: local(time.time() if seconds is None else seconds)
    module.gmtime = lambda seconds=None: utc(time.time() if seconds is None else seconds)
    module.strftime = lambda form, moment=None: written(form, time.localtime() if moment is None else moment)
    module.ctime = lambda seconds=None: shown(time.time() if seconds is None else seconds)
    _Later.__name__ = _Later.__qualname__ = "datetime"
    _Later.__module__ = "datetime"
    module = datetime
    module.datetime = _Later
