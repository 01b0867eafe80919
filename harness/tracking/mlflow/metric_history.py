"""Metrics by step, of many runs: MLflow gives out one metric of one run at a time."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from mlflow import MlflowClient

__all__ = ["measured", "read_histories"]

READERS = 8
"""What a server is asked for at a time, since a call mostly waits for its answer."""


def read_histories(
    client: MlflowClient, runs: Sequence[str], names: Sequence[str], *, remote: bool
) -> dict[str, dict[str, dict[int, float]]]:
    """Return metrics by run, by name, by step; of a step that was recorded twice, the later value.

    Args:
        client: Of the store.
        runs: Ids.
        names: Of metrics; one that a run does not have is empty.
        remote: Whether the store is a server.
    """
    pairs = [(run, name) for run in runs for name in names]
    histories: dict[str, dict[str, dict[int, float]]] = {run: {} for run in runs}
    with ThreadPoolExecutor(READERS if remote else 1) as pool:
        answers = pool.map(lambda pair: client.get_metric_history(*pair), pairs)
        for (run, name), points in zip(pairs, answers, strict=True):
            ordered = sorted(points, key=lambda point: point.timestamp)
            histories[run][name] = {point.step: measured(point.value) for point in ordered}
    return histories


def measured(value: float) -> float:
    """Return a metric as it was logged: databases hold an infinite one as the largest number there is."""
    return math.copysign(math.inf, value) if abs(value) >= sys.float_info.max else value
