"""A journal on its way to a server: what the user hears of it, and how questions wait for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from harness.core.errors import StoreAway
from harness.core.passwords import masked
from harness.tracking.mlflow.http import ask
from harness.tracking.server_outage.journal import Journal
from harness.tracking.server_outage.sender import Sender
from harness.tracking.store_link import Link

__all__ = ["Delivery"]

Answer = TypeVar("Answer")


class Delivery(Link):
    """Records under way to one server.

    Args:
        journal: Where records wait; what earlier processes left is sent first.
        sender: Of this journal.
        tell: Says a line to the user.
    """

    def __init__(self, journal: Journal, sender: Sender, tell: Callable[[str], None]) -> None:
        super().__init__(journal.names)
        self.journal = journal
        self._sender, self._tell = sender, tell
        self._away = self._raised = False
        self._store = masked(sender.uri, sender.uri)

    def announce(self) -> None:
        """Have a new record sent; say, once each, what the sender met meanwhile.

        Raises:
            StoreError: The server refuses a record for good; nobody had heard of it.
        """
        self._sender.wake()
        if self._sender.failure and not self._raised:
            self._raised = True
            raise self._sender.failure
        trouble = self._sender.trouble
        if self._away != bool(trouble):
            self._away = bool(trouble)
            self._tell(
                f"store {self._store} does not answer: {trouble.reason}; records wait in {self.journal.file}"
                if trouble
                else f"store {self._store} answers again"
            )

    def ask(self, question: Callable[[], Answer]) -> Answer:
        """Return the answer of a server that has all records, however long it takes.

        Raises:
            StoreError: The server refuses.
        """
        self._sender.drain(self._excuse)
        return ask(self._sender.uri, question, self._excuse)

    def close(self, *, seconds: float | None = None) -> bool:
        """Wait until the server has all records, and let go; return whether it does.

        Args:
            seconds: Wait no longer; what is left then waits for the next command.

        Raises:
            StoreError: The server refuses a record for good, and nobody has heard of it yet.
        """
        try:
            heard = self._raised or seconds is not None
            return (not self._sender.failure or not heard) and self._sender.drain(self._excuse, seconds=seconds)
        finally:
            self._sender.close()
            if len(self.journal):
                self._tell(f"{len(self.journal)} records wait in {self.journal.file}; the same command delivers them")
            self.journal.close()

    def _excuse(self, trouble: StoreAway) -> None:
        """Say why something takes longer."""
        waiting = f"{len(self.journal)} records wait in {self.journal.file}"
        hint = "Ctrl-C is safe, the same command goes on"
        self._tell(f"store {self._store} does not answer: {trouble.reason}; {waiting}; {hint}")
        self._away = True
