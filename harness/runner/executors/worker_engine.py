"""Where workers are, and what one is to its driver: the seam between processes of a machine and actors of a cluster.

`harness.runner.executors.side_by_side` gives jobs to whatever does what is said here.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from harness.runner.executors.protocol import Job
from harness.runner.executors.worker_messages import Footprint, Setup
from harness.study.load_study import StudyFile
from harness.study.shipped_study import Shipped

__all__ = ["Engine", "Member"]


class Member(Protocol):
    """A worker as its driver sees it."""

    number: int
    """Counted from 1."""
    log: Path
    """What it prints."""
    job: Job | None
    """What it does just now."""
    model: str | None
    """What it has loaded; ``None`` before it says so."""
    trunk: Hashable
    """What the frozen part of its last job was computed for."""
    is_ready: bool
    """Whether its model is loaded."""

    @property
    def place(self) -> str:
        """What has the same name shares its recordings."""

    @property
    def is_lost_with_place(self) -> bool:
        """Whether it is gone because all of its place is."""

    def send(self, message: Any) -> None:
        """Send it something; that it has gone shows when it is heard next."""

    def messages(self) -> Iterator[Any]:
        """Yield what it has said so far.

        Raises:
            EOFError: It has gone.
        """

    def is_silent(self) -> bool:
        """Return whether it is taken for hung."""

    def end(self) -> str:
        """End it with all that it started, and return how it ended by itself, if it did."""

    def hang_up(self) -> None:
        """Let it end by itself, if it has no job."""

    def kill(self, patience: float = 0.0) -> None:
        """End it at once, or where it has been hung up after some seconds."""


class Engine(Protocol):
    """Where workers are, and how they begin."""

    @property
    def study(self) -> StudyFile | Shipped:
        """What each is sent of the study."""

    @property
    def workers(self) -> int:
        """How many there are to be just now."""

    def share(self, number: int) -> int:
        """Return how many workers divide the memory that one is in, itself among them."""

    def begin(self, number: int, setup: Setup, log: Path) -> Member:
        """Begin a worker."""

    def make_room(self, taken: Footprint) -> None:
        """Take note of what a worker takes of the memory.

        Raises:
            UserError: There is no room for so many.
        """

    def wait(self, members: Sequence[Member]) -> Collection[Member]:
        """Wait until one of some workers says something, or a second is over; return those that may have.

        Raises:
            UserError: There is none that could ever say something.
        """

    def close(self) -> None:
        """End what the workers stood on; they have ended."""
