"""What the records of a study say of its model: plain data, which another command can be told without loading it."""

from __future__ import annotations

from typing import Any, NamedTuple

from harness.data.tokenization import Limits
from harness.study.row_lengths import Fit

__all__ = ["Decoding", "ModelFacts"]


class Decoding(NamedTuple):
    """How predictions are made, with nothing left open."""

    max_new_tokens: int
    """The most tokens of a prediction."""

    num_beams: int = 1
    """1: greedy."""

    stop: tuple[str, ...] = ()
    """Texts that end a prediction, and are no part of it."""

    batch_size: int = 64
    """The most prompts at a time; 1: each alone, without padding."""


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
    """Per cell: how many parameters train, and how many there are."""
    energy: tuple[str, ...]
    """The counters that energy is read from; none where one of them cannot be read."""
    forgetting: str | None = None
    """Digest of all by which it is measured what the model still knows, if it is."""
    fits: tuple[Fit, ...] = ()
    """How each prompt's rows fit, as the model's own tokenizer counts."""
    cautions: tuple[str, ...] = ()
    """What a reader of the results must know that only the loaded tokenizer could tell."""

    def as_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        parts = {"limits": self.limits._asdict(), "decoding": self.decoding._asdict()}
        return {**self._asdict(), **parts, "fits": [fit._asdict() for fit in self.fits]}

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
            }
        )
