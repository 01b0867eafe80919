"""Trials that fail: one of them ends alone; a run of them ends the study before its budget is burnt.

What ran out of memory is left out: it says something of one tuning, and nothing of the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from harness.core.errors import FRESH, UserError
from harness.core.failures import STARVED
from harness.runner.search.optuna_search import CellSearch
from harness.study.hyperparameters import Hyperparameters, shown_value

__all__ = ["FailureWatch", "refuse_starved"]

ROW = 3
"""Trials that fail one after the other before it is believed that all will."""

REMEDY = (
    "the study stops here, before its budget is spent on such: see that the rows and the model are sound, lower the "
    "learning rates of `search`, or leave cells out by --cells, in Python cells=; the same command goes on with the "
    "next trials"
)


class _Failure(NamedTuple):
    hyperparameters: Hyperparameters
    why: str


@dataclass
class FailureWatch:
    """The trials of this command that failed, and the cells in which one ever came to its end."""

    searches: Mapping[str, CellSearch]
    _failed: dict[str, dict[int, _Failure]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._sound = {cell for cell, search in self.searches.items() if search.best() is not None}

    def ended(self, cell: str) -> None:
        """Hear of a trial that did not fail."""
        self._sound.add(cell)

    def failed(self, cell: str, index: int, hyperparameters: Hyperparameters, why: str) -> None:
        """Hear of a trial that did.

        Raises:
            UserError: In a cell where none came to its end so far, three trials in a row failed at different rates; or
                in no cell did any, and all cells have tried.
        """
        if why.startswith(STARVED) or cell in self._sound:
            return
        self._failed.setdefault(cell, {})[index] = _Failure(hyperparameters, why)
        failed = self._failed[cell]
        for first in failed:
            row = [failed[number] for number in range(first, first + ROW) if number in failed]
            if len({failure.hyperparameters.learning_rate for failure in row}) == ROW:
                told = f"trials {first} to {first + ROW - 1} of {cell} failed one after the other"
                raise UserError(f"{told}, at learning rates {_rates(row)}, the last one since {row[-1].why}; {REMEDY}")
        tries = [failure for one in self._failed.values() for failure in one.values()]
        if not self._sound and self._failed.keys() == self.searches.keys() and len(tries) >= ROW:
            told = f"all {len(tries)} trials of this study failed, of each of its cells at least one"
            raise UserError(f"{told}, at learning rates {_rates(tries)}, the last one since {why}; {REMEDY}")


def _rates(failures: Sequence[_Failure]) -> str:
    rates = dict.fromkeys(failure.hyperparameters.learning_rate for failure in failures)
    return ", ".join(map(shown_value, rates))


def refuse_starved(searches: Mapping[str, CellSearch], winners: Mapping[str, Hyperparameters]) -> None:
    """See that not all that trains ran out of memory; what does not train has its results by now.

    Raises:
        UserError: It did.
    """
    why = next((why for search in searches.values() if (why := search.last_failure()).startswith(STARVED)), "")
    if why and not any(winners.values()):
        raise UserError(f"no trial came to its end: {why}; to try them again, start over: {FRESH}")
