"""What the records of a study say of its model: plain data, which another command can be told without loading it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from harness.core.example import digest
from harness.data.label_words import head_labels
from harness.data.tokenization import Limits
from harness.study.decoding_settings import Decoding
from harness.study.grid import Cell
from harness.study.row_lengths import Fit
from harness.tracking.shot_names import LEAST, MEAN

__all__ = ["ModelFacts"]


class ModelFacts(NamedTuple):
    """What the records of a study say of its model, as plain data."""

    weights: str
    """Digest of all weights."""
    architecture: str
    """Digest of the configuration."""
    tokenizer: str
    """Digest of the vocabulary."""
    tokenization: str
    """Digest of the tokenizer as a whole."""
    generation: str
    """Digest of the checkpoint's own generation settings that hold."""
    commit: str | None
    """Of a Hub model."""
    limits: Limits
    decoding: Decoding
    parameters: dict[str, tuple[int, int]]
    """Per cell: how many parameters train, and how many there are; of an adapter as its tuning is written."""
    energy: tuple[str, ...]
    """The counters that energy is read from; none where one of them cannot be read."""
    forgetting: str | None = None
    """Digest of all by which it is measured what the model still knows, if it is."""
    fits: tuple[Fit, ...] = ()
    """How each prompt's rows fit, as the model's own tokenizer counts."""
    cautions: tuple[str, ...] = ()
    """What a reader of the results must know that only the loaded tokenizer could tell."""
    chat_template: str | None = None
    """Digest of the tokenizer's chat template, if it has one."""
    growth: dict[str, int] = {}  # noqa: RUF012  # never changed
    """Per cell whose search draws an adapter's size: how many more parameters each one more of it is."""
    filled: dict[str, str] = {}  # noqa: RUF012  # never changed
    """Of prompts with demonstrations: as the first validation row fills them in."""
    models: dict[str, ModelFacts] = {}  # noqa: RUF012  # never changed
    """Where several models are compared, those of each, by what it is called; the others are then of the first."""
    head: ModelFacts | None = None
    """Where some prompts are answered by a classification head and others are not, those of the model under it."""

    def of(self, cell: Cell) -> ModelFacts:
        """Return the facts of a cell's model, as its runs have it; themselves where there is nothing else."""
        own = self.models.get(cell.model, self)
        return own.head or own if head_labels(cell.prompt) else own

    def shots(self, prompt: str) -> dict[str, float]:
        """Return, as metrics, how many of a prompt's demonstrations fit."""
        fit = next(fit for fit in self.fits if fit.prompt == prompt)
        return {MEAN: fit.shots, LEAST: float(fit.least_shots)}

    def as_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        parts = {"limits": self.limits._asdict(), "decoding": self.decoding.as_json()}
        models = {name: facts.as_json() for name, facts in self.models.items()}
        head = self.head.as_json() if self.head else None
        fits = [fit._asdict() for fit in self.fits]
        return {**self._asdict(), **parts, "fits": fits, "models": models, "head": head}

    def beside_head(self, head: ModelFacts) -> ModelFacts:
        """Return the facts of a model, some prompts of which are answered by a classification head."""
        return self._replace(
            parameters={**self.parameters, **head.parameters},
            growth={**self.growth, **head.growth},
            fits=(*self.fits, *head.fits),
            cautions=tuple(dict.fromkeys((*self.cautions, *head.cautions))),
            filled={**self.filled, **head.filled},
            head=head,
        )

    @classmethod
    def of_several(cls, models: Mapping[str, ModelFacts]) -> ModelFacts:
        """Return the facts of a study of several models, from those of each, by what it is called."""
        first, every = next(iter(models.values())), models.values()
        cautions = {
            line: [name for name, facts in models.items() if line in facts.cautions]
            for facts in every
            for line in facts.cautions
        }
        return first._replace(
            weights=digest([facts.weights for facts in every]),
            parameters={cell: counts for facts in every for cell, counts in facts.parameters.items()},
            growth={cell: growth for facts in every for cell, growth in facts.growth.items()},
            cautions=tuple(f"{', '.join(names)}: {line}" for line, names in cautions.items()),
            models=dict(models),
        )

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> ModelFacts:
        """Return what `as_json` made, as JSON has it."""
        decoding, fits = found["decoding"], found["fits"]
        return cls(
            **{
                **found,
                "limits": Limits(**found["limits"]),
                "decoding": Decoding(**{**decoding, "stop": tuple(decoding["stop"])}),
                "parameters": {cell: (trainable, every) for cell, (trainable, every) in found["parameters"].items()},
                "energy": tuple(found["energy"]),
                "fits": tuple(Fit(**fit) for fit in fits),
                "cautions": tuple(found["cautions"]),
                "models": {name: cls.from_json(facts) for name, facts in found["models"].items()},
                "head": cls.from_json(found["head"]) if found["head"] else None,
            }
        )
