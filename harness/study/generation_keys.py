"""``generation:`` in a study file: how predictions are made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, model_validator

from harness.core.number_types import Count, LengthPenalty, RepetitionPenalty, Seed, Temperature, Tokens, TopP
from harness.core.workspace import LONGEST_NAME, STUDY_NAME
from harness.core.yaml_section import Section

__all__ = ["Generation", "NamedGeneration", "Settings", "generation_of"]


class Generation(Section):
    """How predictions are made; greedy by default."""

    max_new_tokens: Count | None = None
    """The most tokens of a prediction; left out: the targets' limit."""
    min_new_tokens: Tokens | None = None
    """No end token is taken before so many; left out: 0. A stop text ends a prediction all the same."""
    num_beams: Count = Field(default=1, le=1_000)
    """How many beams; 1: greedy, or drawn with ``sample``."""
    length_penalty: LengthPenalty | None = None
    """Of beams: the power of its length that a beam's log-probability is divided by; above 0 favours longer ones; left
    out: 1."""
    no_repeat_ngram_size: Tokens | None = None
    """No run of so many tokens is said twice, for a causal model neither one of its prompt; 2 or more; left out: 0, any
    is."""
    repetition_penalty: RepetitionPenalty | None = None
    """Above 1, tokens that were said, for a causal model its prompt's too, become less likely; left out: 1."""
    sample: bool = False
    """Whether tokens are drawn, each row by a generator of its own, and not the likeliest taken."""
    temperature: Temperature | None = None
    """Of sampling: below 1 nearer to the likeliest, above 1 further from it; left out: 1."""
    top_p: TopP | None = None
    """Of sampling: drawn is among the likeliest tokens that have this probability together; left out: 1, all."""
    seed: Seed | None = None
    """Of sampling: with a row's prompt it says what is drawn; left out: 0."""
    stop: tuple[str, ...] | None = None
    """Texts that end a prediction; left out: the task's."""
    batch_size: Count = 64
    """Prompts per call of ``generate``."""

    @model_validator(mode="after")
    def _agrees(self) -> Generation:
        if found := list(self._contradictions()):
            raise ValueError("; ".join(found))
        return self

    def _contradictions(self) -> Iterator[str]:
        """Yield a sentence for each setting that another one takes the meaning from."""
        for name in ("temperature", "top_p", "seed"):
            if (value := getattr(self, name)) is not None and not self.sample:
                yield f"generation.{name} is {value}; nothing is drawn: set generation.sample: true, or leave it out"
        if self.sample and self.num_beams > 1:
            yield (
                f"generation.num_beams is {self.num_beams}; generation.sample is true, and beams are searched, not "
                "drawn: leave one of them out"
            )
        if self.length_penalty is not None and self.num_beams == 1:
            yield (
                f"generation.length_penalty is {self.length_penalty}; only beams are weighed by their length: set "
                "generation.num_beams to 2 or more, or leave it out"
            )
        if self.no_repeat_ngram_size == 1:
            yield (
                "generation.no_repeat_ngram_size is 1; no token could be said twice, the comma neither: take 2 or "
                "more, or 0"
            )


class NamedGeneration(Generation):
    """One of the settings that a study compares."""

    name: str = Field(pattern=STUDY_NAME, max_length=LONGEST_NAME)
    """How ids and tables call it."""


Settings = Annotated[tuple[NamedGeneration, ...], Field(min_length=1)]
"""Those that a study compares."""


def generation_of(value: Any) -> Any:
    """Read one setting, or a list of named ones."""
    if isinstance(value, list | tuple):
        settings: tuple[NamedGeneration, ...] = TypeAdapter(Settings).validate_python(value)
        names = [one.name for one in settings]
        if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
            raise ValueError(f"generation calls two settings {twice[0]}; give each a name of its own")
        return settings
    return value if isinstance(value, Generation) else Generation.model_validate(value)
