"""Forgetting: how much a fine-tuned model still knows of general text and other tasks, before and after.

* ``generality/perplexity``: exp(mean negative log-likelihood per token) of the second half of each passage of a text,
  given its first half. It compares a model with itself: models with different tokenizers, and encoder-decoders that
  were never taught to continue a text, differ for other reasons.
* ``generality/<task>/<metric>``: another task's own metrics on its own validation data, with its first prompt.

Why these: ``docs/decisions/generality.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from harness.core.example import digest, fingerprint
from harness.data.prompt_forms import stored_fields
from harness.data.tokenization import Row
from harness.metrics.base import Metric
from harness.metrics.evaluate_hub import resolve_all
from harness.models.load import Loaded
from harness.study.forgetting_texts import General, OtherTask, encode_task, encode_texts
from harness.tracking.schema import Metrics
from harness.training.batching import loss_batches
from harness.training.evaluation import Decoding, Likelihood, likelihoods, mean_loss, predict, score
from harness.training.loss import ForwardPass
from harness.training.precision import scoring

__all__ = ["Forgetting"]


class _Task(NamedTuple):
    """Another task, ready to be scored."""

    other: OtherTask
    rows: Sequence[Row]
    metrics: list[Metric]
    decoding: Decoding

    def identity(self) -> list[object]:
        """Return all that its scores depend on, but for the model."""
        prompt, signatures = stored_fields(self.other.task.prompts[0]), [metric.signature() for metric in self.metrics]
        decoding = self.decoding._replace(batch_size=1).identity()
        return [self.other.task.name, prompt, fingerprint(self.other.examples), self.other.limits, decoding, signatures]


class Forgetting:
    """Measures a model as it stands on what the study does not train it for, with nothing replayed."""

    def __init__(
        self, general: General, loaded: Loaded, *, forward: ForwardPass, batch_size: int, prompts: int
    ) -> None:
        self._loaded, self._forward, self._batch_size = loaded, forward, batch_size
        self._texts = encode_texts(general.texts, loaded).rows
        self._tasks = [_ready(other, loaded, prompts) for other in general.tasks]
        self._before: dict[str, float] = {}
        self.digest = digest([list(general.texts), [task.identity() for task in self._tasks]])
        """Of all that is measured."""

    def before(self) -> dict[str, float]:
        """Return what `measure` says of the pretrained model; the first call must find it as it was loaded."""
        self._before = self._before or self.measure()
        return self._before

    def measure(self) -> dict[str, float]:
        """Return the scores of the model as it stands, by metric: ``generality/...``."""
        with scoring(self._loaded.model, self._forward.precision):
            measured = dict[str, float]()
            if self._texts:
                with np.errstate(over="ignore"):  # a model that diverged has an infinite one
                    measured["perplexity"] = float(np.exp(mean_loss(self._likelihoods(self._texts))))
            for task in self._tasks:
                nlls = self._likelihoods(task.rows)
                ends = task.other.task.prompts[0].ends(self._loaded)
                predictions = predict(self._loaded, task.rows, nlls, decoding=task.decoding, ends=ends)
                scores = score(predictions, task.other.examples, task.metrics)
                measured |= {f"{task.other.task.name}/{metric.name}": scores[metric.name] for metric in task.metrics}
        return {f"{Metrics.GENERALITY}{name}": value for name, value in measured.items()}

    def _likelihoods(self, rows: Sequence[Row]) -> list[Likelihood]:
        return likelihoods(self._forward, loss_batches(rows, self._loaded, batch_size=self._batch_size))


def _ready(other: OtherTask, loaded: Loaded, batch_size: int) -> _Task:
    metrics = resolve_all(other.task.metrics)
    stop = () if loaded.is_encoder_decoder else tuple(other.task.stop)
    decoding = Decoding(other.limits.generated, stop=stop, batch_size=batch_size)
    return _Task(other, encode_task(other, loaded).rows, metrics, decoding)
