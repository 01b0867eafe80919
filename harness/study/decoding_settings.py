"""How predictions are decoded, as plain data that a stored model keeps."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from pydantic import Field

from harness.core.number_types import Count, LengthPenalty, RepetitionPenalty, Seed, Temperature, Tokens, TopP

__all__ = ["Decoding"]

FIRST = 4
"""How many settings there were at first; the others are written where they are set, so that digests stay."""


class Decoding(NamedTuple):
    """How predictions are made, with nothing left open."""

    max_new_tokens: Count
    """The most tokens of a prediction."""

    num_beams: Annotated[Count, Field(le=1_000)] = 1
    """1: greedy, or drawn."""

    stop: tuple[str, ...] = ()
    """Texts that end a prediction, and are no part of it."""

    batch_size: Count = 64
    """The most prompts at a time; 1: each alone, without padding."""

    length_penalty: LengthPenalty = 1.0
    """Of beams."""

    no_repeat_ngram_size: Tokens = 0
    """No run of so many tokens is said twice; 0: any is."""

    repetition_penalty: RepetitionPenalty = 1.0
    """Above 1, what was said becomes less likely."""

    min_new_tokens: Tokens = 0
    """No end token is taken before."""

    sample: bool = False
    """Whether tokens are drawn."""

    temperature: Temperature = 1.0
    """Of drawing."""

    top_p: TopP = 1.0
    """Tokens are drawn from the likeliest ones that have this probability together."""

    seed: Seed = 0
    """Of drawing."""

    def further(self) -> dict[str, Any]:
        """Return the settings behind the first ones that are not as they are when left out."""
        names = self._fields[FIRST:]
        return {name: value for name in names if (value := getattr(self, name)) != self._field_defaults[name]}

    def as_json(self) -> dict[str, Any]:
        """Return what a stored model keeps."""
        return {name: getattr(self, name) for name in self._fields[:FIRST]} | self.further()

    def identity(self) -> list[Any]:
        """Return what stands for it in a digest."""
        further = self.further()
        return [*self[:FIRST], *([further] if further else [])]
