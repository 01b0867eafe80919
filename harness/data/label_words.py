"""Labels and their words: what a prompt that is answered by a label chooses from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from harness.core.example import Example
    from harness.data.tokenization import PromptForm

__all__ = [
    "Answers",
    "Calibration",
    "Label",
    "answers_of",
    "calibration_of",
    "head_labels",
    "is_labelled",
    "labels_of",
    "uncalibrated",
    "with_words",
]

Answers = Literal["generate", "likelihood", "head"]
"""How a prompt is answered: by a text that the model writes, by the label whose words are the likeliest, or by a
classification head in the place of all words."""

Calibration = Literal["contextual"]
"""What is done to the probabilities of labels: they are divided by those behind content-free inputs, and add up to 1
again; see `harness.data.content_free`."""


class Label(NamedTuple):
    """What an example may be, and how a model says so."""

    name: str
    """Its target."""
    words: tuple[str, ...]
    """Texts that stand for it behind a prompt, at least one; the likeliest of them counts."""


def answers_of(prompt: PromptForm) -> Answers:
    """Return how a prompt is answered; a form that knows nothing else is answered by a text."""
    answers: Answers | None = getattr(prompt, "answers", None)
    return answers or "generate"


def labels_of(prompt: PromptForm) -> tuple[Label, ...]:
    """Return the labels that a prompt chooses from; none where it is answered by a text."""
    labels: tuple[Label, ...] = getattr(prompt, "labels", ())
    return labels


def is_labelled(prompt: PromptForm) -> bool:
    """Return whether a prompt is answered by a label."""
    return answers_of(prompt) != "generate"


def calibration_of(prompt: PromptForm) -> Calibration | None:
    """Return how the probabilities of a prompt's labels are calibrated; ``None``: they are as the model says."""
    calibration: Calibration | None = getattr(prompt, "calibration", None)
    return calibration if answers_of(prompt) == "likelihood" else None


def uncalibrated(prompt: PromptForm) -> PromptForm:
    """Return a prompt whose labels have the probabilities that the model gives them."""
    return replace(prompt, calibration=None) if calibration_of(prompt) else prompt


def head_labels(prompt: PromptForm) -> tuple[str, ...]:
    """Return the names of the labels that a classification head chooses from; none where a prompt has no head."""
    return tuple(label.name for label in labels_of(prompt)) if answers_of(prompt) == "head" else ()


def with_words(shots: Sequence[Example], labels: Sequence[Label]) -> tuple[Example, ...]:
    """Return demonstrations that are answered as the row itself is, by the first word of their label."""
    first: Mapping[str, str] = {label.name: label.words[0] for label in labels}
    return tuple(replace(shot, target=first.get(shot.target, shot.target)) for shot in shots)
