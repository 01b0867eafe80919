"""Activation cache: the frozen part computed once per split, found or recorded now, and proved.

It changes the clock, never the numbers: what differs from a live model is dropped (``docs/decisions/frozen-part.md``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from torch import Tensor
from transformers import PreTrainedModel

from harness.core.errors import ModelError
from harness.data.tokenization import Row
from harness.models.find_blocks import blocks
from harness.models.frozen.capture import CapturePoint, capture_points, kv_capture_points
from harness.models.frozen.kept_rows import Rows
from harness.models.frozen.replay import Pass, Trunk, alone, rearranged, record, verify
from harness.models.hooks import misfits_told
from harness.models.load import Loaded
from harness.models.transformers_compat import NO_STEPS, has_generation_steps
from harness.study.spec import Precision
from harness.training.activation_cache.keys import RowsKey, recording_keys
from harness.training.activation_cache.memory import ActivationMemory, Draft, TooLarge
from harness.training.batching import Prompts, loss_batches
from harness.training.decoding import prefill
from harness.training.loss import label_logits, model_rows, prompt_rows
from harness.training.precision import arithmetic

__all__ = ["ActivationCache", "Opened"]


class Opened(NamedTuple):
    """What it took to open trunks."""

    seconds: float  # of finding, reading, making and proving
    passes: Sequence[Pass]  # calls of the model, a few tokens to look at it left out


class _Call(NamedTuple):
    """A call of the model, for a loss or the first one of generation."""

    name: str  # part of the recordings' keys
    points: Callable[[PreTrainedModel, int], list[CapturePoint]]
    """What is recorded at a cut."""
    logits: Callable[[Rows, AbstractContextManager[None]], Tensor]
    """Makes the call, and enters a context around what is replayed."""


@dataclass
class _Split:
    """Rows as they were handed in, and what is worked out of them once."""

    rows: Sequence[Row]
    passes: Sequence[Rows]
    keys: dict[frozenset[int], Mapping[str, str]] = field(default_factory=dict)
    """Of the recordings, by all cuts that one pass records, then by capture point."""


class _Request(NamedTuple):
    """What is to be opened."""

    call: _Call
    points: Sequence[CapturePoint]
    cut: int
    passes: Sequence[Rows]
    keys: Mapping[str, str]
    """Of the recordings of all cuts that one pass records."""

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
        self._stacks = [block.stack for block in blocks(self.loaded.model)]

    def open(
        self, key: RowsKey, rows: Sequence[Row], cut: int, *, cuts: Iterable[int], again: bool = True
    ) -> Trunk | str:
        """Return the replay of some rows for a loss, recorded now if it is not there, or why they must run live.

        Args:
            key: What the rows are known by. Others that come under it are taken for others.
            rows: A split, as one prompt has it.
            cut: The first block that trains.
            cuts: Those that will be asked for as well; one pass records them all.
            again: Compare the recording once more, though it was proved in this process.
        """
        model = self.loaded.model

        def passes() -> list[Rows]:
            batches = loss_batches(rows, self.loaded, batch_size=self.batch_size)
            return [model_rows(model, batch.to(model.device)) for batch in batches]

        def logits(rows: Rows, replay: AbstractContextManager[None]) -> Tensor:
            with replay:
                return label_logits(model, rows)

        call = _Call("loss", capture_points, logits)
        return self._open(call, (key,), rows, passes, frozenset({cut, *cuts}), cut, again)

    def open_prefill(
        self, key: RowsKey, rows: Sequence[Row], prompts: Sequence[Prompts], cut: int, *, cuts: Iterable[int]
    ) -> Trunk | str:
        """Return the replay of generation's first call on the batches that predictions are made in; see `open`."""
        model = self.loaded.model

        def passes() -> list[Rows]:
            return [prompt_rows(batch, model.device) for batch in prompts]

        # What an encoder makes of a prompt is the same for a loss.
        name = "loss" if model.config.is_encoder_decoder else "prefill"
        call = _Call(name, kv_capture_points, lambda rows, replay: prefill(model, rows.inputs, replay))
        sizes = tuple(batch.inputs["input_ids"].size(1) for batch in prompts)  # less where more is to be generated
        return self._open(call, (key, sizes), rows, passes, frozenset({cut, *cuts}), cut)

    def opened(self) -> Opened:
        """Return what it took to open all that was opened since this was asked last."""
        opened = Opened(self._seconds, tuple(self._passes))
        self._seconds, self._passes = 0.0, []
        return opened

    def _open(
        self,
        call: _Call,
        key: tuple[object, ...],
        rows: Sequence[Row],
        passes: Callable[[], list[Rows]],
        cuts: frozenset[int],
        cut: int,
        again: bool = True,
    ) -> Trunk | str:
        start = time.perf_counter()
        try:
            points = self._points_at(call, cut)
            names = {point.name for cut in cuts for point in self._points_at(call, cut)}
            if not points:
                return "a part of the encoder trains" if has_generation_steps() else NO_STEPS
            if refused := self.recordings.no_room(rows, self.loaded, self.precision):
                return refused
            split = self._splits.get((call.points, *key))
            if split is None or split.rows != rows:
                split = self._splits[call.points, *key] = _Split(rows, passes())
            if cuts not in split.keys:
                split.keys[cuts] = recording_keys(self.loaded, self.precision, call.name, names, rows, split.passes)
            request = _Request(call, points, cut, split.passes, split.keys[cuts])
            return self._found(request, again) or self._made(request, cuts)
        except ModelError as error:
            return str(error)
        finally:
            self._seconds += time.perf_counter() - start

    def _found(self, request: _Request, again: bool) -> Trunk | None:
        """Return what an earlier run or trial recorded, if it is there and right."""
        trunk = self._stored(request)
        if (
            trunk is None
            or (request.key in self._proved and not again)
            or (wrong := self._verify(request, trunk)) is None
        ):
            return trunk
        self.say(f"{wrong}; recording anew")
        return None

    def _made(self, request: _Request, cuts: frozenset[int]) -> Trunk | str:
        """Record for all cuts, or, where there is no room for that, for the one."""
        fault = self._refused.get(request.key, "")
        for some in () if fault else (cuts, frozenset({request.cut})):
            try:
                self._record(request, sorted(some))
            except TooLarge as error:
                fault = str(error)
                continue
            except ModelError as error:
                fault = str(error)
                break
            if (trunk := self._stored(request)) is None:
                fault = "nothing is left of the recording: another one took its room"
            elif (wrong := self._verify(request, trunk)) is None:
                return trunk
            else:
                fault = wrong
                break
        self._refused[request.key] = fault  # it would be so in every trial
        return fault

    def _points_at(self, call: _Call, cut: int) -> list[CapturePoint]:
        if (call.points, cut) not in self._points:
            with misfits_told("the model takes no replay"):
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

        def fetch(name: str) -> Tensor:
            if name not in (store := stores[_point_of(name)]):
                raise ModelError(f"the recording lacks {name!r}")
            return store[name]

        return Trunk(self.loaded.model, request.points, fetch, recorded=request.passes)

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
            with arithmetic(model.device, self.precision), misfits_told("the model takes no replay"):
                record(
                    model,
                    request.passes,
                    points=missing,
                    keep=lambda name, tensor: drafts[_point_of(name)].add(name, tensor),
                    run=lambda rows: request.call.logits(rows, nullcontext()),
                )
            if empty := [name for name, draft in drafts.items() if not draft.names]:
                raise ModelError(f"{empty[0]} holds no keys and values: what its block keeps cannot be replayed")
            for draft in drafts.values():
                draft.close()
            undo.pop_all()
        end = max(cut for cut in cuts if any(point in missing for point in self._points_at(request.call, cut)))
        self._passes += [self._pass(request, rows, 0, end) for rows in request.passes]

    def _verify(self, request: _Request, trunk: Trunk) -> str | None:
        """Compare a recording with the live model in a batch of another composition, and drop it where it is wrong."""
        # Windows, positions and masks matter most in its longest rows; later runs compare the shortest alone.
        longest = max(request.passes[::-1], key=lambda rows: sum(one.size(1) for one in rows.inputs.values()))
        rows = alone(request.passes[0]) if request.key in self._proved else rearranged(longest)
        self._passes += [self._pass(request, rows, first, None) for first in (0, request.cut)]
        with arithmetic(self.loaded.model.device, self.precision):
            try:
                with misfits_told("the model takes no replay"):
                    wrong = verify(trunk, rows, partial(request.call.logits, rows))
            except ModelError as error:
                wrong = str(error)
        if wrong is None:
            self._proved.add(request.key)
            return None
        self._proved.discard(request.key)
        for point in request.points:
            self.recordings.drop(request.keys[point.name])
        return wrong

    def _pass(self, request: _Request, rows: Rows, first: int, end: int | None) -> Pass:
        starts = request.call.points is kv_capture_points
        # Behind an encoder, a decoder reads one token in generation's first call: that is neither kept nor replayed.
        most = (self._stacks.count("encoder") if starts else 0) or len(self._stacks)
        return Pass(rows, min(first, most), end if end is None else min(end, most), starts)


def _point_of(name: str) -> str:
    return name.partition("/")[0]
