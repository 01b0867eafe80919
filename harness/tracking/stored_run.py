"""A run as a store holds it, which anybody may have edited: what it lacks, or what is odd, is told as damage of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from harness.core.errors import DamagedError
from harness.tracking.schema import Status, Tags

__all__ = ["OWN_SECONDS", "Run", "damage", "decoding_run"]

OWN_SECONDS = "own_seconds"
"""Tag of a run that was open while others answered with the same weights: what of its time was its own."""


class _Values(dict[str, str]):
    """Params or tags; one that is asked for and is not there is damage of the run, which anybody may have edited.

    Args:
        run: How messages call it.
        kind: What they call these.
        values: All of them.
    """

    def __init__(self, run: str, kind: str, values: Mapping[str, str]) -> None:
        super().__init__(values)
        self._run, self._kind = run, kind

    def __missing__(self, key: str) -> str:
        raise DamagedError(
            f"{self._run} is damaged: it has no {self._kind} {key!r}; delete it in MLflow, and `harness run` does it "
            "again"
        )


@dataclass(frozen=True)
class Run:
    """A run as the store holds it."""

    id: str
    name: str
    status: Status
    parent: str | None
    """The id of the run above it."""
    params: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    """The last value of each."""
    started: float
    """When, in seconds since 1970."""
    seconds: float
    """From its start to its end; nan while it runs."""

    def __post_init__(self) -> None:
        what = f"run {self.name} ({self.id})"
        object.__setattr__(self, "params", _Values(what, "param", self.params))
        object.__setattr__(self, "tags", _Values(what, "tag", self.tags))

    @property
    def own_seconds(self) -> float:
        """The same, of runs that were open together because of the same weights each by itself."""
        return float(self.tags.get(OWN_SECONDS, self.seconds))

    @property
    def phase(self) -> str:
        """What kind of run it is."""
        return self.tags.get(Tags.PHASE, "")


def damage(file: str, run: Run, reason: str) -> str:
    """Return what to say of a file of a run that is not what was stored."""
    return f"{file} of run {run.name} ({run.id}) is damaged: {reason}; `harness run` makes it again"


@contextmanager
def decoding_run(run: Run) -> Iterator[None]:
    """Tell of params and tags of a run that are not what they should be as damage of it.

    Raises:
        DamagedError: Some are not.
    """
    try:
        yield
    except (ValueError, TypeError, OverflowError) as error:
        raise DamagedError(
            f"run {run.name} ({run.id}) is damaged: {error}; delete it in MLflow, and `harness run` does it again"
        ) from error
