"""The work of a study, counted prompt by prompt: batches, padded tokens, decoding steps, bytes of recordings.

How many bytes the recordings of a frozen part take is counted from one row of every padded shape.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor

from harness.core.example import Split
from harness.data.choice_rows import ChoiceRows
from harness.data.demonstrations import Demonstrations
from harness.data.encode_split import encode_split
from harness.data.label_words import is_labelled
from harness.data.masked_blocks import MaskedBlocks
from harness.data.text_blocks import BlockRows
from harness.data.tokenization import PromptForm, Row
from harness.models.apply_tuning import first_block
from harness.models.frozen.capture import CapturePoint, capture_points, entrance, kv_capture_points
from harness.models.frozen.kept_rows import Rows
from harness.models.frozen.replay import record
from harness.models.load import Loaded
from harness.study.checked_study import Checked
from harness.study.grid import Cell, cell_draw
from harness.study.spec import Precision
from harness.training.batching import loss_batches
from harness.training.decoding import prefill
from harness.training.evaluation import Decoding, prompts_of
from harness.training.loss import label_logits, model_rows, prompt_rows
from harness.training.precision import arithmetic
from harness.training.trainer import Trainer

__all__ = ["Footprint", "Load", "Sizes", "Work", "cuts_of", "load_of", "trained", "works"]

Places = Callable[..., list[CapturePoint]]


class Sizes(NamedTuple):
    """Bytes of what is recorded of some rows."""

    cuts: dict[int, int]
    """What a replay at each cut reads."""

    total: int
    """What is held for all cuts; what two of them read is there once."""


NOTHING = Sizes({}, 0)


class Load(NamedTuple):
    """The work that some rows are."""

    batches: int
    """Of their loss, per epoch."""
    tokens: int
    """Numbers in these batches, padding included."""
    prompts: int
    """Numbers in the batches of their generation, padding included."""
    steps: int
    """Calls of the model behind those for the first tokens, if predictions become as long as their targets."""
    starts: int
    """Batches of their generation."""


class Work(NamedTuple):
    """What there is to do with one prompt."""

    train: Load
    validation: Load
    recorded: tuple[Sizes, Sizes, Sizes]
    """For training losses, for validation losses, and for the start of generation."""


def works(prompts: Sequence[PromptForm], checked: Checked, trainer: Trainer) -> dict[PromptForm, Work]:
    """Count the work of whole splits; of the trainer, whose rows may be fewer, model and settings are used."""
    study, loaded = checked.study, trainer.setup.loaded
    footprint = Footprint(loaded, sorted(cuts_of(trainer)), study.training.precision)
    replays_starts = (checked.objective != "loss" or study.final.seeds) and study.first_generation.num_beams == 1
    replays_starts = replays_starts and not checked.text
    found = {}
    for prompt in prompts:
        train, validation = (_rows(split, prompt, checked, trainer) for split in ("train", "validation"))
        recorded = (NOTHING, NOTHING, NOTHING)
        if footprint.cuts:
            writes = replays_starts and not is_labelled(prompt)
            starts = footprint.of_prefill(validation, trainer.setup.decoding) if writes else NOTHING
            of_train = NOTHING if isinstance(train, MaskedBlocks) else footprint.of_losses(train)
            recorded = (of_train, footprint.of_losses(validation), starts)
        loads = [
            load_of(rows, loaded, batch_size=study.training.batch_size, decoding=trainer.setup.decoding)
            for rows in (train, validation)
        ]
        found[prompt] = Work(loads[0], loads[1], recorded)
    return found


def trained(
    cell: Cell, work: Mapping[PromptForm, Work], checked: Checked, trainer: Trainer, known: dict[object, Load]
) -> Work:
    """Return the work of a cell's prompt, of those training rows that the cell uses.

    Args:
        cell: The cell.
        work: From `works`.
        checked: The study.
        trainer: As there.
        known: What was counted so far.
    """
    if not checked.parts:
        return work[cell.prompt]
    draw = cell_draw(checked.study, cell)
    if (key := (cell.prompt, draw)) not in known:
        part, setup = checked.parts[draw], trainer.setup
        shown = Demonstrations(part, setup.demonstrations.vectors).attached(cell.prompt, part, of_train=True)
        rows = encode_split(shown, cell.prompt, setup.loaded, limits=setup.limits, of_train=True).rows
        size = checked.study.training.batch_size
        known[key] = load_of(rows, setup.loaded, batch_size=size, decoding=setup.decoding)
    return work[cell.prompt]._replace(train=known[key])


def cuts_of(trainer: Trainer) -> dict[int, list[str]]:
    """Return the names of the tunings that make each cut, if the trainer's study replays."""
    found: dict[int, list[str]] = {}
    for tuning in trainer.setup.study.tuning if trainer.setup.study.engine.replay else ():
        if (cut := first_block(trainer.setup.loaded.model, tuning)) is not None:
            found.setdefault(cut, []).append(tuning.name)
    return found


def load_of(rows: Sequence[Row], loaded: Loaded, *, batch_size: int, decoding: Decoding) -> Load:
    """Count the work that some rows are; the batch size is that of losses, `decoding` has generation's.

    Of blocks of text so few are continued that it is not counted; labels are chosen by their losses.
    """
    losses = loss_batches(rows, loaded, batch_size=batch_size)
    prompts = [] if isinstance(rows, BlockRows | ChoiceRows) else prompts_of(rows, loaded, decoding)
    return Load(
        batches=len(losses),
        tokens=sum(tensor.numel() for batch in losses for tensor in batch.inputs.values()),
        prompts=sum(tensor.numel() for batch in prompts for tensor in batch.inputs.values()),
        steps=sum(_longest(rows, batch.indices, decoding) - 1 for batch in prompts),
        starts=len(prompts),
    )


def _longest(rows: Sequence[Row], indices: Sequence[int], decoding: Decoding) -> int:
    """Return how many tokens a batch generates: until the last of its rows is finished."""
    return min(decoding.max_new_tokens, max(len(rows[index].target) for index in indices))


def _rows(split: Split, prompt: PromptForm, checked: Checked, trainer: Trainer) -> Sequence[Row]:
    setup, dropping = trainer.setup, split == "train"
    examples = setup.demonstrations.attached(prompt, checked.examples[split], of_train=dropping)
    return encode_split(examples, prompt, setup.loaded, limits=setup.limits, of_train=dropping).rows


@dataclass
class Footprint:
    """Measures recordings without making them."""

    loaded: Loaded
    cuts: Sequence[int]
    """The blocks at which tunings cut."""
    precision: Precision
    """Of the passes that will be recorded."""
    _kept: dict[tuple[object, ...], dict[str, Tensor]] = field(default_factory=dict)
    _points: dict[tuple[Places, int], list[CapturePoint]] = field(default_factory=dict)

    def of_losses(self, rows: Sequence[Row]) -> Sizes:
        """Return what is recorded of some rows for their losses."""
        model, size = self.loaded.model, Counter[str]()
        by_label = entrance(model).name  # only label positions come there; elsewhere rows of one shape take the same
        for batch in loss_batches(rows, self.loaded, batch_size=len(rows)):
            (one,) = loss_batches([rows[batch.indices[0]]], self.loaded, batch_size=1)
            inputs, shape = model_rows(model, one.to(model.device)), [each.size(1) for each in batch.inputs.values()]
            for name, tensor in self._of_one(
                capture_points, shape, inputs, lambda each: label_logits(model, each)
            ).items():
                point, is_shared = name.partition("/")[0], not name.rpartition("/")[2].isdigit()
                if point == by_label:
                    size[point] += tensor[0].nbytes * batch.positions
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
