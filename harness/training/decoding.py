"""Greedy decoding as `generate` does it, token for token, without the work that adds nothing.

Transformers' own loop copies all keys and values for every token, and computes finished rows to the end. Here keys
and values are written where there is room for more, and finished rows leave the batch. Everything around the loop
stays transformers': masks, the encoder's pass, logits processors, stopping criteria.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache, GenerationConfig, PreTrainedModel
from transformers.cache_utils import Cache, DynamicLayer, DynamicSlidingWindowLayer
from transformers.generation import LogitsProcessorList, StoppingCriteriaList
from transformers.utils import ModelOutput

from harness.models.transformers_compat import first_call, has_generation_steps, pad_token, with_new_token

__all__ = ["greedy", "greedy_options", "prefill"]

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

    Processors and criteria must judge each row by its own ids: finished rows leave, and others take their places.
    A cache that is handed in is used up.

    Args:
        model: In eval mode, with gradients off.
        input_ids: What a causal model reads, or the decoder of two halves starts with, shape (rows, tokens).
        logits_processor: Changes the scores of the next token.
        stopping_criteria: Says which rows are finished.
        generation_config: The padding token and the prefill's chunks are read from it.
        prefill: Entered around the prefill alone: the first call of the model, or its calls where it is chunked.
        **model_kwargs: What else the model is called with.

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
        model_kwargs = with_new_token(model, outputs, model_kwargs)
        batch.append(logits_processor(batch.ids, outputs.logits[:, -1].float()).argmax(dim=-1))
        batch.running &= ~stopping_criteria(batch.ids, None)
        running = int(batch.running.sum())
        if not running:
            return batch.joined()
        if understood and ends and running < len(batch.ids):
            order = batch.dismiss()
            model_kwargs = {name: _rows(value, order) for name, value in model_kwargs.items()}
        last = 1 if model_kwargs["use_cache"] else None
        inputs = model.prepare_inputs_for_generation(batch.ids, next_sequence_length=last, **model_kwargs)
        outputs = model(**inputs, return_dict=True)


def greedy_options(prefill: AbstractContextManager[object] | None = None) -> dict[str, object]:
    """Return by which options ``generate`` runs `greedy`; none where this transformers lacks the steps that it takes.

    Then ``generate`` makes the same tokens by its own loop, and nothing can be entered around its first call.
    """
    return {"custom_generate": greedy, "prefill": prefill} if has_generation_steps() else {}


def prefill(
    model: PreTrainedModel, inputs: Mapping[str, Tensor], replay: AbstractContextManager[object] | None = None
) -> Tensor:
    """Run generation's first call as `greedy` would; return the next token's logits, and those after one token more.

    That token, whatever the first logits say, is each row's last one again: it is what reads the keys and values that
    the first call left in the cache. Behind an encoder, which leaves none to be replayed, it is not asked for.
    The checkpoint's own generation settings do not count: it may ask for another cache, or none.

    Args:
        model: In eval mode, with gradients off.
        inputs: What `generate` is called with.
        replay: Entered around what a replay stands for: a causal model's first call, or the encoder's pass.

    Returns:
        Logits, shape (rows, vocabulary), or twice as many columns.
    """
    logits: list[Tensor] = []
    two_halves, around = model.config.is_encoder_decoder, replay or nullcontext()

    def first(
        model: PreTrainedModel,
        input_ids: Tensor,
        logits_processor: object,
        stopping_criteria: object,
        generation_config: GenerationConfig,
        **model_kwargs: Any,
    ) -> Tensor:
        with nullcontext() if two_halves else around:
            outputs = first_call(model, input_ids, generation_config, model_kwargs)
        logits.append(outputs.logits[:, -1])
        if not two_halves:
            model_kwargs = with_new_token(model, outputs, model_kwargs)
            ids = torch.cat([input_ids, input_ids[:, -1:]], dim=-1)
            inputs = model.prepare_inputs_for_generation(ids, next_sequence_length=1, **model_kwargs)
            logits.append(model(**inputs, return_dict=True).logits[:, -1])
        return input_ids

    published = model.generation_config
    start = {name: getattr(published, name) for name in ("bos_token_id", "decoder_start_token_id")}
    model.generation_config = GenerationConfig(**start, use_cache=True, max_new_tokens=1)
    try:
        with around if two_halves else nullcontext():
            model.generate(**inputs, custom_generate=first)
    finally:
        model.generation_config = published
    return torch.cat(logits, dim=-1)


class _Batch:
    """The rows that are computed, and those that have left.

    Args:
        ids: Where generation starts, shape (rows, tokens).
        pad: What finished rows are given; ``None`` lets them talk on.
    """

    def __init__(self, ids: Tensor, pad: Tensor | None) -> None:
        self.ids, self._pad = ids, pad
        self.running = torch.ones(len(ids), dtype=torch.bool, device=ids.device)
        self._places = torch.arange(len(ids), device=ids.device)
        self._departed: list[tuple[Tensor, Tensor]] = []

    def append(self, tokens: Tensor) -> None:
        """Take each row's next token, shape (rows,)."""
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
    """A layer's keys and values, growing and losing rows in place.

    Args:
        layer: What it takes over; it must hold something, in tensors of its own.
    """

    def __init__(self, layer: DynamicLayer) -> None:
        super().__init__()
        self.lazy_initialization(layer.keys, layer.values)
        self.keys, self.values = layer.keys, layer.values
        self._rooms = _Room(layer.keys), _Room(layer.values)

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append keys and values of shape (rows, heads, new positions, width); return all."""
        if not self.is_initialized:  # after a reset
            self.lazy_initialization(key_states, value_states)
            self.keys, self.values = key_states[..., :0, :], value_states[..., :0, :]
        keys, values = self._rooms
        self.keys, self.values = keys.append(self.keys, key_states), values.append(self.values, value_states)
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these rows, at most as many as there are, in this order."""
        keys, values = self._rooms
        self.keys, self.values = keys.select(self.keys, indices), values.select(self.values, indices)


class _Room:
    """Memory for one tensor of shape (rows, heads, positions, width), and for positions to come.

    It is told each time what is filled: where that is not what it gave back last, since `DynamicLayer` has cropped
    or reordered it meanwhile, the memory is made anew.
    """

    def __init__(self, filled: Tensor) -> None:
        self._memory = self._filled = filled

    def append(self, filled: Tensor, new: Tensor) -> Tensor:
        """Return the filled part with new positions behind it."""
        start, end = filled.shape[-2], filled.shape[-2] + new.shape[-2]
        if filled is not self._filled or end > self._memory.shape[-2]:
            self._memory = filled.new_empty((*filled.shape[:2], end + SPARE, filled.shape[3]))
            self._memory[..., :start, :] = filled
        self._memory[..., start:end, :] = new
        self._filled = self._memory[..., :end, :]
        return self._filled

    def select(self, filled: Tensor, rows: Tensor) -> Tensor:
        """Return the filled part of some rows; only those are copied that change their place."""
        if filled is not self._filled:
            self._memory = filled
        moved = (rows != torch.arange(len(rows), device=rows.device)).nonzero()[:, 0]
        filled[moved] = filled[rows[moved]]
        self._memory = self._memory[: len(rows)]
        self._filled = self._memory[..., : filled.shape[-2], :]
        return self._filled
