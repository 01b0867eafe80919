"""A thousand seeded predictions with references, and the way to score them."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from harness.core.example import Example, Prediction
from harness.metrics import Metric

VECTORS = Path(__file__).parents[2].parent / "shared" / "data" / "metrics"

SENTENCE = (
    "the a cat dog sat on mat, mat. Meeting at 10:30 won't co-operate über müde Straße größer déjà Кошка сидит "
    "γάτα 猫が 座る 我们 读书。 हिन्दी شكرا 12,5 % — ( ) ! Naïve e-mail"
)


class Case(NamedTuple):
    prediction: Prediction
    example: Example


def case(text: str, *references: str, nll: float = math.nan, tokens: int = 0) -> Case:
    return Case(Prediction("x", text, nll, tokens), Example("x", {"source": ""}, references[0], references))


def _text(rng: random.Random, near: Sequence[str]) -> list[str]:
    """Return the words of a text that is empty, or a noisy copy of another with a line break here and there."""
    if rng.random() < 0.05:
        return []
    kept = [word for word in near if rng.random() < 0.7]
    added = rng.choices([*SENTENCE.split(), "\n"], k=rng.randint(0, 8))
    return rng.sample(kept + added, len(kept + added)) if rng.random() < 0.3 else kept + added


@pytest.fixture(scope="session")
def cases() -> list[Case]:
    """Unicode texts, empty ones among them, with one to four references each."""
    rng = random.Random(7)
    made = []
    for _ in range(1000):
        source = rng.choices(SENTENCE.split(), k=rng.randint(1, 14))
        references = [" ".join(_text(rng, source)) for _ in range(rng.randint(1, 4))]
        prediction = rng.choice(references) if rng.random() < 0.1 else " ".join(_text(rng, source))
        made.append(case(prediction, *references, nll=rng.uniform(0, 60), tokens=rng.randint(1, 20)))
    return made


@pytest.fixture(scope="session")
def make() -> Callable[..., Case]:
    return case


@pytest.fixture(scope="session")
def score() -> Callable[[Metric, Sequence[Case]], float]:
    def scored(metric: Metric, cases: Sequence[Case]) -> float:
        return metric.reduce([metric.statistics(*one) for one in cases])

    return scored


@pytest.fixture(scope="session")
def vectors() -> Callable[[str], dict[str, Any]]:
    """Read published scores by file name; skip where they are not at hand."""

    def read(name: str) -> dict[str, Any]:
        path = VECTORS / name
        if not path.exists():
            pytest.skip(f"published scores are not at hand: {name}")
        return json.loads(path.read_text(encoding="utf-8"))

    return read
