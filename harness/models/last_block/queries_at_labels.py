"""Queries at labels: attention of the last block from the first wanted position on, not before it.

Behind the last block only the positions whose logits are used count. What keys and values are made of, all positions
need; but a query before the first wanted position answers nobody. In a causal model's row the targets stand behind a
prompt several times longer, so most of the last block's attention, and of its gradient, is for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from harness.models.hooks import answering

__all__ = ["ask_at_labels"]


@contextmanager
def ask_at_labels(
    block: nn.Module | None, wanted: Tensor, *, seen: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Let a block's attention answer from the first wanted position on; before it, it returns zeros.

    Attention that is not torch's ``scaled_dot_product_attention`` is left as it is.

    Args:
        block: The last one, if `harness.models.last_block.label_positions.block_asked_at_labels` found it fit;
            ``None`` changes nothing.
        wanted: Where logits are used, shape (rows, positions).
        seen: Told when queries were left out.
    """
    first = int(wanted.any(0).nonzero()[0]) if block is not None and bool(wanted.any()) else 0
    if block is None or first == 0:
        yield
        return
    forward: Callable[..., Any] = block.forward

    def late(*args: Any, **kwargs: Any) -> Any:
        with _Late(first, wanted.size(1), seen):
            return forward(*args, **kwargs)

    with answering(block, late):
        yield


class _Late(TorchFunctionMode):
    """Cuts the first queries off every attention of as many positions as a row has."""

    def __init__(self, first: int, size: int, seen: Callable[[], None]) -> None:
        super().__init__()
        self._first, self._size, self._seen = first, size, seen

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        call = self._attention if func is scaled_dot_product_attention else func
        return call(*args, **(kwargs or {}))

    def _attention(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        **options: Any,
    ) -> Tensor:
        options["dropout_p"] = dropout_p
        if query.size(-2) != self._size:
            return scaled_dot_product_attention(query, key, value, attn_mask, is_causal=is_causal, **options)
        self._seen()
        if is_causal:
            positions = torch.arange(key.size(-2), device=key.device)
            attn_mask = positions <= positions[self._first : self._size, None]
        elif attn_mask is not None and attn_mask.size(-2) == self._size:
            attn_mask = attn_mask[..., self._first :, :]
        late = scaled_dot_product_attention(query[..., self._first :, :], key, value, attn_mask, **options)
        return pad(late, (0, 0, self._first, 0))
