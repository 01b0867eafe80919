"""The frozen part of the network, computed once per split: found in a recording, or recorded now, and proved.

A recording is named by all that its numbers depend on: weights, arithmetic, library versions, the place in the network
and the token ids of every row. So one serves every trial, final run, tuning and study that needs it. It changes the
clock, never the numbers: each training run compares it with the live model, and does without it where they differ.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from torch import Tensor
from transformers import PreTrainedModel

from harness.core.errors import ModelError
from harness.data.tokenization import Row
from harness.models.find_blocks import blocks
from harness.models.frozen.capture import ByCapturePoint, CapturePoint, Rows, SinkByCapturePoint, taps
from harness.models.frozen.capture_kv import kv_capture_points
from harness.models.frozen.replay import Pass, Trunk, record, verify
from harness.models.load import Loaded
from harness.models.transformers_compat import has_generation_steps
from harness.study.spec import Precision
from harness.training.activation_cache.keys import RecordingKeys
from harness.training.activation_cache.memory import ActivationMemory, Draft, TooLarge
from harness.training.batching import Prompts, loss_batches
from harness.training.decoding import prefill
from harness.training.loss import label_logits, model_rows, prompt_rows
from harness.training.precision import arithmetic

__all__ = ["ActivationCache", "Opened"]


class Opened(NamedTuple):
    """What it took to open trunks."""

    seconds: float
    """Of finding, reading, making and proving; what is too large for memory is read while it is used, and not here."""
    passes: Sequence[Pass]
    """Calls of the model, a few tokens to look at it left out."""


class _Use(NamedTuple):
    """What a recording is for."""

    name: str
    places: Callable[[PreTrainedModel, int], list[CapturePoint]]
    """What is recorded at a cut."""
    logits: Callable[[Rows, AbstractContextManager[None]], Tensor]
    """Calls the model as it will be called, and enters a context around what is replayed."""


class _Request(NamedTuple):
    """What one call is after."""

    use: _Use
    own: Sequence[CapturePoint]
    """Places of the cut."""
    cut: int
    passes: Sequence[Rows]
    keys: Mapping[str, str]
    """Of the recordings, by place, of all cuts that one pass records."""


@dataclass
class ActivationCache:
    """What is recorded of one model.

    Args:
        loaded: The model, in its pretrained state whenever `open` is called (what trains may be marked).
        recordings: Where they are kept.
        batch_size: Rows per forward pass while recording.
        precision: Of every pass.
        say: Told what takes time or does not work.
    """

    loaded: Loaded
    recordings: ActivationMemory
    batch_size: int
    precision: Precision
    say: Callable[[str], None]
    _known: dict[tuple[object, int], list[CapturePoint]] = field(default_factory=dict)
    _refused: dict[str, str] = field(default_factory=dict)
    _proved: set[str] = field(default_factory=set)
    _seconds: float = 0.0
    _passes: list[Pass] = field(default_factory=list)
    # What is worked out of one list of rows, by its identity; the list is kept, so that the identity stays its own.
    _splits: dict[tuple[object, ...], tuple[Sequence[Row], Sequence[Rows]]] = field(default_factory=dict)
    _named: dict[tuple[object, ...], Mapping[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._namer = RecordingKeys(self.loaded, self.precision)
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
        model = self.loaded.model

        def logits(each: Rows, replay: AbstractContextManager[None]) -> Tensor:
            with replay:
                return label_logits(model, each)

        def passes() -> list[Rows]:
            batches = loss_batches(rows, self.loaded, batch_size=self.batch_size)
            return [model_rows(model, batch.to(model.device)) for batch in batches]

        return self._open(_Use("loss", taps, logits), rows, (), passes, frozenset({cut, *cuts}), cut)

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
            kv_capture_points,
            lambda each, replay: prefill(model, each.inputs, replay),
        )

        def passes() -> list[Rows]:
            return [prompt_rows(batch, model.device) for batch in prompts]

        sizes = tuple(batch.inputs["input_ids"].size(1) for batch in prompts)  # less where more is to be generated
        return self._open(use, rows, sizes, passes, frozenset({cut, *cuts}), cut)

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
        self.recordings.let_go()

    def _open(
        self,
        use: _Use,
        rows: Sequence[Row],
        sizes: tuple[int, ...],
        passes: Callable[[], list[Rows]],
        cuts: frozenset[int],
        cut: int,
    ) -> Trunk | str:
        split = use.places, id(rows), sizes
        with self._timed():
            try:
                own, places = self._places(use, cut), {tap.name for each in cuts for tap in self._places(use, each)}
            except ModelError as error:
                return str(error)
            if not own:
                return "a part of the encoder trains" if has_generation_steps() else "transformers has no such steps"
            if split not in self._splits:
                self._splits[split] = rows, passes()
            whole = self._splits[split][1]
            if (split, cuts) not in self._named:
                self._named[split, cuts] = self._namer.keys(use.name, places, rows, whole)
            asked = _Request(use, own, cut, whole, self._named[split, cuts])
            return self._found(asked) or self._made(asked, cuts, cut)

    def _found(self, asked: _Request) -> Trunk | None:
        """Return what an earlier run or trial recorded, if it is there and right."""
        trunk = self._stored(asked)
        if trunk is None or (wrong := self._verify(asked, trunk)) is None:
            return trunk
        self.say(f"{wrong}; recording anew")
        self._drop(asked)
        return None

    def _drop(self, asked: _Request) -> None:
        for tap in asked.own:
            self.recordings.drop(asked.keys[tap.name])

    def _made(self, asked: _Request, cuts: frozenset[int], cut: int) -> Trunk | str:
        """Record for all cuts, or, where there is no room for that, for the one."""
        name = asked.keys[asked.own[-1].name]
        fault = self._refused.get(name, "")
        for tried in () if fault else (cuts, frozenset({cut})):
            try:
                self._record(asked, sorted(tried))
            except TooLarge as error:
                fault = str(error)
            except ModelError as error:
                fault = str(error)
                break
            else:
                if (trunk := self._stored(asked)) is None:
                    fault = "nothing is left of the recording: too large, or empty"
                    continue
                if (wrong := self._verify(asked, trunk)) is None:
                    return trunk
                self._drop(asked)
                fault = wrong
                break
        self._refused[name] = fault  # it would be so in every trial
        return fault

    def _places(self, use: _Use, cut: int) -> list[CapturePoint]:
        if (use.places, cut) not in self._known:
            self._known[use.places, cut] = use.places(self.loaded.model, cut)
        return self._known[use.places, cut]

    def _stored(self, asked: _Request) -> Trunk | None:
        held, before = self.recordings, set(self.recordings.pinned)
        there: dict[str, Mapping[str, Tensor]] = {}
        for tap in asked.own:
            held.pinned.add(asked.keys[tap.name])  # before the next one asks for room
            if (store := held.get(asked.keys[tap.name])) is None:
                held.pinned = before
                return None
            there[tap.name] = store
        return Trunk(self.loaded.model, asked.own, ByCapturePoint(there), asked.passes)

    def _record(self, asked: _Request, cuts: Sequence[int]) -> None:
        """Record in one pass what is missing.

        Raises:
            TooLarge: There is no room for it.
        """
        model, keys = self.loaded.model, asked.keys
        places = [tap for each in cuts for tap in self._places(asked.use, each)]
        missing = [tap for tap in places if self.recordings.get(keys[tap.name]) is None]
        drafts = {tap.name: Draft(keys[tap.name], self.recordings, self.say, together=len(missing)) for tap in missing}
        with ExitStack() as undo:
            for draft in drafts.values():
                undo.callback(draft.discard)
            with arithmetic(model.device, self.precision):
                store, logits = SinkByCapturePoint(drafts), asked.use.logits
                record(model, asked.passes, places=missing, store=store, run=lambda r: logits(r, nullcontext()))
            for draft in drafts.values():
                draft.close()
            undo.pop_all()
        end = max(cut for cut in cuts if any(tap in missing for tap in self._places(asked.use, cut)))
        self._passes += [self._pass(asked, rows, 0, end) for rows in asked.passes]

    def _verify(self, asked: _Request, trunk: Trunk) -> str | None:
        """Compare a recording with the live model: at first on its longest rows, in later runs on its shortest.

        Windows, positions and masks matter most in the longest, but they would take a tenth of a short trial each time.
        """
        key = asked.keys[asked.own[-1].name]
        rows = asked.passes[0] if key in self._proved else max(reversed(asked.passes), key=_positions)
        self._passes += [self._pass(asked, rows, first, None) for first in (0, asked.cut)]
        with arithmetic(self.loaded.model.device, self.precision):
            try:
                wrong = verify(trunk, rows, partial(asked.use.logits, rows))
            except KeyError as error:
                wrong = f"the recording lacks {error}"
            except ModelError as error:
                wrong = str(error)
        (self._proved.discard if wrong else self._proved.add)(key)
        return wrong

    def _pass(self, asked: _Request, rows: Rows, first: int, end: int | None) -> Pass:
        starts = asked.use.places is kv_capture_points
        most = self._first_behind if starts else self._count
        return Pass(rows, min(first, most), end if end is None else min(end, most), starts)


def _positions(rows: Rows) -> int:
    return sum(tensor.size(1) for tensor in rows.inputs.values())
