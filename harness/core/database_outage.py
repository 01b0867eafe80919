"""A database server that goes away while a study runs: what it was asked is asked again until it answers.

sqlite has no server, so what it refuses is no outage. For a tracking server there is `harness.tracking.server_outage`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from harness.core import interrupts

__all__ = ["Patience", "is_away"]

Answer = TypeVar("Answer")

PATIENCE = 600.0
"""Seconds that a server may be away before the study ends, to be gone on with by the same command."""

BETWEEN = 1.0
"""Seconds between two tries."""

AWAY = ("08", "57P01", "57P02", "57P03")
"""What the SQLSTATE of a server begins with that cuts a connection, stops or starts."""


def is_away(error: BaseException) -> bool:
    """Return whether an error comes from a database server that was not there, or went away meanwhile."""
    found: BaseException | None = error
    while found is not None:
        if _is_cut(found):
            return True
        found = found.__cause__
    return False


def _is_cut(error: BaseException) -> bool:
    """Return whether SQLAlchemy says so: a driver that got no answer at all has no SQLSTATE."""
    if type(error).__module__ != "sqlalchemy.exc":
        return False
    if getattr(error, "connection_invalidated", False):
        return True
    driver = getattr(error, "orig", None)
    state = getattr(driver, "pgcode", getattr(driver, "sqlstate", ""))
    return type(error).__name__ in ("OperationalError", "InterfaceError") and (state is None or state.startswith(AWAY))


class Patience:
    """Waits for a database server, and once for as long as `PATIENCE`: then the study ends, and its end does not wait.

    Args:
        tell: Hears that it is waited for, and that this is over.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell, self._is_spent = tell, False

    def ask(self, call: Callable[[], Answer]) -> Answer:
        """Return what a call returns once the database that it needs answers; any other error is raised at once.

        Args:
            call: May be made again: a transaction that was cut off has left nothing.

        Raises:
            Exception: The call's, when the server was away for too long, or the study is told to end.
        """
        since: float | None = None
        while True:
            try:
                answer = call()
            except Exception as error:
                if not is_away(error) or self._is_spent or interrupts.status():
                    raise
                if since is None:
                    since = time.monotonic()
                    self._tell("a database server does not answer; the study waits for it")
                if time.monotonic() - since > PATIENCE:
                    self._is_spent = True
                    raise
                with interrupts.at_once():
                    time.sleep(BETWEEN)
            else:
                if since is not None:
                    self._tell("the database server answers again")
                return answer
