"""What can go wrong: a `UserError` must be mended by the user, a `Diverged` loss fails its trial alone.

A message names the thing, the value, the rule and the remedy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from harness.core.passwords import masked

__all__ = [
    "FRESH",
    "DamagedError",
    "DataError",
    "Diverged",
    "EmptyPrompt",
    "HarnessError",
    "LongPrompt",
    "MetricError",
    "ModelError",
    "NewerError",
    "Problem",
    "StoreAway",
    "StoreError",
    "StudyError",
    "TaskError",
    "TemplateError",
    "UnsetName",
    "UserError",
]

FRESH = "--fresh, in Python fresh=True"
"""How a study is told to begin anew, for messages that command and Python share."""


class HarnessError(Exception):
    """Base of everything that the harness raises on purpose; no message holds a password of an address."""

    def __init__(self, message: str = "") -> None:
        super().__init__(masked(message))


class UserError(HarnessError):
    """Something that the user must change; the command ends with status 2."""


class TaskError(UserError):
    """A task file that cannot be loaded or breaks its contract."""


class DataError(UserError):
    """A data file, column or split that is missing or malformed."""


class EmptyPrompt(DataError):
    """A row leaves nothing of a prompt."""


class TemplateError(UserError):
    """A prompt template that does not parse, names an unknown field or cannot be made to fit."""


class LongPrompt(TemplateError):
    """A prompt that cannot be made to fit into the tokens that it may take."""


class MetricError(UserError):
    """An unknown metric, or one that cannot score what it was given."""


class ModelError(UserError):
    """A model folder or Hub id that cannot be read, or a tuning that the model cannot follow."""


class StoreError(UserError):
    """An MLflow or Optuna store that cannot be reached."""


class DamagedError(StoreError):
    """A stored file that is missing, cut or changed, or is not what a file of its kind holds."""


class NewerError(StoreError):
    """Something that a newer version of the harness stored; it is no damage, and nothing is done about it."""


class StoreAway(StoreError):
    """A tracking server that does not answer for now; trying again may help.

    Args:
        message: All there is to say.
        reason: What came instead of an answer.
    """

    def __init__(self, message: str, reason: str) -> None:
        self.reason = masked(reason)
        super().__init__(message)


class UnsetName(UserError):
    """A ``${NAME}`` of a study file that the environment does not have.

    Args:
        message: All there is to say.
        key: Where it stands, ``search.storage`` for one.
    """

    def __init__(self, message: str, key: str) -> None:
        self.key = key
        super().__init__(message)


class Problem(NamedTuple):
    """One thing wrong with a study, and where."""

    place: str
    """``file:line``, or the file alone."""

    message: str
    """The thing, the value, the rule and the remedy."""

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


class StudyError(UserError):
    """A study file with all its problems at once, in the order of the file."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class Diverged(HarnessError):
    """A loss that became NaN or infinite, or exploded on validation; its run failed, and the cell goes on.

    Args:
        loss: The value.
        step: The optimizer step, counted from 1, at which it was seen; 0 where nothing trains.
        where: What is said behind it.
    """

    def __init__(self, loss: float, step: int, where: str = "") -> None:
        self.loss = loss
        self.step = step
        super().__init__(f"loss is {loss} at step {step}{where}")
