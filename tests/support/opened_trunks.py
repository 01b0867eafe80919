"""Trunks opened as a training run opens them, with the passes counted that it took."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from harness.core.example import Example
from harness.data.template import Template
from harness.data.tokenization import Limits, Row, encode
from harness.models.apply_tuning import apply, reset
from harness.models.find_blocks import blocks
from harness.models.frozen.replay import Trunk, first_trained
from harness.models.load import Loaded
from harness.study.axes import Tuning
from harness.study.spec import Precision
from harness.training.activation_cache.cache import ActivationCache
from harness.training.activation_cache.memory import ActivationMemory
from harness.training.batching import loss_batches
from harness.training.evaluation import Decoding, prompts_of
from harness.training.loss import label_logits, model_rows

PLENTY = 2**30
HEAD, LAST, LAST_TWO = Tuning(kind="head"), *(Tuning(kind="last_blocks", blocks=count) for count in (1, 2))
WORDS = ["a", "short", "note", "about", "the", "meeting", "it", "moved", "to", "Tuesday", "and", "room", "is", "booked"]
EXAMPLES = [
    Example(str(i), {"source": " ".join(WORDS[i % 5 : 6 + i * 3 % 9] * (1 + i % 3))}, " ".join(WORDS[i : i + 3]))
    for i in range(9)
]


def encoded(loaded: Loaded, text: str = "{{ source }}\nSummary:", examples: Sequence[Example] = EXAMPLES) -> list[Row]:
    return list(encode(examples, Template("t", text), loaded, limits=Limits(90, 30)).rows)


class Opened(NamedTuple):
    """What opening a trunk brought, and what it took."""

    found: Trunk | str
    said: list[str]
    passes: int
    """Forward passes over rows through the first block."""


@contextmanager
def counting(model: Any) -> Iterator[list[int]]:
    """Note the rows of each pass through the inside of the first block, those of a look or of a token left out."""
    seen: list[int] = []

    def note(module: object, args: tuple[Tensor, ...], output: object) -> None:
        if args[0].shape[-2] not in (1, 3):
            seen.append(len(args[0]))

    matrices = (each for each in blocks(model)[0].module.modules() if getattr(each, "weight", torch.ones(1)).ndim > 1)
    hook = next(matrices).register_forward_hook(note)
    try:
        yield seen
    finally:
        hook.remove()


def trunks(
    loaded: Loaded, recordings: ActivationMemory, said: list[str], precision: Precision = "fp32"
) -> ActivationCache:
    return ActivationCache(loaded, recordings, batch_size=4, precision=precision, say=said.append)


def opened(
    owner: ActivationCache,
    tuning: Tuning,
    *,
    rows: Sequence[Row] | None = None,
    cuts: Sequence[int] = (),
    room: int = 0,
) -> Opened:
    """Open for a loss or, given room for new tokens, for generation."""
    loaded = owner.loaded
    rows = encoded(loaded) if rows is None else rows
    trainable = apply(loaded.model, tuning)
    cut = first_trained(loaded.model)
    said: list[str] = []
    owner.say = said.append
    with counting(loaded.model) as passes:
        if room:
            prompts = prompts_of(rows, loaded, Decoding(max_new_tokens=room, batch_size=4))
            found = owner.open_prefill(("prompt", "train"), rows, prompts, cut, cuts=cuts)
        else:
            found = owner.open(("prompt", "train"), rows, cut, cuts=cuts)
    reset(loaded.model, trainable)
    return Opened(found, said, len(passes))


def right(loaded: Loaded, trunk: Trunk | str, rows: Sequence[Row] | None = None) -> bool:
    """Return whether a trunk gives every row's logits, in batches of other sizes than it was recorded in."""
    assert isinstance(trunk, Trunk), trunk
    for batch in loss_batches(encoded(loaded) if rows is None else rows, loaded, batch_size=3):
        each = model_rows(loaded.model, batch)
        with torch.no_grad():
            live = label_logits(loaded.model, each)
            with trunk.replaying(each), counting(loaded.model) as passes:
                replayed = label_logits(loaded.model, each)
        if passes or (replayed - live).abs().max() > 1e-5 * live.abs().max():
            return False
    return True
