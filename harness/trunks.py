"""The frozen part of the network, computed once per split: found in a recording, or recorded now, and proved.

A recording is named by all that its numbers depend on: weights, arithmetic, library versions, the place in the network
and the token ids of every row. So one serves every trial, final run, tuning and study that needs it. It changes the
clock, never the numbers: each training run compares it with the live model, and does without it where they differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
import transformers
from torch import Tensor
from transformers import PreTrainedModel

from harness.batching import Prompts, loss_batches
from harness.decoding import prefill
from harness.encoding import Row
from harness.example import digest
from harness.likelihood import label_logits, model_rows, prompt_rows
from harness.models.load import Loaded
from harness.models.prefill import prefill_taps
from harness.models.taps import Rows, Sink, Store, Tap, taps
from harness.models.trunk import Trunk, record, verify
from harness.precision import arithmetic
from harness.recordings import Draft, Recordings, TooLarge
from harness.study import Precision

__all__ = ["Trunks"]

FORMAT = 1
"""To be raised when the same key would hold other numbers."""


class _Use(NamedTuple):
    """What a recording is for."""

    name: str
    places: Callable[[PreTrainedModel, int], list[Tap]]
    """What is recorded at a cut."""
    logits: Callable[[Rows], Tensor]
    """Calls the model as it will be called."""


@dataclass
class Trunks:
    """What is recorded of one model.

    Args:
        loaded: The model, in its pretrained state whenever `open` is called (what trains may be marked).
        recordings: Where they are kept.
        batch_size: Rows per forward pass while recording.
        precision: Of every pass.
        say: Told what takes time or does not work.
    """

    loaded: Loaded
    recordings: Recordings
    batch_size: int
    precision: Precision
    say: Callable[[str], None]
    _known: dict[tuple[object, int], list[Tap]] = field(default_factory=dict)

    def open(self, rows: Sequence[Row], cut: int, *, cuts: Iterable[int]) -> Trunk | str:
        """Return the replay of some rows for a loss, recorded now if it is not there, or why they must run live.

        Args:
            rows: A split, as one prompt has it.
            cut: The first block that trains.
            cuts: Those that will be asked for as well; one pass records them all.
        """
        model = self.loaded.model
        batches = loss_batches(rows, self.loaded, batch_size=self.batch_size)
        passes = [model_rows(model, batch.to(model.device)) for batch in batches]
        return self._open(_Use("loss", taps, lambda each: label_logits(model, each)), rows, passes, {cut, *cuts}, cut)

    def open_prefill(
        self, rows: Sequence[Row], prompts: Sequence[Prompts], cut: int, *, cuts: Iterable[int]
    ) -> Trunk | str:
        """Return the replay of generation's first call; see `open`.

        Args:
            rows: A split, as one prompt has it.
            prompts: The batches that its predictions are made in.
            cut: The first block that trains.
            cuts: Those that will be asked for as well.
        """
        model = self.loaded.model
        # What an encoder makes of a prompt is the same for a loss.
        use = _Use(
            "loss" if self.loaded.is_encoder_decoder else "prefill",
            prefill_taps,
            lambda each: prefill(model, each.inputs),
        )
        passes = [prompt_rows(batch, model.device) for batch in prompts]
        with_places = {each for each in {cut, *cuts} if self._places(use, each)}
        if cut not in with_places:
            return "a part of the encoder trains"
        return self._open(use, rows, passes, with_places, cut)

    def _open(self, use: _Use, rows: Sequence[Row], passes: Sequence[Rows], cuts: set[int], cut: int) -> Trunk | str:
        own, fault = self._places(use, cut), ""
        split = digest([[row.prompt, row.target] for row in rows])
        keys = {tap.name: self._key(use, tap, split) for each in cuts for tap in self._places(use, each)}
        stored = self._stored(own, keys)
        if stored is not None:
            if (wrong := self._verify(use, stored, passes[0])) is None:
                return stored
            self.say(f"{wrong}; recording anew")
            for tap in own:
                self.recordings.drop(keys[tap.name])
        for tried in (cuts, {cut}):
            places = [tap for each in sorted(tried) for tap in self._places(use, each)]
            try:
                self._record(use, places, passes, keys)
            except TooLarge as error:
                fault = str(error)
            else:
                trunk = self._stored(own, keys)
                if trunk is None:
                    return "the recording did not last"
                return self._verify(use, trunk, passes[0]) or trunk
        return fault

    def _places(self, use: _Use, cut: int) -> list[Tap]:
        if (use.places, cut) not in self._known:
            self._known[use.places, cut] = use.places(self.loaded.model, cut)
        return self._known[use.places, cut]

    def _key(self, use: _Use, tap: Tap, split: str) -> str:
        model = self.loaded.model
        numbers = [str(model.dtype), self.precision, str(model.device.type), model.config._attn_implementation]
        versions = [FORMAT, torch.__version__, transformers.__version__]
        return digest([versions, self.loaded.digest, numbers, use.name, tap.name, split])

    def _stored(self, places: Sequence[Tap], keys: Mapping[str, str]) -> Trunk | None:
        stores = {tap.name: self.recordings.get(keys[tap.name]) for tap in places}
        there = {name: store for name, store in stores.items() if store is not None}
        return Trunk(self.loaded.model, places, _ByTap(there)) if len(there) == len(stores) else None

    def _record(self, use: _Use, places: Sequence[Tap], passes: Sequence[Rows], keys: Mapping[str, str]) -> None:
        """Record in one pass what is missing.

        Raises:
            TooLarge: There is no room for it.
        """
        model = self.loaded.model
        missing = [tap for tap in places if self.recordings.get(keys[tap.name]) is None]
        drafts = {tap.name: Draft(keys[tap.name], self.recordings, self.say) for tap in missing}
        with ExitStack() as undo:
            for draft in drafts.values():
                undo.callback(draft.discard)
            with arithmetic(model.device, self.precision):
                record(model, passes, places=missing, store=_SinkByTap(drafts), run=use.logits)
            for draft in drafts.values():
                draft.close()
            undo.pop_all()

    def _verify(self, use: _Use, trunk: Trunk, first: Rows) -> str | None:
        with arithmetic(self.loaded.model.device, self.precision):
            return verify(trunk, first, lambda: use.logits(first))


class _ByTap:
    """The recordings of several taps as one."""

    def __init__(self, stores: Mapping[str, Store]) -> None:
        self._stores = stores

    def __getitem__(self, name: str) -> Tensor:
        return self._stores[_tap(name)][name]


class _SinkByTap:
    """The drafts of several taps as one; what other taps bring is there already."""

    def __init__(self, sinks: Mapping[str, Sink]) -> None:
        self._sinks = sinks

    def __setitem__(self, name: str, tensor: Tensor) -> None:
        if (sink := self._sinks.get(_tap(name))) is not None:
            sink[name] = tensor


def _tap(name: str) -> str:
    return name.partition("/")[0]
