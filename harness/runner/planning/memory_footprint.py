"""How many bytes the recordings of a frozen part take, counted from one row of every padded shape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor

from harness.data.tokenization import Row
from harness.models.find_blocks import head
from harness.models.frozen.capture import CapturePoint, Rows, capture_points, kv_capture_points
from harness.models.frozen.replay import record
from harness.models.load import Loaded
from harness.study.spec import Precision
from harness.training.batching import loss_batches
from harness.training.decoding import prefill
from harness.training.evaluation import Decoding, prompts_of
from harness.training.loss import label_logits, model_rows, prompt_rows
from harness.training.precision import arithmetic

__all__ = ["Footprint", "Sizes"]

Places = Callable[..., list[CapturePoint]]


class Sizes(NamedTuple):
    """Bytes of what is recorded of some rows."""

    cuts: dict[int, int]
    """What a replay at each cut reads."""

    total: int
    """What is held for all cuts; what two of them read is there once."""


@dataclass
class Footprint:
    """Measures recordings without making them.

    Args:
        loaded: The model, as loaded.
        cuts: The blocks at which tunings cut.
        precision: Of the passes that will be recorded.
    """

    loaded: Loaded
    cuts: Sequence[int]
    precision: Precision
    _kept: dict[tuple[object, ...], dict[str, Tensor]] = field(default_factory=dict)
    _points: dict[tuple[Places, int], list[CapturePoint]] = field(default_factory=dict)

    def of_losses(self, rows: Sequence[Row]) -> Sizes:
        """Return what is recorded of some rows for their losses."""
        model, size = self.loaded.model, Counter[str]()
        by_label = head(model).name  # only label positions come there; elsewhere rows of one shape take the same
        for batch in loss_batches(rows, self.loaded, batch_size=len(rows)):
            (one,) = loss_batches([rows[batch.indices[0]]], self.loaded, batch_size=1)
            inputs, shape = model_rows(model, one.to(model.device)), [each.size(1) for each in batch.inputs.values()]
            for name, tensor in self._of_one(
                capture_points, shape, inputs, lambda each: label_logits(model, each)
            ).items():
                point, is_shared = name.partition("/")[0], not name.rpartition("/")[2].isdigit()
                if point == by_label:
                    size[point] += tensor[0].nbytes * batch.tokens
                else:
                    size[point] += tensor.nbytes * (1 if is_shared else len(batch.indices))
        return self._by_cut(capture_points, size)

    def of_prefill(self, rows: Sequence[Row], decoding: Decoding) -> Sizes:
        """Return what is recorded of some rows for the start of generation, beyond what their losses need."""
        model, size = self.loaded.model, Counter[str]()
        for batch in prompts_of(rows, self.loaded, decoding._replace(batch_size=len(rows))):
            one = batch._replace(indices=(0,), inputs={name: each[:1] for name, each in batch.inputs.items()})
            inputs, shape = prompt_rows(one, model.device), [each.size(1) for each in batch.inputs.values()]
            kept = self._of_one(kv_capture_points, shape, inputs, lambda each: prefill(model, each.inputs))
            for name, tensor in kept.items():
                size[name.partition("/")[0]] += tensor.nbytes * len(batch.indices)
        return self._by_cut(kv_capture_points, size)

    def _of_one(
        self, places: Places, shape: Sequence[int], rows: Rows, run: Callable[[Rows], object]
    ) -> Mapping[str, Tensor]:
        """Return what is kept of one row at all cuts; recorded once per shape."""
        key = (places, *shape)
        if key not in self._kept:
            self._kept[key] = {}
            listed = [point for cut in sorted(self.cuts) for point in self._places(places, cut)]
            if listed:  # none where generation begins with a part of the encoder that trains
                with arithmetic(self.loaded.model.device, self.precision):
                    record(self.loaded.model, [rows], points=listed, keep=self._kept[key].__setitem__, run=run)
        return self._kept[key]

    def _by_cut(self, places: Places, size: Mapping[str, int]) -> Sizes:
        # What an encoder makes of a prompt is the same for a loss: where that keeps it, generation adds nothing.
        shares = places is kv_capture_points and self.loaded.is_encoder_decoder
        kept = {
            cut: {point.name for point in self._places(capture_points, cut)} if shares else set[str]()
            for cut in self.cuts
        }
        cuts = {
            cut: sum(size[point.name] for point in self._places(places, cut) if point.name not in kept[cut])
            for cut in self.cuts
        }
        anywhere = set[str]().union(*kept.values())
        return Sizes(cuts, sum(taken for name, taken in size.items() if name not in anywhere))

    def _places(self, places: Places, cut: int) -> list[CapturePoint]:
        if (places, cut) not in self._points:
            self._points[places, cut] = places(self.loaded.model, cut)
        return self._points[places, cut]
