"""A study that passed `harness.study.check`: its parts, looked up and read, as all that runs it takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from harness.core.example import Example, Split
from harness.data.data_keys import Draw
from harness.data.demonstrations import NO_DEMONSTRATIONS, Demonstrations
from harness.data.label_words import head_labels
from harness.data.plain_text import PlainText
from harness.data.sources import Source, read_split
from harness.data.tokenization import PromptForm
from harness.data.train_test_overlap import Overlap
from harness.metrics.base import Metric, metric_name
from harness.study.decoding_settings import Decoding
from harness.study.forgetting_texts import General
from harness.study.further_axes import GENERATION
from harness.study.grid import Cell, baseline_cell, cell_draw, cell_study, expand
from harness.study.load_study import StudyFile
from harness.study.model_config import Description
from harness.study.plain_tasks import plain_form
from harness.study.prompt_lints import Lint
from harness.study.row_lengths import Fit
from harness.study.settings import decoding_of
from harness.study.spec import StudySpec
from harness.study.task import Task
from harness.study.text_splits import text_split
from harness.study.tokenizer_without_model import light_reader

__all__ = ["Checked"]


@dataclass(frozen=True)
class Checked:
    """A study that passed: its parts, looked up and read."""

    file: StudyFile
    task: Task
    task_file: Path
    prompts: tuple[PromptForm, ...]
    metrics: tuple[Metric | str, ...]
    """The task's metrics; a Hub metric is still a name."""
    source: Source
    examples: Mapping[Split, Sequence[Example]]
    """``train`` and ``validation``."""
    test_ids: tuple[str, ...]
    """The ids of the test split, of which little is kept; empty where it was not opened."""
    description: Description
    test_digest: str | None = None
    """Of the test split; ``None`` where it was not opened."""
    fits: tuple[Fit, ...] = ()
    overlaps: tuple[Overlap, ...] = ()
    """What the splits have in common, before anything was dropped."""
    demonstrations: Demonstrations = NO_DEMONSTRATIONS
    """The whole training split, as prompts pick from it; one that goes by the model's embeddings goes by BM25 here."""
    general: General = General()
    """What final runs measure beside the task."""
    lints: tuple[Lint, ...] = ()
    """What is allowed of prompts, and mostly a slip."""
    cautions: tuple[str, ...] = ()
    """What a reader of the results must know: rows that are lost, prompts that are alike, groups over splits."""
    notes: tuple[str, ...] = ()
    """What else is worth a look before it runs."""
    tokens: Path | None = None  # where text lies that was tokenized once; none: nothing is kept
    parts: Mapping[Draw, Sequence[Example]] = field(default_factory=dict)
    """By draw, what of the training split cells of it use; empty where one is studied."""
    models: Mapping[str, Checked] = field(default_factory=dict)
    """Where several models are compared, the study of each of them alone, by what it is called."""

    def __repr__(self) -> str:
        sizes = {**{split: len(rows) for split, rows in self.examples.items()}, "test": len(self.test_ids)}
        rows = ", ".join(f"{split} {size}" for split, size in sizes.items())
        told = f"{len(self.cautions)} cautions, {len(self.notes)} notes"
        return f"Checked({self.study.name!r}, {len(self.cells)} cells, rows: {rows}; {told})"

    @property
    def study(self) -> StudySpec:
        """The study file's content, with what each ``${NAME}`` stands for; stored is ``file.study``."""
        return self.file.resolved

    @cached_property
    def cells(self) -> list[Cell]:
        """All cells in grid order."""
        return expand(self.study, self.prompts)

    @property
    def baseline(self) -> Cell:
        """The cell that others are compared with: see `harness.study.grid.baseline_cell`."""
        return baseline_cell(self.study, self.cells)

    def of(self, cell: Cell) -> Checked:
        """Return the study of a cell's model alone; itself where there is one model."""
        return self.models.get(cell.model, self)

    @property
    def residents(self) -> Mapping[str, Checked]:
        """What is in memory in turn, see `harness.study.grid.Cell.resident`: the study of it alone, by its name.

        Nothing is known of other texts under a classification head, so that nothing is measured on them.
        """
        found = dict[str, Checked]()
        for cell in self.cells:
            if cell.resident not in found:
                found[cell.resident] = _answered_as(cell.prompt, self.of(cell))
        return found

    @property
    def head(self) -> tuple[str, ...]:
        """The labels of the classification head that all of its prompts are answered by; none where one is not."""
        labels = [head_labels(prompt) for prompt in self.prompts]
        return labels[0] if all(labels) else ()

    def used_by(self, cell: Cell) -> Mapping[Split, Sequence[Example]]:
        """Return ``train`` and ``validation`` as a cell uses them: of its draw, where several are compared."""
        return {**self.examples, **({"train": self.parts[cell_draw(self.study, cell)]} if self.parts else {})}

    def decoding_of(self, cell: Cell, first: Decoding) -> Decoding:
        """Return how a cell's predictions are made: by its own setting, where several are compared.

        Args:
            cell: Of this study, or of one that compares its model with others.
            first: How those of the first setting are made, as the model was found to need it.
        """
        if GENERATION not in cell.levels:
            return first
        halves = self.description.is_encoder_decoder
        own = decoding_of(cell_study(self.study, cell), self.task, is_encoder_decoder=halves)
        return own._replace(batch_size=1) if first.batch_size == 1 else own

    @property
    def text(self) -> PlainText | None:
        """How its text is cut into blocks, where its task is of plain text."""
        return plain_form(self.study, self.task)

    def test_examples(self) -> Sequence[Example]:
        """Read the test split.

        Raises:
            DataError: It cannot be read.
        """
        data, reader = self.study.data, light_reader(self.description)
        if self.text:
            return text_split(self.source, "test", data, self.text, reader, self.tokens)
        return read_split(self.source, "test", data, self.task.example)

    @property
    def objective(self) -> str:
        """What the search optimizes: a metric's name or ``loss``."""
        return self.study.search.metric or metric_name(self.metrics[0])


def _answered_as(prompt: PromptForm, checked: Checked) -> Checked:
    """Return a study of the prompts alone that have a head, or have none, as one of them."""
    general = General() if head_labels(prompt) else checked.general
    alike = tuple(form for form in checked.prompts if bool(head_labels(form)) == bool(head_labels(prompt)))
    names = {form.name for form in alike}
    return replace(
        checked, prompts=alike, fits=tuple(fit for fit in checked.fits if fit.prompt in names), general=general
    )
