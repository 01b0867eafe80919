"""Prices: what a model's passes cost in operations, found once for every padded shape.

All of it is linear in rows and in labels, and decoding a token is linear in what the cache holds; so a few passes over
one made-up row of a shape tell what any batch of that shape takes. Where attention is limited to a window, what a token
takes is an estimate, and the last block's attention is priced as if every position asked. What is counted:
`harness.training.cost_meter.flops`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import PreTrainedModel

from harness.data.tokenization import Row
from harness.models.classification_head import classifies
from harness.models.find_blocks import blocks
from harness.models.frozen.replay import Pass
from harness.models.hooks import eval_mode
from harness.models.load import Loaded
from harness.training.batching import IGNORED, Batch, loss_batches
from harness.training.cost_meter.flops import Operations, counted
from harness.training.decoding import generation_settings, greedy_options
from harness.training.loss import ForwardPass
from harness.training.precision import arithmetic

__all__ = ["Amount", "Call", "Priced", "Prices", "amounts", "noting"]

DECODED = 3
"""Tokens that are decoded to see what one takes, and what each that the cache holds adds to it."""


class Amount(NamedTuple):
    """What there is of one padded shape."""

    rows: int
    labels: int


TOGETHER = 1024
"""Rows that are counted at a time."""

Shape = tuple[int, int]
"""Positions of the input, and of the labels."""

SMALL = 8
"""Positions of the row on which is seen what one label adds: it is the same in any row."""


class Call(NamedTuple):
    """One call of the model in generation."""

    rows: int
    positions: int
    """New ones."""
    past: int
    """Positions in the cache."""
    source: int
    """Positions of the encoder's output; 0 where there is no encoder."""


@contextmanager
def noting(model: PreTrainedModel, calls: Counter[Call]) -> Iterator[None]:
    """Note the calls that generation makes of a model."""

    def note(module: object, args: object, inputs: Mapping[str, Any]) -> None:
        two, cache = model.config.is_encoder_decoder, inputs.get("past_key_values")
        ids = inputs["decoder_input_ids" if two else "input_ids"]
        source = inputs["encoder_outputs"][0].size(1) if two else 0
        past = 0 if cache is None else int(cache.get_seq_length())
        calls[Call(ids.size(0), ids.size(1), past, source)] += 1

    with model.register_forward_pre_hook(note, with_kwargs=True):
        yield


def amounts(rows: Sequence[Row], loaded: Loaded, *, alone: bool = False) -> dict[Shape, Amount]:
    """Return how many rows and labels some rows have of each padded shape, or of each length if computed alone."""
    batches = loss_batches(rows, loaded, batch_size=TOGETHER)
    of = dict[Shape, Amount]()
    if alone:
        batches = [row for batch in batches for row in batch.alone()]
    for batch in batches:
        shape = batch.inputs["input_ids"].size(1), batch.inputs["labels"].size(1)
        rows_before, labels_before = of.get(shape, Amount(0, 0))
        of[shape] = Amount(rows_before + len(batch.indices), labels_before + batch.positions)
    return of


class Priced(NamedTuple):
    """Operations of some work, and those that a replay spared it."""

    done: float
    saved: float

    def plus(self, other: Priced) -> Priced:
        """Return what both take."""
        return Priced(self.done + other.done, self.saved + other.saved)

    def part(self, share: float) -> Priced:
        """Return what a share of the work takes, by the labels in it: all of it to the last bit."""
        return Priced(self.done * share, self.saved * share)


class _Start(NamedTuple):
    """What generation from one row takes."""

    first: Operations
    """The encoder's pass, if there is one, and the first call."""
    token: float
    """A further call, with nothing in the cache."""
    held: float
    """What each position in the cache adds to that."""


@dataclass
class Prices:
    """Operations of one model, each found when it is first asked for."""

    loaded: Loaded
    forward: ForwardPass
    """How losses are computed for validation; what it replays does not matter."""
    new_tokens: int
    """The most tokens of a prediction."""
    _rows: dict[tuple[Hashable, Shape], Operations] = field(default_factory=dict)
    _labels: dict[Hashable, Operations] = field(default_factory=dict)
    _starts: dict[int, _Start] = field(default_factory=dict)
    _amounts: dict[Hashable, Mapping[Shape, Amount]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._blocks, self._has_head = blocks(self.loaded.model), classifies(self.loaded.model)
        self._encoders = sum(block.stack == "encoder" for block in self._blocks)

    def losses(self, of: Mapping[Shape, Amount], *, at_labels: bool = True) -> Operations:
        """Return the operations of some rows' losses with nothing replayed, forward; amounts are from `amounts`."""
        modules = self.forward.at_labels if at_labels else ()
        forward = replace(self.forward, trunk=None, asked_at_labels=None, at_labels=modules, alone=False)

        def measure(batch: Batch) -> Operations:
            with torch.no_grad(), counted(self._blocks) as parts:
                forward.label_scores(batch) if self._has_head else forward.row_nlls(batch)
            return parts

        return self._linear(at_labels, of, measure)

    def steps(self, of: Mapping[Shape, Amount], tuning: Hashable, forward: ForwardPass) -> float:
        """Return the operations of an epoch, forward and backward, as the model is tuned now; nothing is replayed."""
        live = replace(forward, trunk=None, asked_at_labels=None, alone=False)
        moving = [parameter for parameter in self.loaded.model.parameters() if parameter.requires_grad]

        def measure(batch: Batch) -> Operations:
            with counted(self._blocks) as parts:
                loss = live.label_scores(batch).sum() if self._has_head else live.total_nll(batch)
                torch.autograd.grad(loss, moving, allow_unused=True)
            return parts

        return float(self._linear(("step", tuning, bool(forward.recomputed)), of, measure).sum())

    def scoring(self, name: Hashable, rows: Sequence[Row], cut: int) -> Priced:
        """Price the losses of some rows, known by a name; the cut is the first block that is not replayed, or 0."""
        parts = self.losses(self._amount(name, rows))
        return Priced(float(parts[cut:].sum()), float(parts[:cut].sum()))

    def epoch(self, name: Hashable, rows: Sequence[Row], tuning: Hashable, forward: ForwardPass, cut: int) -> Priced:
        """Price an epoch of training, as the model is tuned now; see `scoring`."""
        of = self._amount(name, rows)
        saved = float(self.losses(of)[:cut].sum())
        return Priced(self.steps(of, tuning, forward) - saved, saved)

    def generation(self, calls: Mapping[Call, int], cut: int, *, beams: int = 1) -> Priced:
        """Price generation's calls, from `noting`; behind an encoder, the encoder alone is replayed."""
        cut = min(cut, self._encoders) if self._encoders else cut
        total = skipped = 0.0
        for call, times in sorted(calls.items(), key=lambda item: item[0].past):
            rows = call.rows * times
            if call.past:
                price = self._start(call.source) if call.source else next(iter(self._starts.values()))
                total += rows * call.positions * (price.token + price.held * call.past)
                continue
            parts = rows * self._start(call.source or call.positions).first
            parts[: self._encoders] /= beams  # a prompt is encoded before it is repeated for every beam
            total += parts.sum()
            skipped += parts[:cut].sum()
        return Priced(total - skipped, skipped)

    def opening(self, passes: Sequence[Pass]) -> float:
        """Return the operations of making and proving recordings."""
        return sum(float(self._whole(call)[call.first : call.end].sum()) + self._further(call) for call in passes)

    def _amount(self, name: Hashable, rows: Sequence[Row]) -> Mapping[Shape, Amount]:
        if name not in self._amounts:
            self._amounts[name] = amounts(rows, self.loaded, alone=self.forward.alone)
        return self._amounts[name]

    def _further(self, call: Pass) -> float:
        """Return the operations of the token by which the start of a causal model's generation is proved."""
        if not call.starts or call.end is not None or self._encoders:
            return 0.0
        size = call.rows.inputs["input_ids"].size(1)
        start = self._start(size)
        return len(call.rows.indices) * (start.token + start.held * size)

    def _whole(self, call: Pass) -> Operations:
        inputs, count = call.rows.inputs, len(call.rows.indices)
        sizes = [inputs[name].size(1) for name in ("input_ids", "decoder_input_ids") if name in inputs]
        if call.starts:
            return count * self._start(sizes[0]).first
        return self.losses({(sizes[0], sizes[-1]): Amount(count, int(call.rows.wanted.sum()))}, at_labels=False)

    def _linear(self, key: Hashable, of: Mapping[Shape, Amount], measure: Callable[[Batch], Operations]) -> Operations:
        """Return what is so much for each row of a shape, and so much for each label."""
        total: Operations = np.zeros(len(self._blocks) + 1)
        for shape, amount in of.items():
            if (key, shape) not in self._rows:
                with eval_mode(self.loaded.model), torch.enable_grad():  # dropout would draw
                    if key not in self._labels:
                        small = min(shape[0], SMALL), min(shape[1], SMALL)
                        one, two = (measure(self._row(small, labels=labels)) for labels in (1, 2))
                        self._labels[key] = two - one
                    self._rows[key, shape] = measure(self._row(shape, labels=1)) - self._labels[key]
            total += amount.rows * self._rows[key, shape] + amount.labels * self._labels[key]
        return total

    def _row(self, shape: Shape, *, labels: int) -> Batch:
        size, targets = shape
        where = torch.full((1, targets), IGNORED)
        where[0, -labels:] = 0
        end = self.loaded.model.config.eos_token_id if self._has_head and self.loaded.is_encoder_decoder else 0
        ids = torch.full((1, size), end)
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": where}
        halves = self.loaded.is_encoder_decoder
        shift = 0 if halves or self.loaded.is_masked else 1
        batch = Batch((0,), inputs, tokens=labels, shift=shift, halves=halves)
        return batch.to(self.loaded.model.device)

    def _start(self, size: int) -> _Start:
        """Return what generation from a prompt of some size takes, found by making a few tokens."""
        if size in self._starts:
            return self._starts[size]
        model = self.loaded.model
        ids = torch.zeros(1, size, dtype=torch.long, device=model.device)
        ends: list[Operations] = []
        with ExitStack() as undo:
            undo.enter_context(eval_mode(model))
            undo.enter_context(arithmetic(model.device, self.forward.precision))
            parts = undo.enter_context(counted(self._blocks))
            undo.enter_context(model.register_forward_hook(lambda *args: ends.append(parts.copy())))
            tokens = max(2, min(DECODED, self.new_tokens))
            undo.enter_context(generation_settings(model, use_cache=True, max_new_tokens=tokens))
            model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **greedy_options())
        further = [float((after - before).sum()) for before, after in zip(ends, ends[1:], strict=False)]
        past = 1 if self.loaded.is_encoder_decoder else size
        held = further[1] - further[0] if len(further) > 1 else 0.0
        self._starts[size] = _Start(ends[0], further[0] - held * past if further else 0.0, held)
        return self._starts[size]
