"""Proofs: what must hold of a model on a study's rows, tried on one or two of them before anything trains.

What does not hold is refused by name, or handled: rows are computed one at a time where their numbers depend on
padding, on the rows beside them or on those that the model read before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import cycle, islice
from typing import Any

import torch
from torch import Tensor

from harness.core.errors import ModelError
from harness.data.tokenization import Ids, Limits, Row, prompt_limit
from harness.models.content_digests import weights_digest
from harness.models.held_weights import computed_in
from harness.models.hooks import MISFIT, eval_mode, look
from harness.models.load import Loaded
from harness.study.spec import Precision
from harness.training.batching import Batch, loss_batches, prompts_together, rows_together
from harness.training.decoding import generation_settings
from harness.training.forward_batch import ForwardBatch
from harness.training.loss import ForwardPass, model_rows
from harness.training.precision import arithmetic
from harness.training.torch_compat import version

__all__ = [
    "is_close",
    "is_exact",
    "longest_row",
    "losses_depend_on_others",
    "made_up",
    "refuse_beyond_positions",
    "refuse_own_writing",
    "refuse_sight_ahead",
    "texts_depend_on_others",
]

TOKENS = 2
"""Generated to see whether logits are the same: one that follows the prompt, and one that follows a cached token."""


def longest_row(loaded: Loaded, limits: Limits) -> tuple[int, int]:
    """Return the most tokens of a prompt, and of what follows it: three at least; a masked model's prompt has them."""
    most, behind = prompt_limit(loaded, limits), max(limits.target + 1, limits.generated, 3)
    return (max(1, most - 3), min(3, most - 1)) if loaded.is_masked else (most, behind)


def made_up(ids: Ids, source: int, target: int, *, masked: bool = False) -> Row:
    """Return a row of some ids, again and again, with so many tokens in its prompt and its target.

    A masked model reads both, and is asked for the target where it stands.
    """
    if masked:
        whole = _cycled(ids, source + target)
        return Row("", whole, whole[source:], truncated=False, places=tuple(range(source, source + target)))
    return Row("", _cycled(ids, source), _cycled(ids, target), truncated=False)


def refuse_beyond_positions(loaded: Loaded, limits: Limits, ids: Ids) -> None:
    """See that a model reads the longest rows that a study may have; a position too many would end a GPU's context.

    Args:
        loaded: The model, on the CPU.
        limits: The most tokens of prompts, targets and predictions.
        ids: Tokens of some row.

    Raises:
        ModelError: It does not; says how many it reads.
    """
    source, target = longest_row(loaded, limits)
    fault = _fault(loaded, ids, source, target)
    if fault is None:
        return
    name, halves = _name(loaded), loaded.is_encoder_decoder
    sources = _most(source if halves else source + target - 1, lambda count: _fault(loaded, ids, count, 1) is None)
    targets = _most(target, lambda count: _fault(loaded, ids, 1, count) is None)
    if not sources or not targets:
        raise ModelError(f"{name} cannot be called on a text: {fault}; use another model")
    if not halves:
        raise ModelError(
            f"{name} reads at most {sources + 1} tokens, but a prompt with what follows it may take {source + target}; "
            "lower training.max_source_tokens, training.max_target_tokens or generation.max_new_tokens"
        )
    if targets < target:
        raise ModelError(
            f"{name}'s decoder reads at most {targets} tokens, but targets or predictions may take {target}; "
            f"lower training.max_target_tokens to {targets - 1} and generation.max_new_tokens to {targets}"
        )
    if sources < source:
        raise ModelError(
            f"{name}'s encoder reads at most {sources} tokens, but prompts may take {source}; "
            f"lower training.max_source_tokens to {sources}"
        )
    raise ModelError(f"{name} cannot read prompts of {source} with targets of {target} tokens: {fault}; lower both")


def refuse_own_writing(loaded: Loaded) -> None:
    """See that a call of a model leaves its weights alone: what trains is put back to values that were noted before.

    Raises:
        ModelError: It does not.
    """
    named = dict(loaded.model.named_parameters())
    before = {name: version(weight) for name, weight in named.items()}
    look(loaded.model, rows=1, positions=2)
    written = [name for name, weight in named.items() if version(weight) != before[name]]
    if written and weights_digest(loaded.model) != loaded.digest:
        raise ModelError(
            f"{_name(loaded)} changes its own weights when it is called ({written[0]}); set what makes it do so in "
            "config.json, as rescale_every: 0 for RWKV, which moves no prediction"
        )


def refuse_sight_ahead(loaded: Loaded, forward: ForwardPass, row: Row) -> None:
    """See that a changed last token moves nothing before it, in a row with three target tokens or more.

    A masked model is to see ahead, and is asked for nothing that it reads.

    Raises:
        ModelError: It does: in training, the model would read the answer that it is to predict.
    """
    if loaded.is_masked:
        return
    if not loaded.is_encoder_decoder:  # where all but the first token may be targets
        row = row._replace(prompt=row.prompt[:1], target=row.prompt[1:] + row.target)
    # The last token is only a label, read by nobody; the one before it is read last.
    *before, last, label = row.target
    other = next((id for id in row.prompt + row.target if id != last), 0)
    changed = row._replace(target=(*before, other, label))
    with eval_mode(forward.model):
        one, two = (forward.token_nlls(_batch(loaded, each))[:-2] for each in (row, changed))
    if not is_close(loaded, forward.precision, one, two):
        raise ModelError(
            f"{_name(loaded)} sees ahead: another last token moves the losses of those before it, so it would train on "
            f"the answers that it reads; {_without_sight(loaded.model.config)}"
        )


def _without_sight(config: Any) -> str:
    """Return the remedy for a model that sees ahead: an entry of its configuration, where one turns it into a decoder.

    BERT's family reads both ways unless it is told that it decodes, and BigBird's sparse attention even then.
    """
    wanted = {"is_decoder": True, "attention_type": "original_full"}
    known = {name: value for name, value in wanted.items() if getattr(config, name, value) != value}
    entries = ", ".join(f"{name}: {str(value).lower()}" for name, value in known.items())
    other = "use a model that was made to write from left to right"
    return f"if it was pretrained as a decoder, set {entries} in its config.json; else {other}" if entries else other


def losses_depend_on_others(loaded: Loaded, forward: ForwardPass, rows: Sequence[Row], limits: Limits) -> bool:
    """Return whether a row's losses are others beside one as long as the study may have, and padded so, than alone."""
    longest = made_up(rows[0].prompt, *longest_row(loaded, limits), masked=loaded.is_masked)
    batch = rows_together([*_two(rows), longest], loaded).to(forward.model.device)
    alone = replace(forward, alone=True)
    with eval_mode(forward.model):
        expected = alone.token_nlls(batch)
        try:
            return not is_close(loaded, forward.precision, forward.token_nlls(batch), expected)
        except MISFIT:  # padding may lead beyond the last position
            return True


def texts_depend_on_others(loaded: Loaded, rows: Sequence[Row], limits: Limits, precision: Precision) -> bool:
    """Return whether the tokens that follow a prompt have other logits beside a prompt of any length than alone.

    A causal model's longest one has the length that it reaches when its last token is generated; a masked model writes
    none.

    Args:
        loaded: The model.
        rows: Some that are to be answered.
        limits: The most tokens of prompts and predictions.
        precision: Of generation.
    """
    if loaded.is_masked:
        return False
    source, _ = longest_row(loaded, limits)
    room = 0 if loaded.is_encoder_decoder else max(0, limits.generated - TOKENS)
    prompts = [*(row.prompt for row in _two(rows)), _cycled(rows[0].prompt, source + room)]
    expected = torch.cat([_next_logits(loaded, [ids], precision) for ids in prompts])
    try:
        return not is_close(loaded, precision, _next_logits(loaded, prompts, precision), expected)
    except MISFIT:
        return True


def is_exact(loaded: Loaded, forward: ForwardPass, whole: ForwardPass, rows: Sequence[Row], *, batch_size: int) -> bool:
    """Return whether losses of the longest rows are the same with parts of the last block left out."""
    batches = loss_batches(rows, loaded, batch_size=batch_size)
    longest = max(batches, key=lambda batch: batch.inputs["input_ids"].size(1)).to(whole.model.device)
    size = ForwardBatch()

    def losses(way: ForwardPass) -> Tensor:
        return size.fitted(
            len(longest.indices), lambda most: torch.cat([way.token_nlls(part) for part in longest.parts(most)])
        )

    with eval_mode(whole.model):
        return is_close(loaded, whole.precision, losses(forward), losses(whole))


def _name(loaded: Loaded) -> str:
    return f"model {loaded.model.name_or_path}: {type(loaded.model).__name__}"


def _fault(loaded: Loaded, ids: Ids, source: int, target: int) -> str | None:
    """Say why a model cannot read a row of some length, ``None`` if it can."""
    batch = _batch(loaded, made_up(ids, source, target, masked=loaded.is_masked))
    try:
        with eval_mode(loaded.model):
            loaded.model(**model_rows(loaded.model, batch).inputs, use_cache=False)
    except MISFIT as error:
        return f"{type(error).__name__}: {str(error).strip()[:200]}"
    return None


def _most(limit: int, fits: Callable[[int], bool]) -> int:
    """Return the largest number up to a limit that fits, by halving; 0 where none does."""
    low, high = 0, limit + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _two(rows: Sequence[Row]) -> tuple[Row, Row]:
    """Return the shortest row with half of its prompt, and the longest with three quarters, so that padding is sure."""
    ordered = sorted(rows, key=lambda row: len(row.prompt) + len(row.target))
    short, long = ordered[0], ordered[-1]
    half, most = -(-len(short.prompt) // 2), -(-len(long.prompt) * 3 // 4)
    return _cut(short, half), _cut(long, most)


def _cut(row: Row, size: int) -> Row:
    """Return the beginning of a row's prompt; of a masked model's with what is hidden in it, or else its last token."""
    within = [place for place in row.places if place < size] or [size - 1] * bool(row.places)
    prompt, target = row.prompt[:size], dict(zip(row.places, row.target, strict=False))
    hidden = tuple(target.get(place, prompt[place]) for place in within)
    return row._replace(prompt=prompt, target=hidden if row.places else row.target, places=tuple(within))


def _batch(loaded: Loaded, row: Row) -> Batch:
    """Return a row alone, on the model's device."""
    (batch,) = rows_together([row], loaded).to(loaded.model.device).alone()
    return batch


def _next_logits(loaded: Loaded, prompts: Sequence[Ids], precision: Precision) -> Tensor:
    """Return the logits of the next tokens after prompts read together, shape (prompts, tokens, vocabulary)."""
    model = loaded.model
    inputs = {name: tensor.to(model.device) for name, tensor in prompts_together(prompts, loaded).inputs.items()}
    settings = {"max_new_tokens": TOKENS, "min_new_tokens": TOKENS, "pad_token_id": loaded.tokenizer.pad_token_id}
    with eval_mode(model), arithmetic(model.device, precision), generation_settings(model, **settings):
        output = model.generate(**inputs, output_logits=True, return_dict_in_generate=True)
    return torch.stack(output.logits, dim=1)


def _cycled(ids: Ids, count: int) -> Ids:
    """Return as many ids, from the first on again where there are fewer."""
    return tuple(islice(cycle(ids), count))


def is_close(loaded: Loaded, precision: Precision, one: Tensor, other: Tensor) -> bool:
    """Return whether two computations of the same numbers differ by rounding alone; of nan nothing can be proved."""
    if not other.isfinite().all():  # the run that sees such losses fails
        return True
    is_low = precision == "bf16" or computed_in(loaded.model).itemsize < 4
    return bool((one - other).abs().max() <= (2e-2 if is_low else 1e-5) * other.abs().max())
