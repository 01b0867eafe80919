"""Evaluation: a model's predictions, the likelihoods of their targets, and the scores of both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import LogitsProcessorList, StoppingCriteriaList

from harness.core import interrupts
from harness.core.errors import MetricError
from harness.core.example import Example, Prediction
from harness.core.progress import untold
from harness.data.target_texts import decoded
from harness.data.tokenization import Ids, Row
from harness.metrics.base import Metric
from harness.models.frozen.replay import Trunk
from harness.models.hooks import unmoved
from harness.models.load import Loaded
from harness.study.decoding_settings import Decoding
from harness.training.batching import Batch, Prompts, prompt_batches
from harness.training.decoding import generation_settings, greedy_options
from harness.training.forward_batch import ForwardBatch
from harness.training.loss import ForwardPass, prompt_rows
from harness.training.sampling import RowSampler
from harness.training.whole_characters import whole_characters

__all__ = [
    "Decoding",
    "Likelihood",
    "SplitScores",
    "generate",
    "joined",
    "likelihoods",
    "mean_loss",
    "predict",
    "prompts_of",
    "score",
]


PASSED_ON = ("length_penalty", "no_repeat_ngram_size", "repetition_penalty", "min_new_tokens")
"""Settings that are ``generate``'s own."""


class Likelihood(NamedTuple):
    """The negative log-likelihood of one row's target."""

    nll: float
    """Summed negative log-likelihood (nats) of the target tokens and the end token."""

    tokens: int
    """How many tokens that sums over."""


class SplitScores(NamedTuple):
    """One split, scored."""

    scores: dict[str, float]
    """``loss`` and, where predictions were made, every metric of the task."""
    predictions: list[Prediction]  # none where none were made
    seconds: float
    generation_seconds: float  # of these, what predictions and their scores took
    prior: tuple[float, ...]  # of labels, by which their probabilities were divided; empty where by nothing


def likelihoods(
    forward: ForwardPass,
    batches: Sequence[Batch],
    *,
    size: ForwardBatch | None = None,
    tell: Callable[[int, int], None] = untold,
) -> list[Likelihood]:
    """Return each row's likelihood, in the order of the rows, of which batches hold each once; leaves eval mode on.

    Args:
        forward: The model's way to its loss.
        batches: Every row once.
        size: How many rows go through it at a time; left out: a batch, or fewer where memory runs out.
        tell: Told how many batches are done, and how many there are.
    """
    forward.model.eval()
    size = size or ForwardBatch()
    by_index: dict[int, Likelihood] = {}
    with torch.no_grad():
        for number, batch in enumerate(batches):
            interrupts.check()
            tell(number, len(batches))
            nlls = size.fitted(len(batch.indices), partial(_row_nlls, forward, batch))
            counts = (batch.inputs["labels"] >= 0).sum(dim=1)
            for index, nll, tokens in zip(batch.indices, nlls.tolist(), counts.tolist(), strict=True):
                by_index[index] = Likelihood(nll, tokens)
    return [by_index[index] for index in range(len(by_index))]


def _row_nlls(forward: ForwardPass, batch: Batch, most: int) -> Tensor:
    return torch.cat([forward.row_nlls(part.to(forward.model.device)) for part in batch.parts(most)])


def joined(found: Sequence[Likelihood], counts: Sequence[int]) -> list[Likelihood]:
    """Return the likelihoods of blocks of rows that follow each other, so many of each."""
    rows = iter(found)
    parts = [list(islice(rows, count)) for count in counts]
    return [Likelihood(sum(row.nll for row in part), sum(row.tokens for row in part)) for part in parts]


def mean_loss(found: Sequence[Likelihood] | Sequence[Prediction]) -> float:
    """Return the negative log-likelihood (nats) per token over all rows."""
    return sum(row.nll for row in found) / sum(row.tokens for row in found)


def generate(
    loaded: Loaded,
    batches: Sequence[Prompts],
    decoding: Decoding,
    *,
    ends: Ids = (),
    trunk: Trunk | None = None,
    size: ForwardBatch | None = None,
    tell: Callable[[int, int], None] = untold,
) -> list[str]:
    """Return each row's prediction, stripped, in the order of the rows; the model is left in eval mode.

    Of the checkpoint's own settings only special and banned tokens hold. A prediction ends before the first stop text,
    and one that is cut by its length with its last whole character.

    Args:
        loaded: The model and its tokenizer.
        batches: From `harness.training.batching.prompt_batches`; every row once.
        decoding: Greedy, drawn or by beams, stop texts, the most tokens.
        ends: Tokens that end a prediction beside the model's own, as a prompt's ``ends`` gives them.
        trunk: Replays the frozen part of a causal model's prefill on these prompts, or of the encoder; without beams.
        size: How many rows are answered at a time; left out: a batch, or fewer where memory runs out.
        tell: Told how many batches are done, and how many there are.
    """
    model, size = loaded.model.eval(), size or ForwardBatch()
    ending = {*_ends(loaded), *ends}
    predictions: dict[int, str] = {}
    with torch.no_grad(), generation_settings(model, **_settings(loaded, decoding, ending)):
        for number, batch in enumerate(batches):
            interrupts.check()
            tell(number, len(batches))
            work = partial(_said, loaded, batch, decoding, trunk)
            for part, said in size.fitted(len(batch.indices), work):
                for index, ids, text in zip(part.indices, said.tolist(), decoded(loaded, said), strict=True):
                    whole = text if ending.intersection(ids) else whole_characters(loaded, ids, text)
                    predictions[index] = _until(whole, decoding.stop).strip()
    return [predictions[index] for index in range(len(predictions))]


def _said(
    loaded: Loaded, batch: Prompts, decoding: Decoding, trunk: Trunk | None, most: int
) -> list[tuple[Prompts, Tensor]]:
    """Return what follows each prompt of a batch, taken in parts of so many rows: token ids, shape (rows, tokens)."""
    model, made = loaded.model, list[tuple[Prompts, Tensor]]()
    for part in batch.parts(most):
        stop = StoppingCriteriaList([_Stop(loaded, decoding.stop, part.skip)] if decoding.stop else [])
        processors = LogitsProcessorList([RowSampler(decoding, part.inputs)] if decoding.sample else [])
        inputs = {name: tensor.to(model.device) for name, tensor in part.inputs.items()}
        replay = trunk.replaying(prompt_rows(part, model.device)) if trunk else nullcontext()
        around, first = (replay, None) if loaded.is_encoder_decoder else (nullcontext(), replay)
        options = greedy_options(first) if decoding.num_beams == 1 else {}
        with unmoved(model), around:
            output = model.generate(**inputs, logits_processor=processors, stopping_criteria=stop, **options)
        made.append((part, output[:, part.skip :]))
    return made


def _ends(loaded: Loaded) -> set[int]:
    """Return the end tokens: the checkpoint's, and the tokenizer's."""
    own = loaded.model.generation_config.eos_token_id
    return {*([own] if isinstance(own, int) else own or []), loaded.tokenizer.eos_token_id}


def _settings(loaded: Loaded, decoding: Decoding, ends: set[int]) -> dict[str, object]:
    """Return what ``generate`` is told; tokens are drawn by a `RowSampler`, so that it takes the likeliest."""
    further = decoding.further()
    return {
        "eos_token_id": sorted(ends),
        "pad_token_id": loaded.tokenizer.pad_token_id,
        "max_new_tokens": decoding.max_new_tokens,
        "num_beams": decoding.num_beams,
        "do_sample": False,
        **{name: further[name] for name in PASSED_ON if name in further},
    }


def predict(
    loaded: Loaded,
    rows: Sequence[Row],
    nlls: Sequence[Likelihood],
    *,
    decoding: Decoding,
    ends: Ids = (),
    trunk: Trunk | None = None,
    size: ForwardBatch | None = None,
    tell: Callable[[int, int], None] = untold,
) -> list[Prediction]:
    """Return each row's prediction with the likelihood of its target; see `generate`."""
    prompts = prompts_of(rows, loaded, decoding)
    texts = generate(loaded, prompts, decoding, ends=ends, trunk=trunk, size=size, tell=tell)
    return [Prediction(row.id, text, *found) for row, text, found in zip(rows, texts, nlls, strict=True)]


def prompts_of(rows: Sequence[Row], loaded: Loaded, decoding: Decoding) -> list[Prompts]:
    """Return the batches that predictions of some rows are made in."""
    return prompt_batches(rows, loaded, batch_size=decoding.batch_size, room=decoding.max_new_tokens)


def score(
    predictions: Sequence[Prediction], examples: Sequence[Example], metrics: Sequence[Metric]
) -> dict[str, float]:
    """Return the score of every metric by name, and ``loss``.

    Raises:
        MetricError: The two lists are not about the same examples.
    """
    if [prediction.id for prediction in predictions] != [example.id for example in examples]:
        raise MetricError("predictions and examples must have the same ids in the same order")
    pairs = list(zip(predictions, examples, strict=True))
    scores = {metric.name: metric.reduce([metric.statistics(*pair) for pair in pairs]) for metric in metrics}
    return {"loss": mean_loss(predictions), **scores}


class _Stop:
    """A stopping criterion: ends the rows whose prediction, behind tokens to skip, has just completed a stop text."""

    def __init__(self, loaded: Loaded, stop: Sequence[str], skip: int) -> None:
        self._loaded, self._stop, self._skip = loaded, stop, skip
        # A token is at least one byte; one more, since some tokenizers strip the space in front of the first.
        self._window = max((len(text.encode()) for text in stop), default=0) + 1

    def __call__(self, input_ids: Tensor, scores: object, **kwargs: object) -> Tensor:
        prediction = input_ids[:, self._skip :]
        texts = decoded(self._loaded, prediction[:, -self._window :])
        for index in [index for index, text in enumerate(texts) if "\ufffd" in text]:
            # Cut inside a character, from where on some tokenizers decode no byte: read it all.
            texts[index] = decoded(self._loaded, prediction[index : index + 1])[0]
        ended = [any(stop in text for stop in self._stop) for text in texts]
        return torch.tensor(ended, device=input_ids.device)


def _until(text: str, stop: Sequence[str]) -> str:
    """Return the text before the first stop text."""
    return text[: min([text.find(each) for each in stop if each in text], default=len(text))]
