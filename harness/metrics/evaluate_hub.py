"""The door between the harness's metrics and Hugging Face `evaluate`, in both directions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, partial
from importlib.metadata import version
from numbers import Real
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.core.errors import MetricError
from harness.core.example import Example, Prediction
from harness.metrics import registry
from harness.metrics.base import Metric, signature
from harness.metrics.likelihood import OF_LIKELIHOODS

if TYPE_CHECKING:
    import evaluate

__all__ = ["LOWER_IS_BETTER", "PREFIX", "TextPair", "as_evaluate", "hub_metric", "resolve", "resolve_all"]

PREFIX = "evaluate:"
"""What a metric's name opens with where the metric is the Hub's, or a script's."""

PATIENCE = 5.0
"""Seconds that the Hub may take to answer."""

LOWER_IS_BETTER = frozenset({"cer", "character", "charcut_mt", "perplexity", "ter", "wer"})
"""The Hub's error rates for text. `evaluate` knows no direction; for every other name, higher is taken as better."""


class TextPair(NamedTuple):
    """What one example contributes to a Hub metric: texts, since its statistics are its own affair."""

    text: str
    """The prediction."""

    references: tuple[str, ...]
    """What it is scored against."""


def resolve(name: str) -> Metric:
    """Return the metric that a task or a study names: one of `harness.metrics`, or ``evaluate:<name>``.

    Raises:
        MetricError: There is no such metric, or it cannot be loaded.
    """
    return hub_metric(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else registry.get(name)


def resolve_all(metrics: Iterable[Metric | str]) -> list[Metric]:
    """Return metrics, those that are names looked up; see `resolve`."""
    return [resolve(metric) if isinstance(metric, str) else metric for metric in metrics]


def as_evaluate(metric: Metric) -> evaluate.Metric:
    """Return a metric of ours as an `evaluate.Metric` that needs no network and no cache file.

    ``compute(predictions=[text, ...], references=[text or [text, ...], ...])`` gives ``{name: score}``, alone or in
    `evaluate.combine`. (`evaluate` costs seconds to import, hence the class inside the function.)

    Raises:
        MetricError: The metric is perplexity, or bits per byte, which is no function of texts.
    """
    if metric.name in OF_LIKELIHOODS:
        raise MetricError(f"{metric.name} is scored from likelihoods, not texts; evaluate cannot compute it here")

    import datasets
    import evaluate

    text = datasets.Value("string")

    class Offline(evaluate.Metric):  # type: ignore[misc]  # evaluate is untyped
        """A metric of the harness behind evaluate's interface."""

        def _info(self) -> evaluate.MetricInfo:
            return evaluate.MetricInfo(
                description=metric.signature(),
                citation="",
                inputs_description="predictions: texts; references: a text, or a list of texts, for each prediction",
                features=[
                    datasets.Features(predictions=text, references=datasets.List(text)),
                    datasets.Features(predictions=text, references=text),
                ],
            )

        def _compute(self, predictions: Sequence[str], references: Sequence[str | Sequence[str]]) -> dict[str, float]:
            return {metric.name: _score(metric, predictions, references)}

    adapter = Offline(keep_in_memory=True)
    adapter.info.module_name = metric.name  # otherwise the class's name, and all alike in a combination
    return adapter


def _score(metric: Metric, predictions: Sequence[str], references: Sequence[str | Sequence[str]]) -> float:
    statistics = []
    for text, wanted in zip(predictions, references, strict=True):
        targets = (wanted,) if isinstance(wanted, str) else tuple(wanted)
        if not targets:
            raise MetricError(f"{metric.name}: prediction {text!r} has no reference; give at least one")
        example = Example(id="", fields={}, target=targets[0], references=targets)
        statistics.append(metric.statistics(Prediction("", text, math.nan, 0), example))
    return metric.reduce(statistics)


def hub_metric(name: str) -> Metric:
    """Return a metric of the Hub as one of ours, called ``evaluate:<name>``.

    It is loaded now, so that a missing network is noticed before the training. Every reduction computes it anew from
    texts: resampling is exact, and as slow as the metric.

    Args:
        name: ``wer``, ``user/metric``, or the path of a metric script.

    Raises:
        MetricError: It cannot be loaded; from ``reduce``: it refuses the texts, or has no single score.
    """
    _load(name)
    stem = PurePath(name).stem
    return Metric(
        name=f"{PREFIX}{name}",
        higher_is_better=stem not in LOWER_IS_BETTER,
        statistics=_texts,
        reduce=partial(_compute, name, stem),
        signature=partial(signature, f"{PREFIX}{name}", version=f"evaluate-{version('evaluate')}"),
    )


@cache
def _load(name: str) -> evaluate.EvaluationModule:
    _refuse_namesake(name)
    import evaluate

    if not Path(name).exists() and not _hub_answers():
        evaluate.config.HF_EVALUATE_OFFLINE = True  # what was used before is at hand; it would wait for minutes
    try:
        return evaluate.load(name, keep_in_memory=True)
    except (ImportError, OSError) as error:  # a package, the network or the metric is missing
        raise MetricError(
            f"{PREFIX}{name} cannot be loaded ({error}). It needs a network, or a first use on this machine with one; "
            f"without, name a metric of the harness ({', '.join(registry.names())}) or the path of a metric script"
        ) from error


def _hub_answers() -> bool:
    import requests
    from huggingface_hub.constants import ENDPOINT

    try:
        requests.head(ENDPOINT, timeout=PATIENCE)
    except requests.RequestException:
        return False
    return True


def _refuse_namesake(name: str) -> None:
    """Refuse a name of the Hub's that a folder here has as well: `evaluate` would run the script that lies in it."""
    script = Path(name) / f"{Path(name).name}.py"
    if script.is_file() and not name.startswith((".", "/", "~")):
        raise MetricError(
            f"{PREFIX}{name} names a metric of the Hub, but {script} in this folder would run in its place; "
            f"write {PREFIX}./{name} to mean that one, or move it away"
        )


def _texts(prediction: Prediction, example: Example) -> TextPair:
    return TextPair(prediction.text, example.references)


def _compute(name: str, stem: str, statistics: Sequence[TextPair]) -> float:
    if not statistics:
        return math.nan
    single = all(len(pair.references) == 1 for pair in statistics)  # many Hub metrics take no lists
    references = [pair.references[0] if single else list(pair.references) for pair in statistics]
    try:
        result = _load(name).compute(predictions=[pair.text for pair in statistics], references=references)
    except (TypeError, ValueError) as error:  # how evaluate says that the features do not fit
        raise MetricError(f"{PREFIX}{name} refuses these predictions and references: {error}") from error
    return _pick(name, stem, result)


def _pick(name: str, stem: str, result: Real | Mapping[str, Any]) -> float:
    """Return the score in what a Hub metric computed: a bare number, its own key, or the only numeric one."""
    if isinstance(result, Real):
        return float(result)
    numbers = {key: float(value) for key, value in result.items() if isinstance(value, Real)}
    if stem in numbers:
        return numbers[stem]
    if len(numbers) == 1:
        return next(iter(numbers.values()))
    raise MetricError(f"{PREFIX}{name} gives no single score but {', '.join(result)}; name a metric with one score")
