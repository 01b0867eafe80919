"""Decoding by the likeliest token as `generate` does it, token for token, without the work that adds nothing.

Keys and values are written where there is room for more, and finished rows leave the batch. Everything around the
loop stays transformers': masks, the encoder's pass, logits processors, stopping criteria.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import DynamicCache, EncoderDecoderCache, GenerationConfig, PreTrainedModel
from transformers.cache_utils import Cache, DynamicLayer, DynamicSlidingWindowLayer
from transformers.generation import LogitsProcessorList, StoppingCriteriaList
from transformers.utils import ModelOutput

from harness.core import interrupts
from harness.models.transformers_compat import first_call, has_generation_steps, keep_rows, pad_token, with_new_token
from harness.study.checkpoint_generation import GENERATION_TOKENS
from harness.training.sampling import RowSampler

__all__ = ["generation_settings", "greedy", "greedy_options", "prefill"]

SPARE = 32
"""Positions for which memory is taken at a time."""


def greedy(
    model: PreTrainedModel,
    input_ids: Tensor,
    logits_processor: LogitsProcessorList,
    stopping_criteria: StoppingCriteriaList,
    generation_config: GenerationConfig,
    prefill: AbstractContextManager[object] | None = None,
    **model_kwargs: Any,
) -> Tensor:
    """Return what `generate` returns with one beam and no sampling; for ``model.generate(custom_generate=greedy)``.

    Processors and criteria must judge each row by its own ids, or be among those of `_keep`: finished rows leave, and
    others take their places.
    A cache that is handed in is used up. A replay is entered around the prefill alone: the first call of the model, or
    its calls where it is chunked.

    Returns:
        Token ids, shape (rows, tokens), what was read included; where a row ends early, padding follows.
    """
    with prefill or nullcontext():
        outputs = first_call(model, input_ids, generation_config, model_kwargs)
    understood = _make_room(outputs.get("past_key_values")) and all(map(_is_by_row, model_kwargs.values()))
    # Without an end token `generate` lets finished rows talk on until the last one is finished.
    ends = any(hasattr(criterion, "eos_token_id") for criterion in stopping_criteria)
    batch = _Batch(input_ids, pad_token(generation_config) if ends else None)
    while True:
        interrupts.check()
        model_kwargs = with_new_token(model, outputs, model_kwargs)
        batch.append(logits_processor(batch.ids, outputs.logits[:, -1].float()).argmax(dim=-1))
        batch.running &= ~stopping_criteria(batch.ids, None)
        running = int(batch.running.sum())
        if not running:
            return batch.joined()
        if understood and ends and running < len(batch.ids):
            order = batch.dismiss()
            _keep(logits_processor, order)
            model_kwargs = {name: _rows(value, order) for name, value in model_kwargs.items()}
        last = 1 if model_kwargs["use_cache"] else None
        inputs = model.prepare_inputs_for_generation(batch.ids, next_sequence_length=last, **model_kwargs)
        outputs = model(**inputs, return_dict=True)


def greedy_options(prefill: AbstractContextManager[object] | None = None) -> dict[str, object]:
    """Return by which options ``generate`` runs `greedy`; none where this transformers lacks the steps that it takes.

    Then ``generate`` makes the same tokens by its own loop, and nothing can be entered around its first call.
    """
    return {"custom_generate": greedy, "prefill": prefill} if has_generation_steps() else {}


@contextmanager
def generation_settings(model: PreTrainedModel, **settings: object) -> Iterator[None]:
    """Replace the checkpoint's generation settings, from which `generate` fills whatever a call leaves open.

    Of its own only the special and the banned tokens hold.
    """
    published = model.generation_config
    # A Marian model's decoder starts with padding, and would say it again but for the ban.
    own = {name: getattr(published, name) for name in GENERATION_TOKENS}
    model.generation_config = GenerationConfig(**own, **settings)
    try:
        yield
    finally:
        model.generation_config = published


def prefill(
    model: PreTrainedModel, inputs: Mapping[str, Tensor], replay: AbstractContextManager[object] | None = None
) -> Tensor:
    """Run generation's first call as `greedy` would; return the next token's logits, and those after one token more.

    That token, whatever the first logits say, is each row's last one again: it is what reads the keys and values that
    the first call left in the cache. Behind an encoder, which leaves none to be replayed, it is not asked for.
    The replay is entered around a causal model's first call, or the encoder's pass.

    Returns:
        Logits, shape (rows, vocabulary), or twice as many columns.
    """
    logits: list[Tensor] = []
    replaying = replay or nullcontext()
    around, first = (replaying, nullcontext()) if model.config.is_encoder_decoder else (nullcontext(), replaying)

    def start(
        model: PreTrainedModel,
        input_ids: Tensor,
        logits_processor: object,
        stopping_criteria: object,
        generation_config: GenerationConfig,
        **model_kwargs: Any,
    ) -> Tensor:
        with first:
            outputs = first_call(model, input_ids, generation_config, model_kwargs)
        logits.append(outputs.logits[:, -1])
        if not model.config.is_encoder_decoder:
            model_kwargs = with_new_token(model, outputs, model_kwargs)
            ids = torch.cat([input_ids, input_ids[:, -1:]], dim=-1)
            inputs = model.prepare_inputs_for_generation(ids, next_sequence_length=1, **model_kwargs)
            logits.append(model(**inputs, return_dict=True).logits[:, -1])
        return input_ids

    with generation_settings(model, use_cache=True, max_new_tokens=1), around:
        model.generate(**inputs, custom_generate=start)
    return torch.cat(logits, dim=-1)


class _Batch:
    """The rows that are computed, and those that have left; finished rows are padded, or talk on without padding."""

    def __init__(self, ids: Tensor, pad: Tensor | None) -> None:
        self.ids, self._pad = ids, pad
        self.running = torch.ones(len(ids), dtype=torch.bool, device=ids.device)
        self._places = torch.arange(len(ids), device=ids.device)
        self._departed: list[tuple[Tensor, Tensor]] = []

    def append(self, tokens: Tensor) -> None:
        """Take each row's next token."""
        if self._pad is not None:
            tokens = tokens.where(self.running, self._pad)
        self.ids = torch.cat([self.ids, tokens[:, None]], dim=-1)

    def dismiss(self) -> Tensor:
        """Let finished rows leave; return which row each place is given: only rows from the end move, into gaps."""
        stay, leave = self.running.nonzero()[:, 0], ~self.running
        order = torch.arange(len(stay), device=stay.device)
        order[leave[: len(stay)]] = stay[stay >= len(stay)]
        self._departed.append((self._places[leave], self.ids[leave]))
        self.ids, self._places, self.running = self.ids[order], self._places[order], self.running[order]
        return order

    def joined(self) -> Tensor:
        """Return all rows in their first order, shape (rows, tokens), padded on the right."""
        parts = [*self._departed, (self._places, self.ids)]
        shape = (sum(len(places) for places, _ in parts), self.ids.shape[1])
        whole = self.ids.new_zeros(shape) if self._pad is None else self._pad.expand(shape).clone()
        for places, ids in parts:
            whole[places, : ids.shape[1]] = ids
        return whole


def _keep(processors: LogitsProcessorList, order: Tensor) -> None:
    """Let what logits processors hold by row follow the rows."""
    keep_rows(processors, order)
    for processor in processors:
        if isinstance(processor, RowSampler):
            processor.keep(order)


def _is_by_row(value: object) -> bool:
    """Say whether `_rows` knows which part of an argument of the model belongs to which row."""
    return value.ndim == 2 if isinstance(value, Tensor) else isinstance(value, int | None | ModelOutput | Cache)


def _rows(value: Any, order: Tensor) -> Any:
    """Return an argument of the model for these rows only; a cache is changed in place."""
    if isinstance(value, Tensor):
        return value if len(value) == 1 else value[order]  # without padding all rows share their positions
    if isinstance(value, ModelOutput):
        return type(value)(**{name: _rows(part, order) for name, part in value.items()})
    if isinstance(value, Cache):
        value.batch_select_indices(order)
    return value


def _make_room(cache: Any) -> bool:
    """Give a cache's plain layers room; say whether all its layers are known to hold nothing but rows."""
    two = isinstance(cache, EncoderDecoderCache)
    halves = [cache.self_attention_cache, cache.cross_attention_cache] if two else [cache]
    if not all(type(half) is DynamicCache and not half.offloading for half in halves):
        return False
    for half in halves:
        plain = [type(layer) is DynamicLayer and layer.is_initialized for layer in half.layers]
        half.layers = [_Roomy(layer) if is_plain else layer for layer, is_plain in zip(half.layers, plain, strict=True)]
    known = (_Roomy, DynamicLayer, DynamicSlidingWindowLayer)
    return all(type(layer) in known for half in halves for layer in half.layers)


class _Roomy(DynamicLayer):  # type: ignore[misc]  # transformers is skipped
    """A layer's keys and values, growing and losing rows in place, for as long as nobody but `greedy` changes them."""

    def __init__(self, layer: DynamicLayer) -> None:
        super().__init__()
        self.lazy_initialization(layer.keys, layer.values)
        self.keys, self.values = self._memory = layer.keys, layer.values

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append keys and values of shape (rows, heads, new positions, width); return all."""
        start = self.keys.shape[-2]
        end = start + key_states.shape[-2]
        keys, values = self._memory
        if end > keys.shape[-2]:
            room = (0, 0, 0, end - start + SPARE)
            keys, values = self._memory = pad(self.keys, room), pad(self.values, room)
        keys[..., start:end, :], values[..., start:end, :] = key_states, value_states
        self.keys, self.values = keys[..., :end, :], values[..., :end, :]
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these rows, at most as many as there are, in this order; those that stay in place are not copied."""
        count, end = len(indices), self.keys.shape[-2]
        moved = (indices != torch.arange(count, device=indices.device)).nonzero()[:, 0]
        for filled in (self.keys, self.values):
            filled[moved] = filled[indices[moved]]
        keys, values = self._memory = self._memory[0][:count], self._memory[1][:count]
        self.keys, self.values = keys[..., :end, :], values[..., :end, :]
