"""What a running study tells whoever watches."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["Progress"]


class Progress:
    """A watcher of a study; this one shows nothing."""

    def start(self, work: Mapping[str, int], factors: Mapping[str, Mapping[str, str]]) -> None:
        """Hear of the cells.

        Args:
            work: How many training runs each still takes.
            factors: The names of their levels, by axis.
        """

    def done(self, cell: str, what: str, *, score: float, best: float, seconds: float) -> None:
        """Hear that a cell's trial or final run ended.

        Args:
            cell: Its id.
            what: Such as ``trial 3, learning rate 0.001`` or ``seed 11``.
            score: Its validation score, nan where there is none.
            best: The cell's best trial so far, nan where this is none.
            seconds: What it took.
        """

    def say(self, text: str) -> None:
        """Hear of a stage of the work."""
