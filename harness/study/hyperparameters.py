"""Hyperparameters: what a search drew for one training run, and how people read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from harness.study.dimension import Value
from harness.study.written_space import RATE, TUNING

__all__ = ["Hyperparameters", "shown_value", "title"]


@dataclass(frozen=True, eq=False)
class Hyperparameters(Mapping[str, Value]):
    """The values of one training run by name, in the order of the search space; hashable, never changed.

    Empty where nothing trains.
    """

    chosen: Mapping[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "chosen", dict(self.chosen))  # a copy, which nobody else can change

    def __getitem__(self, name: str) -> Value:
        return self.chosen[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.chosen)

    def __len__(self) -> int:
        return len(self.chosen)

    def __hash__(self) -> int:
        return hash(frozenset(self.chosen.items()))

    @property
    def learning_rate(self) -> float:
        """The schedule's peak, which every training run has.

        Raises:
            KeyError: These are the hyperparameters of a run that trains nothing.
        """
        rate = self[RATE]
        assert isinstance(rate, int | float)
        return float(rate)

    def in_words(self) -> str:
        """Return them for people.

        >>> Hyperparameters({"learning_rate": 0.0123, "training.epochs": 3}).in_words()
        'learning rate 0.012, training.epochs 3'
        """
        return ", ".join(f"{title(name)} {shown_value(value)}" for name, value in self.items())

    def of_training(self) -> Hyperparameters:
        """Return them without options of the tuning, for where it is said in words.

        >>> Hyperparameters({"learning_rate": 0.0123, "tuning.lora.rank": 16}).of_training().in_words()
        'learning rate 0.012'
        """
        return Hyperparameters({name: value for name, value in self.items() if not name.startswith(TUNING)})

    def beyond_rate(self) -> str:
        """Return those behind the learning rate for people, to follow it in a sentence; mostly there are none.

        >>> Hyperparameters({"learning_rate": 0.0123, "training.epochs": 3}).beyond_rate()
        ', training.epochs 3'
        """
        others = Hyperparameters({name: value for name, value in self.items() if name != RATE})
        return f", {others.in_words()}" if others else ""


def title(name: str) -> str:
    """Return a hyperparameter's name in a sentence: words, or the key of the study file that it stands for."""
    return name if "." in name else name.replace("_", " ")


def shown_value(value: Value) -> str:
    """Return a value for people, rounded to two digits."""
    if value is None:
        return "null"
    return f"{value:.2g}" if isinstance(value, float) else str(value)
