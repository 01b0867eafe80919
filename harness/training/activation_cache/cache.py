"""Activation cache: the frozen part computed once per split, found or recorded now, and proved.

A recording is named by all that its numbers depend on: weights, arithmetic, library versions, the place in the network
and the token ids of every row. So one serves every trial, final run, tuning and study that needs it. It changes the
clock, never the numbers: each training run compares it with the live model, and does without it where they differ.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from torch import Tensor

from harness.core.errors import ModelError
from harness.data.tokenization import Row
from harness.models.find_blocks import blocks
from harness.models.frozen.capture import ByCapturePoint, CapturePoint, Rows, SinkByCapturePoint
from harness.models.frozen.replay import Pass, Trunk, record, verify
from harness.models.load import Loaded
from harness.models.transformers_compat import has_generation_steps
from harness.study.spec import Precision
from harness.training.activation_cache.keys import RecordingKeys, RowsKey
from harness.training.activation_cache.memory import ActivationMemory, Draft, TooLarge
from harness.training.activation_cache.replayed_calls import ReplayedCall, generation_start, loss_call
from harness.training.batching import Prompts, loss_batches
from harness.training.loss import model_rows, prompt_rows
from harness.training.precision import arithmetic

__all__ = ["ActivationCache", "Opened"]


NO_STEPS = "this transformers does not tell generation's first call apart"


class Opened(NamedTuple):
    """What it took to open trunks."""

    seconds: float
    """Of finding, reading, making and proving; what is too large for memory is read while it is used, and not here."""
    passes: Sequence[Pass]
    """Calls of the model, a few tokens to look at it left out."""


@dataclass
class _Split:
    """Rows as they were handed in, and what is worked out of them once."""

    rows: Sequence[Row]
    passes: Sequence[Rows]
    """As the model takes them."""
    keys: dict[frozenset[int], Mapping[str, str]] = field(default_factory=dict)
    """Of the recordings, by capture point, of all cuts that one pass records; by these cuts."""


class _Request(NamedTuple):
    """What one call is after."""

    call: ReplayedCall
    points: Sequence[CapturePoint]
    """Of the cut."""
    cut: int
    passes: Sequence[Rows]
    keys: Mapping[str, str]
    """Of the recordings, by capture point, of all cuts that one pass records."""

    @property
    def key(self) -> str:
        """The key of the recording that is made last."""
        return self.keys[self.points[-1].name]


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
    _points: dict[tuple[object, int], list[CapturePoint]] = field(default_factory=dict)
    _splits: dict[tuple[object, ...], _Split] = field(default_factory=dict)
    _refused: dict[str, str] = field(default_factory=dict)
    _proved: set[str] = field(default_factory=set)
    _seconds: float = 0.0
    _passes: list[Pass] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._namer = RecordingKeys(self.loaded, self.precision)
        stacks = [block.stack for block in blocks(self.loaded.model)]
        self._count = len(stacks)
        # Behind an encoder, a decoder reads one token in generation's first call: that is neither kept nor replayed.
        self._first_behind = stacks.count("encoder") or len(stacks)

    def open(self, key: RowsKey, rows: Sequence[Row], cut: int, *, cuts: Iterable[int]) -> Trunk | str:
        """Return the replay of some rows for a loss, recorded now if it is not there, or why they must run live.

        Args:
            key: What the rows are known by. Others that come under it are taken for others.
            rows: A split, as one prompt has it.
            cut: The first block that trains.
            cuts: Those that will be asked for as well; one pass records them all.
        """
        model = self.loaded.model

        def passes() -> list[Rows]:
            batches = loss_batches(rows, self.loaded, batch_size=self.batch_size)
            return [model_rows(model, batch.to(model.device)) for batch in batches]

        return self._open(loss_call(model), (key,), rows, passes, frozenset({cut, *cuts}), cut)

    def open_prefill(
        self, key: RowsKey, rows: Sequence[Row], prompts: Sequence[Prompts], cut: int, *, cuts: Iterable[int]
    ) -> Trunk | str:
        """Return the replay of generation's first call; see `open`.

        Args:
            key: What the rows are known by.
            rows: A split, as one prompt has it.
            prompts: The batches that its predictions are made in.
            cut: The first block that trains.
            cuts: Those that will be asked for as well.
        """
        model = self.loaded.model

        def passes() -> list[Rows]:
            return [prompt_rows(batch, model.device) for batch in prompts]

        sizes = tuple(batch.inputs["input_ids"].size(1) for batch in prompts)  # less where more is to be generated
        return self._open(generation_start(model), (key, sizes), rows, passes, frozenset({cut, *cuts}), cut)

    def opened(self) -> Opened:
        """Return what it took to open all that was opened since this was asked last."""
        opened = Opened(self._seconds, tuple(self._passes))
        self._seconds = 0.0
        self._passes.clear()
        return opened

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
        call: ReplayedCall,
        key: tuple[object, ...],
        rows: Sequence[Row],
        passes: Callable[[], list[Rows]],
        cuts: frozenset[int],
        cut: int,
    ) -> Trunk | str:
        with self._timed():
            try:
                points = self._points_at(call, cut)
                names = {point.name for cut in cuts for point in self._points_at(call, cut)}
            except ModelError as error:
                return str(error)
            if not points:
                return "a part of the encoder trains" if has_generation_steps() else NO_STEPS
            split = self._split((call.points, *key), rows, passes)
            if cuts not in split.keys:
                split.keys[cuts] = self._namer.keys(call.name, names, rows, split.passes)
            request = _Request(call, points, cut, split.passes, split.keys[cuts])
            return self._found(request) or self._made(request, cuts)

    def _split(self, key: tuple[object, ...], rows: Sequence[Row], passes: Callable[[], list[Rows]]) -> _Split:
        """Return what is known of some rows; all of it anew where others have come under their key."""
        split = self._splits.get(key)
        if split is None or split.rows != rows:
            split = self._splits[key] = _Split(rows, passes())
        return split

    def _found(self, request: _Request) -> Trunk | None:
        """Return what an earlier run or trial recorded, if it is there and right."""
        trunk = self._stored(request)
        if trunk is None or (wrong := self._verify(request, trunk)) is None:
            return trunk
        self.say(f"{wrong}; recording anew")
        self._drop(request)
        return None

    def _drop(self, request: _Request) -> None:
        for point in request.points:
            self.recordings.drop(request.keys[point.name])

    def _made(self, request: _Request, cuts: frozenset[int]) -> Trunk | str:
        """Record for all cuts, or, where there is no room for that, for the one."""
        fault = self._refused.get(request.key, "")
        for some in () if fault else (cuts, frozenset({request.cut})):
            try:
                self._record(request, sorted(some))
            except TooLarge as error:
                fault = str(error)
            except ModelError as error:
                fault = str(error)
                break
            else:
                if (trunk := self._stored(request)) is None:
                    fault = "nothing is left of the recording: too large, or empty"
                    continue
                if (wrong := self._verify(request, trunk)) is None:
                    return trunk
                self._drop(request)
                fault = wrong
                break
        self._refused[request.key] = fault  # it would be so in every trial
        return fault

    def _points_at(self, call: ReplayedCall, cut: int) -> list[CapturePoint]:
        if (call.points, cut) not in self._points:
            self._points[call.points, cut] = call.points(self.loaded.model, cut)
        return self._points[call.points, cut]

    def _stored(self, request: _Request) -> Trunk | None:
        held, before = self.recordings, set(self.recordings.pinned)
        stores: dict[str, Mapping[str, Tensor]] = {}
        for point in request.points:
            held.pinned.add(request.keys[point.name])  # before the next one asks for room
            if (store := held.get(request.keys[point.name])) is None:
                held.pinned = before
                return None
            stores[point.name] = store
        return Trunk(self.loaded.model, request.points, ByCapturePoint(stores), request.passes)

    def _record(self, request: _Request, cuts: Sequence[int]) -> None:
        """Record in one pass what is missing.

        Raises:
            TooLarge: There is no room for it.
        """
        model, keys = self.loaded.model, request.keys
        points = [point for cut in cuts for point in self._points_at(request.call, cut)]
        missing = [point for point in points if self.recordings.get(keys[point.name]) is None]
        drafts = {
            point.name: Draft(keys[point.name], self.recordings, self.say, together=len(missing)) for point in missing
        }
        with ExitStack() as undo:
            for draft in drafts.values():
                undo.callback(draft.discard)
            with arithmetic(model.device, self.precision):
                store, logits = SinkByCapturePoint(drafts), request.call.logits
                record(model, request.passes, points=missing, store=store, run=lambda r: logits(r, nullcontext()))
            for draft in drafts.values():
                draft.close()
            undo.pop_all()
        end = max(cut for cut in cuts if any(point in missing for point in self._points_at(request.call, cut)))
        self._passes += [self._pass(request, rows, 0, end) for rows in request.passes]

    def _verify(self, request: _Request, trunk: Trunk) -> str | None:
        """Compare a recording with the live model: at first on its longest rows, in later runs on its shortest.

        Windows, positions and masks matter most in the longest, but they would take a tenth of a short trial each time.
        """
        rows = request.passes[0] if request.key in self._proved else max(reversed(request.passes), key=_positions)
        self._passes += [self._pass(request, rows, first, None) for first in (0, request.cut)]
        with arithmetic(self.loaded.model.device, self.precision):
            try:
                wrong = verify(trunk, rows, partial(request.call.logits, rows))
            except KeyError as error:
                wrong = f"the recording lacks {error}"
            except ModelError as error:
                wrong = str(error)
        (self._proved.discard if wrong else self._proved.add)(request.key)
        return wrong

    def _pass(self, request: _Request, rows: Rows, first: int, end: int | None) -> Pass:
        starts = request.call.starts_generation
        most = self._first_behind if starts else self._count
        return Pass(rows, min(first, most), end if end is None else min(end, most), starts)


def _positions(rows: Rows) -> int:
    return sum(tensor.size(1) for tensor in rows.inputs.values())
