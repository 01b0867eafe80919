"""The frozen part of the network, computed once per split: found in a recording, or recorded now, and proved.

A recording is named by all that its numbers depend on: weights, arithmetic, library versions, the place in the network
and the token ids of every row. So one serves every trial, final run, tuning and study that needs it. It changes the
clock, never the numbers: each training run compares it with the live model, and does without it where they differ.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
import transformers
from torch import Tensor
from transformers import PreTrainedModel

from harness.encoding import Row
from harness.engine.batching import Prompts, loss_batches
from harness.engine.decoding import prefill
from harness.engine.likelihood import label_logits, model_rows, prompt_rows
from harness.engine.precision import arithmetic
from harness.engine.recordings import Draft, Recordings, TooLarge
from harness.errors import ModelError
from harness.example import digest
from harness.models.blocks import blocks
from harness.models.load import Loaded, architecture_digest
from harness.models.prefill import prefill_taps
from harness.models.taps import ByTap, Rows, SinkByTap, Tap, taps
from harness.models.trunk import Pass, Trunk, record, verify
from harness.study import Precision

__all__ = ["Opened", "Trunks"]

FORMAT = 1
"""To be raised when the same key would hold other numbers."""


class Opened(NamedTuple):
    """What it took to open trunks."""

    seconds: float
    """Of finding, reading, making and proving; what is too large for memory is read while it is used, and not here."""
    passes: Sequence[Pass]
    """Calls of the model, a few tokens to look at it left out."""


class _Use(NamedTuple):
    """What a recording is for."""

    name: str
    places: Callable[[PreTrainedModel, int], list[Tap]]
    """What is recorded at a cut."""
    logits: Callable[[Rows], Tensor]
    """Calls the model as it will be called."""


class _Asked(NamedTuple):
    """What one call is after."""

    use: _Use
    own: Sequence[Tap]
    """Places of the cut."""
    cut: int
    passes: Sequence[Rows]
    keys: Mapping[str, str]
    """Of the recordings, by place, of all cuts that one pass records."""


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
    _refused: dict[str, str] = field(default_factory=dict)
    _proved: set[str] = field(default_factory=set)
    _seconds: float = 0.0
    _passes: list[Pass] = field(default_factory=list)
    # What is worked out of one list of rows, by its identity; the list is kept, so that the identity stays its own.
    _splits: dict[tuple[int, frozenset[int]], tuple[Sequence[Row], Sequence[Rows]]] = field(default_factory=dict)
    _named: dict[tuple[str, int, frozenset[int]], tuple[Sequence[Rows], Mapping[str, str]]] = field(
        default_factory=dict
    )

    def __post_init__(self) -> None:
        self._architecture = architecture_digest(self.loaded.model)
        stacks = [block.stack for block in blocks(self.loaded.model)]
        self._count = len(stacks)
        # Behind an encoder, a decoder reads one token in generation's first call: that is neither kept nor replayed.
        self._first_behind = stacks.count("encoder") or len(stacks)

    def open(self, rows: Sequence[Row], cut: int, *, cuts: Iterable[int]) -> Trunk | str:
        """Return the replay of some rows for a loss, recorded now if it is not there, or why they must run live.

        Args:
            rows: A split, as one prompt has it.
            cut: The first block that trains.
            cuts: Those that will be asked for as well; one pass records them all.
        """
        model, all_cuts = self.loaded.model, frozenset({cut, *cuts})
        use = _Use("loss", taps, lambda each: label_logits(model, each))
        with self._timed():
            if (id(rows), all_cuts) not in self._splits:
                batches = loss_batches(rows, self.loaded, batch_size=self.batch_size)
                passes = [model_rows(model, batch.to(model.device)) for batch in batches]
                self._splits[id(rows), all_cuts] = rows, passes
            return self._open(use, rows, self._splits[id(rows), all_cuts][1], all_cuts, cut)

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
        with self._timed():
            passes = [prompt_rows(batch, model.device) for batch in prompts]
            return self._open(use, rows, passes, frozenset({cut, *cuts}), cut)

    def opened(self) -> Opened:
        """Return what it took to open all that was opened since this was asked last."""
        found = Opened(self._seconds, tuple(self._passes))
        self._seconds = 0.0
        self._passes.clear()
        return found

    @contextmanager
    def _timed(self) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self._seconds += time.perf_counter() - start

    def close(self) -> None:
        """Let go of what was opened: it may make room in memory for others."""
        self.recordings.pinned.clear()

    def _open(
        self, use: _Use, rows: Sequence[Row], passes: Sequence[Rows], cuts: frozenset[int], cut: int
    ) -> Trunk | str:
        try:
            own = self._places(use, cut)
            if not own:
                return "a part of the encoder trains"
            known = use.name, id(passes), cuts
            if known not in self._named:
                self._named[known] = passes, self._keys(use, rows, passes, cuts)
            asked = _Asked(use, own, cut, passes, self._named[known][1])
            return self._found(asked) or self._made(asked, cuts, cut)
        except ModelError as error:
            return str(error)

    def _found(self, asked: _Asked) -> Trunk | None:
        """Return what an earlier run or trial recorded, if it is there and right."""
        trunk = self._stored(asked)
        if trunk is None or (wrong := self._verify(asked, trunk)) is None:
            return trunk
        self.say(f"{wrong}; recording anew")
        for tap in asked.own:
            self.recordings.drop(asked.keys[tap.name])
        return None

    def _made(self, asked: _Asked, cuts: frozenset[int], cut: int) -> Trunk | str:
        """Record for all cuts, or, where there is no room for that, for the one."""
        name = asked.keys[asked.own[-1].name]
        fault = self._refused.get(name, "")
        for tried in () if fault else (cuts, frozenset({cut})):
            try:
                self._record(asked, sorted(tried))
            except TooLarge as error:
                fault = str(error)
            else:
                if (trunk := self._stored(asked)) is not None:
                    return self._verify(asked, trunk) or trunk
                fault = "nothing is left of the recording: too large, or empty"
        self._refused[name] = fault  # it would be so in every trial
        return fault

    def _places(self, use: _Use, cut: int) -> list[Tap]:
        if (use.places, cut) not in self._known:
            self._known[use.places, cut] = use.places(self.loaded.model, cut)
        return self._known[use.places, cut]

    def _keys(self, use: _Use, rows: Sequence[Row], passes: Sequence[Rows], cuts: Iterable[int]) -> Mapping[str, str]:
        """Return the name of each place's recording: a digest of all that its numbers depend on."""
        model = self.loaded.model
        sizes = {index: each.inputs["input_ids"].size(1) for each in passes for index in each.indices}
        split = digest([[row.prompt, row.target, sizes[at]] for at, row in enumerate(rows)])
        numbers = [str(model.dtype), self.precision, _kind(model.device)]
        common = [FORMAT, torch.__version__, transformers.__version__, self.loaded.digest, self._architecture, numbers]
        taps = {tap.name for each in cuts for tap in self._places(use, each)}
        return {name: digest([common, use.name, name, split]) for name in taps}

    def _stored(self, asked: _Asked) -> Trunk | None:
        stores = {tap.name: self.recordings.get(asked.keys[tap.name]) for tap in asked.own}
        there = {name: store for name, store in stores.items() if store is not None}
        if len(there) < len(stores):
            return None
        self.recordings.pinned |= {asked.keys[tap.name] for tap in asked.own}
        return Trunk(self.loaded.model, asked.own, ByTap(there))

    def _record(self, asked: _Asked, cuts: Sequence[int]) -> None:
        """Record in one pass what is missing.

        Raises:
            TooLarge: There is no room for it.
        """
        model, keys = self.loaded.model, asked.keys
        places = [tap for each in cuts for tap in self._places(asked.use, each)]
        missing = [tap for tap in places if self.recordings.get(keys[tap.name]) is None]
        drafts = {tap.name: Draft(keys[tap.name], self.recordings, self.say) for tap in missing}
        with ExitStack() as undo:
            for draft in drafts.values():
                undo.callback(draft.discard)
            with arithmetic(model.device, self.precision):
                record(model, asked.passes, places=missing, store=SinkByTap(drafts), run=asked.use.logits)
            for draft in drafts.values():
                draft.close()
            undo.pop_all()
        end = max(cut for cut in cuts if any(tap in missing for tap in self._places(asked.use, cut)))
        self._passes += [self._pass(asked, rows, 0, end) for rows in asked.passes]

    def _verify(self, asked: _Asked, trunk: Trunk) -> str | None:
        """Compare a recording with the live model: at first on its longest rows, in later runs on its shortest.

        Windows, positions and masks matter most in the longest, but they would take a tenth of a short trial each time.
        """
        key = asked.keys[asked.own[-1].name]
        rows = asked.passes[0] if key in self._proved else max(reversed(asked.passes), key=_positions)
        self._passes += [self._pass(asked, rows, first, None) for first in (0, asked.cut)]
        with arithmetic(self.loaded.model.device, self.precision):
            try:
                wrong = verify(trunk, rows, lambda: asked.use.logits(rows))
            except KeyError as error:
                wrong = f"the recording lacks {error}"
        (self._proved.discard if wrong else self._proved.add)(key)
        return wrong

    def _pass(self, asked: _Asked, rows: Rows, first: int, end: int | None) -> Pass:
        starts = asked.use.places is prefill_taps
        most = self._first_behind if starts else self._count
        return Pass(rows, min(first, most), end if end is None else min(end, most), starts)


def _kind(device: torch.device) -> str:
    """Return what a device's arithmetic depends on: GPUs of one maker differ from model to model."""
    return f"cuda {torch.cuda.get_device_name(device)}" if device.type == "cuda" else device.type


def _positions(rows: Rows) -> int:
    return sum(tensor.size(1) for tensor in rows.inputs.values())
