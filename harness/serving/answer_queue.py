"""One model, one request at a time; a bounded number waits, and what nobody waits for any more is given up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from typing import Any

from harness.serving.abandoned_answers import Abandoned
from harness.serving.generator import Generator
from harness.serving.http_server import Refused

__all__ = ["AnswerQueue"]

PLACES = 16
"""The most requests that wait or are answered."""


class AnswerQueue:
    """Asks a model in a thread of its own.

    Args:
        generator: The model.
    """

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._thread = ThreadPoolExecutor(1, "model")
        self._waiting = 0
        self._stopping = False

    def see_room(self) -> None:
        """See that one more may wait.

        Raises:
            Refused: Too many do, or the server is being stopped.
        """
        if self._stopping:
            raise _stopped()
        if self._waiting >= PLACES:
            message = f"{PLACES} requests are waiting for the model already; try again in some seconds"
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, message, ("Retry-After", "10"))

    async def answer(
        self, rows: Sequence[Mapping[str, Any]], *, skip: bool, probabilities: bool = False
    ) -> Sequence[str | Mapping[str, float] | None]:
        """Return one text per row, or the probabilities of its labels; cancelled, the model stops at its next token.

        Raises:
            Refused: Too many wait, or the server is being stopped.
            DataError: A row is malformed and none is to be skipped.
        """
        self.see_room()
        left = threading.Event()
        say = self._generator.probabilities if probabilities else self._generator
        ask = partial(say, rows, skip=skip, wanted=lambda: not (left.is_set() or self._stopping))
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, ask)
        except Abandoned as error:
            raise _stopped() from error
        finally:
            left.set()
            self._waiting -= 1

    def stop(self) -> None:
        """Give up all requests."""
        self._stopping = True

    def has_ended(self, seconds: float) -> bool:
        """Wait until the model has stopped; say whether it did."""
        ended = threading.Thread(target=self._thread.shutdown, daemon=True)
        ended.start()
        ended.join(seconds)
        return not ended.is_alive()


def _stopped() -> Refused:
    return Refused(HTTPStatus.SERVICE_UNAVAILABLE, "the server is being stopped; start it again")
