"""The thread that brings a journal's records to the server, in order, so that training never waits for the network.

It gathers for some seconds, because a request costs the same whether it carries one point or a thousand. Where the
server is away it tries again after 1, 2, 4 ... 30 s, for as long as it takes.

Everything bears being sent twice: a point comes with the time at which it was made, which MLflow ignores when it is
there already; params, tags, texts and ends say the same again. Only starting a run would make a second one, so each
carries a tag of its own by which it is looked up first whenever the answer to an earlier try was lost.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from harness.core import interrupts
from harness.core.errors import StoreAway, StoreError
from harness.core.failures import explained
from harness.tracking.mlflow.http import answers, backoff
from harness.tracking.mlflow.write_run import ENTRIES, TOTAL, RunWriter
from harness.tracking.schema import Tags
from harness.tracking.server_outage.journal import Journal, Record
from harness.tracking.store_link import translate, translate_values

__all__ = ["LINGER", "Sender", "merged", "step_of"]

LINGER = 5.0
"""Seconds to gather records. A trial under 10 s then meets three rounds at most, and so takes six requests at most:
start, inputs, three batches, end."""


class Sender:
    """Delivers what is in a journal until it is closed.

    Args:
        uri: The server.
        journal: Whose records.
        server: Takes them.
        linger: Seconds to gather.
        pause: Numbers of failed tries to seconds before the next.
    """

    def __init__(
        self,
        uri: str,
        journal: Journal,
        server: RunWriter,
        *,
        linger: float = LINGER,
        pause: Callable[[int], float] = backoff,
    ) -> None:
        self.uri = uri
        self.trouble: StoreAway | None = None
        """Why the server does not answer just now."""
        self.failure: StoreError | None = None
        """Why the server will never take the next record; then nothing more is sent."""
        self._journal, self._server = journal, server
        self._linger, self._pause = linger, pause
        self._changed = threading.Condition()
        self._hurry = self._closed = False
        self._thread = threading.Thread(target=self._work, name="harness sender", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Hear that the journal has a new record."""
        with self._changed:
            self._changed.notify_all()

    def drain(self, tell: Callable[[StoreAway], None], *, seconds: float | None = None) -> bool:
        """Wait until the server has everything; return whether it does.

        Args:
            tell: Hears why it takes longer, once.
            seconds: Give up after so many.

        Raises:
            StoreError: The server refuses a record for good.
        """
        end = time.monotonic() + seconds if seconds is not None else None
        told = False
        try:
            with self._changed:
                self._hurry = True
                self._changed.notify_all()
                while len(self._journal):
                    interrupts.check()
                    if self.failure:
                        raise self.failure
                    if not self._thread.is_alive():
                        raise StoreError(f"sending records has stopped; they wait in {self._journal.file}")
                    if end is not None and time.monotonic() >= end:
                        return False
                    if self.trouble and not told:
                        tell(self.trouble)
                        told = True
                    self._changed.wait(0.2)
                return True
        finally:
            self._hurry = False

    def close(self) -> None:
        """Send nothing more after the request that is under way."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(timeout=2.0)

    def _work(self) -> None:
        while not self._closed and not self.failure:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or len(self._journal))
                self._changed.wait_for(lambda: self._closed or self._hurry, timeout=self._linger)
            self._send_all()

    def _send_all(self) -> None:
        """Send what waits by now, until a record is refused for good; what comes meanwhile is gathered again."""
        tries, gathered = 0, len(self._journal)
        while not self._closed and (step := step_of(self._journal.waiting()[:gathered])):
            try:
                with answers(self.uri):
                    name = self._send(step, again=tries > 0 or step[0].number <= self._journal.left)
                self._journal.delivered(step, name)
            except StoreAway as trouble:
                tries += 1
                self._wait(trouble, self._pause(tries))
                continue
            except StoreError as failure:
                waiting = f"{len(self._journal)} records wait in {self._journal.file}; move it away to give them up"
                self.failure = StoreError(f"{failure}; {waiting}")
                return self.wake()
            except OSError as failure:  # the journal's own disk; what the server has by now is sent again
                self.failure = StoreError(f"{self._journal.file} cannot be written: {explained(failure)}")
                return self.wake()
            tries, self.trouble, gathered = 0, None, gathered - len(step)
            self.wake()

    def _wait(self, trouble: StoreAway, seconds: float) -> None:
        with self._changed:
            self.trouble, rushed = trouble, self._hurry
            self._changed.notify_all()
            # A drain that begins meanwhile tries at once.
            self._changed.wait_for(lambda: self._closed or (self._hurry and not rushed), timeout=seconds)

    def _send(self, step: Sequence[Record], *, again: bool) -> str | None:
        """Send records as one request; return the server's id of a run that they start."""
        first, names = step[0], self._journal.names
        if first.kind == "start":
            tags = {**translate_values(first.content["tags"], names), Tags.RECORD: first.run}
            there = self._server.find(first.run) if again else None
            return there or self._server.start({**first.content, "tags": tags})
        run = names.get(first.run, first.run)
        if first.kind == "log":
            content = merged(record.content for record in step)
            self._server.log(run, {**content, "tags": translate_values(content["tags"], names)})
        elif first.kind == "text":
            self._server.text(run, {**first.content, "text": translate(first.content["text"], names)})
        else:
            getattr(self._server, first.kind)(run, first.content)
        return None


def step_of(waiting: Sequence[Record]) -> list[Record]:
    """Return the records that the next request carries: the first one, and batches that it can take along.

    A batch is taken along past texts and inputs of its own run, since neither changes what the other one does.
    """
    if not waiting or waiting[0].kind != "log":
        return list(waiting[:1])
    step: list[Record] = []
    params: set[str] = set()
    tags: set[str] = set()
    points = 0
    for record in waiting:
        if record.run != waiting[0].run or record.kind not in ("log", "text", "inputs"):
            break
        if record.kind == "log":
            params |= record.content.get("params", {}).keys()
            tags |= record.content.get("tags", {}).keys()
            points += len(record.content.get("metrics", ()))
            fits = max(len(params), len(tags)) <= ENTRIES and len(params) + len(tags) + points <= TOTAL
            if step and not fits:
                break
            step.append(record)
    return step


def merged(contents: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return one batch that does what several do, one after another: the first param stays, the last tag wins."""
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    metrics: list[Any] = []
    for content in contents:
        params = {**content.get("params", {}), **params}
        tags |= content.get("tags", {})
        metrics += content.get("metrics", [])
    return {"params": params, "tags": tags, "metrics": metrics}
