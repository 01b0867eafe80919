"""Soft prompts: virtual tokens that PEFT keeps and a model reads before each row, unseen by whoever calls it.

The model is called as ever: with ids, a mask and maybe a cache. It reads the virtual tokens as embeddings before those
of a causal model's first call or of an encoder, or as keys and values in the cache (prefix tuning), where PEFT's own
classes would have every caller count them. Logits come back for the row's own positions alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import wraps
from typing import Any, cast

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import PreTrainedModel

from harness.core.errors import ModelError
from harness.models.find_blocks import projection
from harness.models.hooks import eval_mode, misfits_told
from harness.models.tuning_adapter import VIRTUAL

__all__ = ["answer_behind", "begin", "reader_of", "refuse_other_cache", "shape_of_cache"]

PREFIX = "PREFIX_TUNING"

CLOSE = 2e-2
"""How much logits may differ, as a share of the largest; bfloat16 rounds."""


def begin(model: PreTrainedModel, peft: PeftModel, words: Sequence[int]) -> None:
    """Give virtual tokens their first values, and make them a part of the model.

    Prompt tuning begins with the embeddings of words, prefix tuning with what the model keeps of them (Lester et al.
    2021, section 3.2; Li & Liang 2021, section 7.4); what is not drawn is the same in every run. P-tuning's come from
    its network as PEFT draws it.

    Args:
        model: Whose weights are frozen.
        peft: PEFT's model around it, fresh.
        words: Tokens, taken again and again; without any, tokens of the vocabulary are drawn.
    """
    config, encoder = peft.active_peft_config, cast(Any, peft.prompt_encoder)[peft.active_adapter]
    count, size = config.num_virtual_tokens, model.get_input_embeddings().weight.shape[0]
    drawn = torch.randint(0, size, (count,)).tolist()
    ids = torch.tensor([(words or drawn)[place % len(words or drawn)] for place in range(count)], device=model.device)
    with torch.no_grad():
        if config.peft_type == "PROMPT_TUNING":
            encoder.embedding.weight.copy_(reader_of(model).get_input_embeddings()(ids))
        elif config.peft_type == PREFIX and not config.prefix_projection:
            kept = [states[0].transpose(0, 1).flatten(1) for layer in _cached(model, ids) for states in layer]
            encoder.embedding.weight.copy_(torch.cat(kept, dim=1))  # (tokens, blocks, keys and values, heads, width)
    model.add_module(VIRTUAL, cast(nn.Module, peft.prompt_encoder))


def shape_of_cache(model: PreTrainedModel) -> dict[str, int]:
    """Return, by PEFT's keys, the shape of what a model keeps of a token, as seen on one.

    Raises:
        ModelError: Blocks keep other things than keys and values of one shape.
    """
    kept = _cached(model, torch.zeros(1, dtype=torch.long))
    shapes = {tuple(states.shape) for layer in kept for states in layer}
    if len(shapes) != 1:
        raise ModelError(f"{type(model).__name__} keeps other things in some blocks than in others; tune no prefix")
    ((_, heads, _, width),) = shapes
    return {"num_layers": len(kept), "num_attention_heads": heads, "token_dim": heads * width}


def _cached(model: PreTrainedModel, ids: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return the keys and values that the blocks of a model, or of its decoder, keep of a text."""
    tokens = ids.to(model.device)[None]
    inputs = {"input_ids": tokens, **({"decoder_input_ids": tokens} if model.config.is_encoder_decoder else {})}
    with eval_mode(model):
        cache = model(**inputs, use_cache=True).past_key_values
    own = getattr(cache, "self_attention_cache", cache)
    kept = [(getattr(layer, "keys", None), getattr(layer, "values", None)) for layer in getattr(own, "layers", ())]
    found = [(keys, values) for keys, values in kept if isinstance(keys, Tensor) and isinstance(values, Tensor)]
    if not found or len(found) < len(kept):
        raise ModelError(f"{type(model).__name__} has blocks that keep no keys and values; tune no prefix")
    return found


def reader_of(model: PreTrainedModel) -> Any:
    """Return what reads a prompt: a causal model itself, or an encoder."""
    return model.get_encoder() if model.config.is_encoder_decoder else model


def refuse_other_cache(model: PreTrainedModel) -> None:
    """See that a model which has virtual tokens reads a token behind its cache as it does behind the text itself.

    Raises:
        ModelError: It keeps its past otherwise, and would not know of them or read them again.
    """
    halves = model.config.is_encoder_decoder
    ids = torch.arange(4, 8, device=model.device).remainder(model.get_input_embeddings().weight.shape[0])[None]
    name = "decoder_input_ids" if halves else "input_ids"
    read = {"input_ids": ids} if halves else {}
    told = f"{type(model).__name__} does not keep its past as keys and values that virtual tokens could be among"
    with eval_mode(model), misfits_told(told, "use another tuning"):
        whole = model(**read, **{name: ids}, use_cache=False).logits[:, -1]
        start = model(**read, **{name: ids[:, :-1]}, use_cache=True)
        rest = {} if halves else {"attention_mask": torch.ones_like(ids)}
        behind = model(**read, **{name: ids[:, -1:]}, **rest, past_key_values=start.past_key_values, use_cache=True)
    difference = (behind.logits[:, -1] - whole).abs().max() / whole.abs().max()
    if not difference < CLOSE:  # nan is not, either
        raise ModelError(f"{told}: a token behind them has other logits, by {difference:.0e}; use another tuning")


def answer_behind(model: PreTrainedModel, peft: PeftModel) -> None:
    """Let a model read its virtual tokens before whatever it is called with; `Adapter.take_off` undoes it."""
    soft = _SoftPrompts(model, peft)
    halves, is_prefix = model.config.is_encoder_decoder, peft.active_peft_config.peft_type == PREFIX
    if not halves:
        vars(model)["forward"] = _behind(model.forward, soft.causal)
        return
    vars(model)["forward"] = _behind(model.forward, soft.decoder if is_prefix else soft.halves)
    if not is_prefix:
        encoder = model.get_encoder()
        vars(encoder)["forward"] = _behind(encoder.forward, soft.encoder)


def _behind(forward: Callable[..., Any], call: Callable[..., Any]) -> Callable[..., Any]:
    """Return a forward that hands another one to a call, and looks like that one to whoever reads its signature."""

    @wraps(forward)
    def answer(*args: Any, **kwargs: Any) -> Any:
        return call(forward, *args, **kwargs)

    return answer


class _SoftPrompts:
    """The calls of a model that has virtual tokens."""

    def __init__(self, model: PreTrainedModel, peft: PeftModel) -> None:
        self._model, self._peft = model, peft
        self._count: int = peft.active_peft_config.num_virtual_tokens
        self._is_prefix = peft.active_peft_config.peft_type == PREFIX

    def causal(
        self,
        forward: Callable[..., Any],
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        **others: Any,
    ) -> Any:
        """Call a causal model; ``position_ids`` are counted anew where the caller has any."""
        rows, size = input_ids.shape
        is_first = past_key_values is None or not past_key_values.get_seq_length()
        read = 0 if is_first else past_key_values.get_seq_length() - self._count
        mask = input_ids.new_ones(rows, read + size) if attention_mask is None else attention_mask
        if mask.ndim != 2:
            raise ModelError(f"{type(self._model).__name__} is called with a mask that is not one number by token")
        others["attention_mask"] = whole = self._longer(mask)
        others.pop("cache_position", None)  # which the model counts by its cache
        if position_ids is not None:
            positions = (whole.long().cumsum(-1) - 1).clamp(min=0)
            others["position_ids"] = positions if is_first and not self._is_prefix else positions[:, -size:]
        if is_first and self._is_prefix:
            past_key_values = self._peft.get_prompt(rows)
        if past_key_values is not None:
            others["past_key_values"] = past_key_values
        if self._is_prefix or not is_first:
            return forward(input_ids=input_ids, **others)
        with self._cut(size):
            return forward(inputs_embeds=self._embedded(self._model, input_ids), **others)

    def halves(
        self, forward: Callable[..., Any], *args: Any, attention_mask: Tensor | None = None, **others: Any
    ) -> Any:
        """Call an encoder-decoder whose encoder reads virtual tokens, which its decoder attends to."""
        return forward(
            *args, attention_mask=attention_mask if attention_mask is None else self._longer(attention_mask), **others
        )

    def encoder(
        self, forward: Callable[..., Any], input_ids: Tensor, attention_mask: Tensor | None = None, **others: Any
    ) -> Any:
        """Call an encoder, by whoever counts its virtual tokens in the mask already or does not."""
        is_short = attention_mask is not None and attention_mask.size(-1) == input_ids.size(1)
        mask = self._longer(attention_mask) if attention_mask is not None and is_short else attention_mask
        others.pop("inputs_embeds", None)
        return forward(
            inputs_embeds=self._embedded(self._model.get_encoder(), input_ids), attention_mask=mask, **others
        )

    def decoder(
        self,
        forward: Callable[..., Any],
        *args: Any,
        decoder_input_ids: Tensor,
        decoder_attention_mask: Tensor | None = None,
        past_key_values: Any = None,
        **others: Any,
    ) -> Any:
        """Call an encoder-decoder whose decoder has virtual tokens in its cache."""
        if past_key_values is None or not past_key_values.get_seq_length():
            past_key_values = self._peft.get_prompt(len(decoder_input_ids))
        if decoder_attention_mask is not None:
            others["decoder_attention_mask"] = self._longer(decoder_attention_mask)
        others.pop("cache_position", None)
        return forward(*args, decoder_input_ids=decoder_input_ids, past_key_values=past_key_values, **others)

    def _embedded(self, reader: Any, ids: Tensor) -> Tensor:
        """Return the embeddings of virtual tokens and those of ids behind them, shape (rows, both, width)."""
        own: Tensor = reader.get_input_embeddings()(ids)
        return torch.cat([self._peft.get_prompt(len(ids)).to(own.dtype), own], dim=1)

    def _longer(self, mask: Tensor) -> Tensor:
        """Return a mask of shape (rows, positions) with the virtual tokens before."""
        return torch.cat([mask.new_ones(len(mask), self._count), mask], dim=1)

    def _cut(self, size: int) -> Any:
        """Return a context in which the head sees a row's own positions alone."""
        head = projection(self._model)

        def behind(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
            hidden, *further = args
            is_whole = hidden.ndim == 3 and hidden.size(1) == self._count + size
            return (hidden[:, self._count :] if is_whole else hidden, *further)

        return head.register_forward_pre_hook(behind) if head is not None else nullcontext()
