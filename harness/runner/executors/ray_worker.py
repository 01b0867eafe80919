"""A worker on a machine of a Ray cluster, as its driver sees it: one call at a time, answered when it speaks."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.runner.executors.protocol import Job, Reply
from harness.runner.executors.worker_messages import Raised, Saved

__all__ = ["RayWorker"]

LISTENING = 1.0
"""Seconds in which a call is answered, with how far the job is if with nothing else."""

IDLE = 0.25
"""The same where there is no job, and one may come."""


class RayWorker:
    """One actor, and what it does just now: see `harness.runner.executors.side_by_side.Member`.

    Args:
        number: Counted from 1.
        actor: A `harness.runner.executors.ray_outpost.Outpost`.
        begun: Its answer to ``begin``, which comes when there is a machine for it.
        log: The file that its output is added to.
        is_there: Whether a machine is still a part of the cluster, by its id.
    """

    def __init__(self, number: int, actor: Any, begun: Any, log: Path, is_there: Callable[[str], bool]) -> None:
        import ray

        self.number, self.log = number, log
        self.job: Job | None = None
        self.model: str | None = None
        self.trunk: Hashable = None
        self.is_ready = False
        self.place = ""
        """The id of its machine; empty as long as there is none for it."""
        self.is_lost_with_place = False
        self.since = time.monotonic()
        """When it was asked for."""
        self._ray, self._actor, self._is_there, self._host = ray, actor, is_there, ""
        self._call: Any = begun
        self._unsent = list[bytes]()
        self._save: Path | None = None
        """Where a model that it saves goes to."""
        self._why = "gave no sign of life"
        self._farewell: Any = None

    def call(self) -> Any:
        """Return the call that is to be waited for: it hands on what was sent, and asks what there is to say."""
        if self._call is None:
            is_idle = self.is_ready and self.job is None
            self._call = self._actor.exchange.remote(self._unsent, IDLE if is_idle else LISTENING)
            self._unsent = []
        return self._call

    def send(self, message: Any) -> None:
        """Send it something, with the next call."""
        if isinstance(message, Reply) and message.save:
            self._save = Path(message.save)
        self._unsent.append(pickle.dumps(message))

    def messages(self) -> Iterator[Any]:
        """Yield what it has said so far.

        Raises:
            EOFError: It has gone.
        """
        if self._call is None or not self._ray.wait([self._call], timeout=0)[0]:
            return
        try:
            answer = self._ray.get(self._call)
        except self._ray.exceptions.RayTaskError as error:
            why = f"{type(error.cause).__name__}: {error.cause}"
            yield from self._refused(f"{why}, on {self._host or 'its machine'}")
        except self._ray.exceptions.RayError as error:
            self._lose(error)
            raise EOFError from error
        self._call = None
        if isinstance(answer, tuple):
            why, self.place, self._host = answer
            if why:
                yield from self._refused(why)
            return
        said, printed, gone = pickle.loads(answer)
        self._note(printed)
        for message in said:
            if isinstance(message, Saved):
                self._write(message)
            else:
                yield message
        if gone:
            self._why = f"on {self._host} {gone}"
            raise EOFError

    def is_silent(self) -> bool:
        """Return that it is not: it is told when it is, and Ray tells when all of its machine is."""
        return False

    def end(self) -> str:
        """End the actor with all that it started, and return how it ended by itself, if it did."""
        self.kill()
        return self._why

    def hang_up(self) -> None:
        """Let a worker that has no job end by itself."""
        if self.job is None and self.place:
            with suppress(ConnectionError):
                self._farewell = self._actor.close.remote()

    def kill(self, patience: float = 0.0) -> None:
        """End it at once, or where it has been hung up after some seconds."""
        with suppress(self._ray.exceptions.RayError, ConnectionError):
            if self._farewell is not None and patience:
                self._ray.wait([self._farewell], timeout=patience)
            self._ray.kill(self._actor)

    def _lose(self, error: Exception) -> None:
        """Take note of what Ray says of an actor that is gone, or of which it cannot tell: then its machine is away."""
        is_away = isinstance(error, self._ray.exceptions.ActorUnavailableError)
        self.is_lost_with_place = bool(self.place) and (is_away or not self._is_there(self.place))
        told = f"was lost with its machine {self._host}{', or cannot be reached there' if is_away else ''}"
        self._why = told if self.is_lost_with_place else f"was lost: {_first_line(error)}"

    def _refused(self, why: str) -> Iterator[Raised]:
        """Yield why it cannot begin, or cannot go on, as its last word.

        Raises:
            EOFError: Then.
        """
        yield Raised(why, is_of_user=True, is_known=True)
        self._why = why
        raise EOFError

    def _note(self, printed: bytes) -> None:
        if printed:
            with self.log.open("ab") as file:
                file.write(printed)

    def _write(self, saved: Saved) -> None:
        """Add a piece to a file of a model."""
        assert self._save is not None
        file = self._save / saved.file
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab") as whole:
            whole.write(saved.piece)


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
