"""Types of the numbers in a study file, each with its range: beyond it a number makes no sense, or overflows in use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError, PydanticKnownError

__all__ = [
    "Amount",
    "Count",
    "Counts",
    "Decay",
    "Factor",
    "LengthPenalty",
    "Mebibytes",
    "Rate",
    "RepetitionPenalty",
    "Rows",
    "Seed",
    "Seeds",
    "Share",
    "Shots",
    "Sizes",
    "Temperature",
    "Tokens",
    "TopP",
]


def _no_boolean(value: Any) -> Any:
    """Refuse what Python counts as 0 and 1."""
    if isinstance(value, bool):
        raise PydanticCustomError("truth_value", "it must be a number, not true or false")
    return value


_NUMBER = BeforeValidator(_no_boolean)

Count = Annotated[int, _NUMBER, Field(ge=1, le=1_000_000)]
"""Of epochs, trials, examples in a batch, tokens, blocks."""

Shots = Annotated[int, _NUMBER, Field(ge=0, le=1_000)]
"""Demonstrations in front of a row."""

Rows = Annotated[int, _NUMBER, Field(ge=1)]
"""Of a file: its own rows are the most."""


def _one_or_several(kind: Any) -> Callable[[Any], Any]:
    """Return what takes a number of a kind, or a list of several distinct ones; of a list of one it makes the number.

    A union would refuse what is neither twice.
    """
    one = TypeAdapter[Any](kind)

    def number(value: Any) -> Any:
        try:
            return one.validate_python(value)
        except ValidationError as error:
            (detail,) = error.errors(include_url=False)
            if detail["type"] == "truth_value":
                raise PydanticCustomError("truth_value", "it must be a number, not true or false") from None
            raise PydanticKnownError(detail["type"], detail.get("ctx")) from None  # type: ignore[arg-type]

    def each(value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return number(value)
        if not value:
            raise PydanticCustomError("levels", "it must be a number, or a list of several to compare")
        numbers = tuple(map(number, value))
        if repeated := sorted({number for number in numbers if numbers.count(number) > 1}):
            raise PydanticCustomError(
                "levels", "it names {level} more than once; each must be distinct", {"level": repeated[0]}
            )
        return numbers if len(numbers) > 1 else numbers[0]

    return each


Sizes = Annotated[Rows | tuple[Rows, ...], BeforeValidator(_one_or_several(Rows))]
"""Of a split, or several to compare."""

Counts = Annotated[Count | tuple[Count, ...], BeforeValidator(_one_or_several(Count))]
"""Of rows of each label, or several to compare."""

Seed = Annotated[int, _NUMBER, Field(ge=0, le=2**63 - 1)]
"""What any library takes, and any database holds."""

Seeds = Annotated[Seed | tuple[Seed, ...], BeforeValidator(_one_or_several(Seed))]
"""Of draws, or several to compare."""

Rate = Annotated[float, _NUMBER, Field(ge=1e-38, le=1e38)]
"""A learning rate: a float32, with a logarithm."""

Share = Annotated[float, _NUMBER, Field(ge=0.0, lt=1.0)]
"""Of a whole, and never all of it."""

Decay = Annotated[float, _NUMBER, Field(ge=0.0, le=1_000.0)]
"""Of weights, by the step: times the learning rate."""

Factor = Annotated[float, _NUMBER, Field(gt=0.0, le=1.0)]
"""Of what becomes smaller, and never nothing: of learning rates from block to block."""

Amount = Annotated[float, _NUMBER, Field(ge=1e-9, le=1e9)]
"""In units of a score or a norm; its square is a number, too."""

Mebibytes = Annotated[float, _NUMBER, Field(ge=0.0, le=1e9)]
"""Up to a pebibyte."""

Tokens = Annotated[int, _NUMBER, Field(ge=0, le=1_000_000)]
"""Of a text, which may have none."""

LengthPenalty = Annotated[float, _NUMBER, Field(ge=-100.0, le=100.0)]
"""The power of a beam's length that its log-probability is divided by."""

RepetitionPenalty = Annotated[float, _NUMBER, Field(ge=0.01, le=100.0)]
"""What the logits of tokens that were said are divided by."""

Temperature = Annotated[float, _NUMBER, Field(ge=0.01, le=100.0)]
"""What logits are divided by: below, a float32 would overflow."""

TopP = Annotated[float, _NUMBER, Field(gt=0.0, le=1.0)]
"""The probability that the tokens which may be drawn have together."""
