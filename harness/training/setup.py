"""What training and scoring of a study start from: its model on the device, its splits in token ids, its decoding.

The training and validation splits are there alone until `TrainingSetup.open_test` is called, so a search cannot reach
the test split.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

import torch

from harness.core.errors import TaskError
from harness.core.example import Example, Split
from harness.data.choice_rows import ChoiceRows
from harness.data.content_free import content_free_rows
from harness.data.context_left import context_beside
from harness.data.data_keys import Draw
from harness.data.demonstrations import Demonstrations, shots_of
from harness.data.encode_split import encode_split
from harness.data.masked_blocks import MaskedBlocks
from harness.data.plain_text import asked, opened
from harness.data.text_blocks import BlockRows, ids_of
from harness.data.tokenization import Encoded, Limits, PromptForm, Row, prompt_limit
from harness.metrics.base import Metric
from harness.metrics.evaluate_hub import resolve_all
from harness.metrics.try_metrics import try_metrics
from harness.models.apply_tuning import apply, reset
from harness.models.hooks import look, misfits_told
from harness.models.last_block import block_asked_at_labels, modules_at_labels
from harness.models.load import Loaded, load_study_model
from harness.models.source_vectors import with_vectors
from harness.study.checked_study import Checked
from harness.study.decoding_settings import Decoding
from harness.study.grid import Cell, cell_draw
from harness.study.own_losses import own_loss
from harness.study.settings import decoding_of, token_limits, virtual_tokens
from harness.study.spec import StudySpec
from harness.training.answers_begin import refuse_other_beginning
from harness.training.cell_rows import CellRows
from harness.training.criteria import Criterion
from harness.training.fast_matmul import install
from harness.training.head_proofs import scores_depend_on_others
from harness.training.loop import device
from harness.training.loss import ForwardPass
from harness.training.own_criterion import own_criterion
from harness.training.proofs import (
    is_exact,
    longest_row,
    losses_depend_on_others,
    made_up,
    refuse_beyond_positions,
    refuse_own_writing,
    refuse_sight_ahead,
    texts_depend_on_others,
)

__all__ = ["TrainingSetup", "keep_freed"]

MMAP_MAX, TRIM_THRESHOLD = -4, -1
"""glibc's ``M_MMAP_MAX`` and ``M_TRIM_THRESHOLD``; see mallopt(3)."""

ANOTHER = "transformers' own code of it fails; use another model, or another version of transformers"
"""The remedy where a model's own code fails."""


class TrainingSetup:
    """A study's model and data, ready to be trained and scored."""

    def __init__(self, checked: Checked, say: Callable[[str], None]) -> None:
        study, task = checked.study, checked.task
        self._checked, self.study = checked, study
        self.written = checked.file.study
        """The study as it is written, its ``${NAME}`` as they stand, for what is stored."""
        self.metrics: list[Metric] = resolve_all(checked.metrics)
        try_metrics(self.metrics, checked.examples["validation"])
        keep_freed()
        self.loaded, self.limits = _beside_virtual_tokens(
            load_study_model(study.model, checked.head), study, token_limits(study, task)
        )
        self.is_text = checked.text is not None
        """Whether its rows are blocks of text, of which few are continued, to be looked at; none by a masked model."""
        self._examples: dict[Split, Sequence[Example]] = dict(checked.examples)
        self._encoded: dict[tuple[PromptForm, Split, Draw | None], Encoded] = {}
        self._parts = dict(checked.parts)
        self._rows: dict[tuple[PromptForm, Split, Draw | None], CellRows] = {}
        self._content_free: dict[tuple[PromptForm, Draw | None], ChoiceRows] = {}
        self.demonstrations = with_vectors(checked.demonstrations, checked.prompts, self.loaded)
        """What prompts pick theirs from, by the model as it was loaded; where draws of training rows are compared, all
        that are in some draw."""
        rows = self.encoded(checked.prompts[0], "validation").rows
        rows = rows[: study.training.batch_size] if self.is_text else rows
        rows = [opened(row) for row in rows] if self.is_text and not self.loaded.is_masked else rows
        architecture = f"model {study.model.name}: {type(self.loaded.model).__name__}"
        with misfits_told(f"{architecture} cannot be called", ANOTHER):
            refuse_own_writing(self.loaded)
            if not checked.head:
                refuse_sight_ahead(self.loaded, ForwardPass(self.loaded.model), made_up(rows[0].prompt, 6, 4))
        if not checked.head:
            refuse_beyond_positions(self.loaded, self.limits, rows[0].prompt)
        torch.nn.Module.to(self.loaded.model, device(study.training.device))
        if study.training.precision == "fp32":
            install(self.loaded.model)
        self.decoding = decoding_of(study, task, is_encoder_decoder=self.loaded.is_encoder_decoder)
        with misfits_told(f"{architecture} cannot be used on this study's rows", ANOTHER):
            self._prove_head(checked, say) if checked.head else self._prove(rows, say)
        self.own_criterion = self._own_criterion(say)
        """The study's loss of one's own, if it has one."""

    def _prove(self, rows: Sequence[Row], say: Callable[[str], None]) -> None:
        """Find how losses and predictions of some rows are computed, and refuse a model of which they mean nothing."""
        loaded, model = self.loaded, self.loaded.model
        refuse_other_beginning(self.study.model.name, loaded, rows[0])
        whole = ForwardPass(model, precision=self.study.training.precision)
        refuse_sight_ahead(loaded, whole, made_up(rows[0].prompt, *longest_row(loaded, self.limits)))
        if self._in_some_cell(lambda: losses_depend_on_others(loaded, whole, rows, self.limits)):
            whole = replace(whole, alone=True)
            say("losses are computed one row at a time: on these rows, padding or the rows beside a row move its own")
        self.whole_forward = whole
        """The model's way to its loss with nothing left out and nothing replayed."""
        self.forward, exact = whole, True
        """The way to its loss as it stands, for any rows: nothing is replayed."""
        # Where nearly every position has a label, nothing is left out.
        if not whole.alone and (loaded.is_masked or not self.is_text):
            at_labels, asked = modules_at_labels(model), block_asked_at_labels(model)
            self.forward = replace(whole, at_labels=at_labels, asked_at_labels=asked)
            exact = is_exact(loaded, self.forward, whole, rows, batch_size=self.study.training.batch_size)
        if not exact:
            self.forward = whole
            say("the last block is computed at all positions: its losses on these rows were others without")
        # What hangs on rounding, as a choice of tokens among equal scores does, shows in either.
        depend = partial(texts_depend_on_others, loaded, rows, self.limits, whole.precision)
        if whole.alone or not exact or self._in_some_cell(depend):
            self.decoding = self.decoding._replace(batch_size=1)
            say("predictions are made one at a time: on these rows, padding or the prompts beside one move its own")

    def _prove_head(self, checked: Checked, say: Callable[[str], None]) -> None:
        """Find how the labels of a classification head are scored; of its few positions nothing is left out."""
        splits: tuple[Split, ...] = ("train", "validation")
        rows = [row for prompt in checked.prompts for split in splits for row in self.encoded(prompt, split).rows]
        whole = ForwardPass(self.loaded.model, precision=self.study.training.precision)
        if scores_depend_on_others(self.loaded, whole, rows):
            whole = replace(whole, alone=True)
            say("labels are scored one row at a time: on these rows, padding or the rows beside a row move its own")
        self.forward = self.whole_forward = whole

    def small_rows(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Return what a loss is tried on: a small row made of the first of some, or that row under a head."""
        if isinstance(rows, ChoiceRows) and not rows.choices[0].words:
            return ChoiceRows(rows.choices[:1])
        return [made_up(asked(rows[0]), 6, 4, masked=self.loaded.is_masked)]

    def _in_some_cell(self, holds: Callable[[], bool]) -> bool:
        """Return whether something holds of the model as it is, or with virtual tokens before its rows.

        Raises:
            ModelError: The model cannot be called with some of these.
        """
        if holds():
            return True
        model, found = self.loaded.model, False
        for tuning in [tuning for tuning in self.study.tuning if tuning.virtual_tokens]:
            trainable = apply(model, tuning)
            with misfits_told(f"tuning {tuning.name}: {type(model).__name__} cannot be called", "use another tuning"):
                try:
                    found |= holds()
                finally:
                    reset(model, trainable)
        return found

    def _own_criterion(self, say: Callable[[str], None]) -> Criterion | None:
        """Load and try a loss of one's own."""
        own, model = own_loss(self.study), self.loaded.model
        if own is None:
            return None
        criterion = own_criterion(own, look(model, rows=1, positions=1).size(-1), model.device)
        if not criterion.by_token:
            among = f"loss {own.function!r} gives a label another loss among other labels"
            if self.whole_forward.alone:
                raise TaskError(f"{among}, but this model computes one row at a time; use a loss of each label alone")
            say(f"{among}: it is computed on all labels of a batch at once")
        return criterion

    def take(self, examples: Mapping[Split, Sequence[Example]]) -> None:
        """Go on with other examples of some splits."""
        self._examples.update(examples)
        self._parts.clear()
        self._encoded.clear()
        self._rows.clear()
        self._content_free.clear()

    def open_test(self, examples: Sequence[Example]) -> None:
        """Hand the test split in; done once, when the searches are over."""
        self._examples["test"] = examples

    def examples(self, split: Split) -> Sequence[Example]:
        """Return a split's examples."""
        return self._examples[split]

    def encoded(self, prompt: PromptForm, split: Split, draw: Draw | None = None) -> Encoded:
        """Return a split in token ids, as one prompt has it.

        Args:
            prompt: The prompt.
            split: The split.
            draw: Of the part of train that it is of, and that demonstrations are picked from; ``None``: all of it.
        """
        key, is_train = (prompt, split, draw), split == "train"
        if key not in self._encoded:
            examples = self._parts[draw] if is_train and draw is not None else self._examples[split]
            shown = self.demonstrations_of(draw).attached(prompt, examples, of_train=is_train)
            limits = self.limits
            self._encoded[key] = encode_split(shown, prompt, self.loaded, limits=limits, of_train=is_train)
        return self._encoded[key]

    def content_free(self, cell: Cell) -> ChoiceRows:
        """Return the inputs by which the labels of a cell's prompt are calibrated."""
        key = prompt, draw = cell.prompt, self.draw_of(cell)
        if key not in self._content_free:
            shown = self.demonstrations_of(draw)
            self._content_free[key] = content_free_rows(prompt, self.loaded, shown, limits=self.limits)
        return self._content_free[key]

    def demonstrations_of(self, draw: Draw | None) -> Demonstrations:
        """Return what prompts pick theirs from where these training rows are used; ``None``: all that there are."""
        whole = self.demonstrations
        return whole if draw is None else Demonstrations(self._parts[draw], whole.vectors)

    def draw_of(self, cell: Cell) -> Draw | None:
        """Return which training rows a cell uses where several draws are compared; else ``None``."""
        return cell_draw(self.study, cell) if self._parts else None

    def decoding_of(self, cell: Cell) -> Decoding:
        """Return how a cell's predictions are made: by its own setting of generation, where several are compared."""
        return self._checked.decoding_of(cell, self.decoding)

    def rows_of(self, cell: Cell, split: Split) -> CellRows:
        """Return the rows of a split that a cell uses; those of several draws are recorded together where they can be.

        Where a prompt shows demonstrations, other training rows make other prompts of every row.
        """
        prompt, draw = cell.prompt, self.draw_of(cell)
        key = (prompt, split, draw)
        if key not in self._rows:
            if draw is not None and (shots_of(prompt) or (split == "train" and not self._divides(prompt))):
                self._rows[key] = CellRows((prompt.name, f"{split} of {draw}"), self.encoded(prompt, split, draw).rows)
            else:
                own = self._places(prompt, draw) if draw is not None and split == "train" else None
                self._rows[key] = CellRows((prompt.name, split), self.encoded(prompt, split).rows, own, str(draw))
        return self._rows[key]

    def _divides(self, prompt: PromptForm) -> bool:
        """Return whether each training example is one row, the same in every epoch."""
        return not isinstance(self.encoded(prompt, "train").rows, ChoiceRows | MaskedBlocks)

    def _places(self, prompt: PromptForm, draw: Draw) -> Sequence[int]:
        """Return the places of a part's rows among all of train, in the part's order."""
        rows = self.encoded(prompt, "train").rows
        ids = ids_of(rows.blocks) if isinstance(rows, BlockRows) else [row.id for row in rows]
        places = {id: place for place, id in enumerate(ids)}
        return [places[id] for id in ids_of(self._parts[draw]) if id in places]  # long targets are dropped


def _beside_virtual_tokens(loaded: Loaded, study: StudySpec, limits: Limits) -> tuple[Loaded, Limits]:
    """Return a model with what virtual tokens leave of its context, and limits that say how short prompts become."""
    reader = loaded._replace(context=context_beside(loaded.context, virtual_tokens(study)))
    source = prompt_limit(reader, limits)
    return reader, limits._replace(source=source) if source < prompt_limit(loaded, limits) else limits


def keep_freed() -> None:
    """Let large arrays come from memory that the process has already, where the allocator is glibc's."""
    with suppress(OSError, AttributeError):
        glibc = ctypes.CDLL("libc.so.6")
        glibc.mallopt(MMAP_MAX, 0)
        glibc.mallopt(TRIM_THRESHOLD, 2**31 - 1)
