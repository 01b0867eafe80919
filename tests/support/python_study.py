"""The tiny study of `tests.support.study_fixture`, made in Python: its sections, and where it is run."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any
from unittest import mock

import numpy as np
from mlflow.tracking._tracking_service.utils import _artifact_repos_cache

from harness import Example, Metric, Prediction, Task, Template
from harness.metrics.base import mean, signature
from tests.support.study_fixture import Place

CUE = {"name": "cue", "text": "{{ source }}\nTL;DR:", "shorten": "source"}

TINY = {
    "name": "tiny",
    "task": "./task.py",
    "model": "model",
    "prompts": ["bare", CUE],
    "tuning": ("none", "head", {"last_blocks": 1}),
    "training": {"epochs": 2, "batch_size": 8, "max_source_tokens": 48},
    "generation": {"max_new_tokens": 6},
    "search": {"learning_rate": {"low": 1e-3, "high": 1e-1}, "trials": 2, "sampler": "random"},
    "final": {"seeds": [11, 12]},
}
"""What the fixture's study file says, but for its data."""

QUICK: Mapping[str, Any] = {
    **TINY,
    "training": {**TINY["training"], "epochs": 1},  # type: ignore[dict-item]
    "search": {**TINY["search"], "trials": 1},  # type: ignore[dict-item]
    "final": {"seeds": [11]},
}
"""The same with as little as `tests.support.study_fixture.QUICK` makes of it."""

SHORTEST = 3


def _counted(prediction: Prediction, example: Example) -> np.ndarray[Any, Any]:
    words = [word for word in prediction.text.split() if len(word) >= SHORTEST]
    return np.array([len(words)], dtype=np.float64)


def example(row: Mapping[str, Any], id: str) -> Example:
    """Turn a row into an example, by a function of this module's own."""
    return Example(id=row["id"], fields={"source": row["source"]}, target=row["target"])


def own_task() -> Task:
    """Return the fixture's task with an example and a metric of its own, which no file defines."""
    long_words = Metric("long_words", True, _counted, lambda each: mean(each), lambda: signature("long_words"))
    return Task(
        name="tiny_task",
        data="data",
        prompts=[Template("bare", "{{ source }}\n", shorten="source")],
        metrics=["chrf", "perplexity", "length_ratio", long_words],
        max_target_tokens=12,
        stop=["\n"],
        example=example,
    )


@contextlib.contextmanager
def inside(place: Place) -> Iterator[None]:
    """Have Python work in a place, as its command does."""
    _artifact_repos_cache.clear()
    with contextlib.chdir(place.folder), mock.patch.dict(os.environ, {"MLFLOW_TRACKING_URI": place.uri}):
        yield
