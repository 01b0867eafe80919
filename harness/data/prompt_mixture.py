"""Mixtures of prompts: a model trains on several wordings at once, each row under one of them.

Which one is drawn by the row's own fields, so that it is the same in every run, on every machine and in a stored model,
and rows are as many as under a single prompt: cells of a mixture take as many steps as others. To train on several
wordings is how instruction tuning makes models that hang less on one (Sanh et al. 2022, "Multitask Prompted Training
Enables Zero-Shot Task Generalization").
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.core.errors import TemplateError
from harness.core.example import Example, as_text, digest
from harness.data.template import Template
from harness.data.tokenization import Ids, Reader, Row

__all__ = ["BETWEEN", "PromptMixture", "parts_of"]

BETWEEN = "\n--- or ---\n"
"""Stands between the texts where they are looked at."""


@dataclass(frozen=True)
class PromptMixture:
    """Several prompts of text, without demonstrations, of which each row has one.

    Args:
        name: How study files, ids and tables call it.
        mixture: The prompts.

    >>> mix = PromptMixture("mix", (Template("a", "{{ source }}:"), Template("b", "{{ source }} ->")))
    >>> sorted({mix.render({"source": word}) for word in ("one", "two", "three")})
    ['one ->', 'three ->', 'two:']
    """

    name: str
    mixture: tuple[Template, ...]

    def __post_init__(self) -> None:
        if len(self.mixture) < 2:
            raise TemplateError(f"prompt {self.name!r} mixes {len(self.mixture)} prompts; name two or more")

    def of(self, fields: Mapping[str, Any]) -> Template:
        """Return the prompt that a row with these fields has."""
        content = {name: as_text(fields[name]) for name in sorted(self.names() & fields.keys())}
        return self.mixture[int(digest(content), 16) % len(self.mixture)]

    @property
    def text(self) -> str:
        """All texts, for people and for the Prompt Registry."""
        return BETWEEN.join(part.text for part in self.mixture)

    def contract(self) -> dict[str, str]:
        """Return nothing: the texts tell it apart."""
        return {}

    def names(self) -> frozenset[str]:
        """Return the fields that any of them uses."""
        return frozenset().union(*(part.names() for part in self.mixture))

    def validate(self, fields: Collection[str]) -> None:
        """Check each of them; see `harness.data.tokenization.PromptForm`."""
        for part in self.mixture:
            part.validate(fields)

    def is_plain(self) -> bool:
        """Return whether all of them are plain text and fields alone."""
        return all(part.is_plain() for part in self.mixture)

    def render(self, fields: Mapping[str, Any], shots: Sequence[Example] = ()) -> str:
        """Return the row's prompt as people read it."""
        return self.of(fields).render(fields, shots)

    def reads(self, fields: Mapping[str, Any], reader: Reader, shots: Sequence[Example] = ()) -> str:
        """Return the row's prompt as the model reads it."""
        return self.of(fields).reads(fields, reader, shots)

    def ids(self, text: str, reader: Reader) -> Ids:
        """Return the ids of what `reads` gave: texts are tokenized alike."""
        return self.mixture[0].ids(text, reader)

    def ahead(self, example: Example, text: str, reader: Reader) -> tuple[list[str], list[str]]:
        """Return what `tokenize` has tokenized."""
        return self.of(example.fields).ahead(example, text, reader)

    def ends(self, reader: Reader) -> Ids:
        """Return the tokens that end an answer under any of them."""
        return tuple(dict.fromkeys(token for part in self.mixture for token in part.ends(reader)))

    def tokenize(self, example: Example, reader: Reader, *, limit: int) -> tuple[Row, str]:
        """Return an example in token ids, under the prompt that it has."""
        return self.of(example.fields).tokenize(example, reader, limit=limit)


def parts_of(prompt: object) -> tuple[str, ...]:
    """Return the names of the prompts that a mixture is made of; of any other prompt none."""
    return tuple(part.name for part in prompt.mixture) if isinstance(prompt, PromptMixture) else ()
