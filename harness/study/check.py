"""Refusing before the work starts: everything about a study that can be known without its weights.

Every prompt is rendered on every example, every name is looked up, every length is measured with the model's own
tokenizer. All problems are reported at once, each with its place in the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.core.closest_match import closest
from harness.core.errors import MetricError
from harness.core.example import Example, Split, fingerprint
from harness.core.workspace import Workspace
from harness.data.demonstrations import NO_DEMONSTRATIONS, Demonstrations
from harness.data.plain_text import PlainText
from harness.data.sources import Source, read_split
from harness.data.text_blocks import ids_of
from harness.data.tokenization import PromptForm, Reader
from harness.data.train_test_overlap import Overlap
from harness.metrics import get
from harness.metrics.base import Metric, metric_name
from harness.metrics.try_metrics import try_metrics
from harness.study.adapter_base import unsure_base
from harness.study.adapter_faults import refuse_adapters
from harness.study.blind_scores import blind_scores
from harness.study.checked_model import checked_model
from harness.study.compared_models import of_several
from harness.study.forgetting_texts import General, read_general
from harness.study.grid import Cell, baseline_cell, cell_study, expand
from harness.study.load_study import StudyFile
from harness.study.measured_rows import measured
from harness.study.model_config import Description
from harness.study.model_notes import doubled_tokens, model_notes
from harness.study.name_faults import refuse_names
from harness.study.own_losses import refuse_loss
from harness.study.plain_tasks import plain_form, refuse_plain
from harness.study.problems import Problems
from harness.study.prompt_faults import (
    alike,
    holding_targets,
    measured_otherwise,
    stray_fields,
)
from harness.study.prompt_lints import Lint, lint_prompts
from harness.study.row_lengths import Fit
from harness.study.run_places import try_places
from harness.study.search_faults import refuse_search
from harness.study.settings import refuse_least_over_most
from harness.study.size_notes import size_notes
from harness.study.spec import StudySpec
from harness.study.study_prompts import study_prompts
from harness.study.study_rows import StudyRows, study_rows
from harness.study.task import Task, load_task
from harness.study.text_splits import text_fits, text_rows, text_split
from harness.study.tokenizer_without_model import light_reader

__all__ = ["Checked", "Fit", "check"]


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
    tokens: Path | None = None
    """Where text lies that was tokenized once; ``None``: nothing is kept."""
    parts: Mapping[int, Sequence[Example]] = field(default_factory=dict)
    """By size, what of the training split cells of it use; empty where one size is studied."""
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

    @property
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

    def used_by(self, cell: Cell) -> Mapping[Split, Sequence[Example]]:
        """Return ``train`` and ``validation`` as a cell uses them: of its training size, where several are compared."""
        size = cell_study(self.study, cell).data.train if self.parts else None
        return {**self.examples, **({"train": self.parts[size]} if isinstance(size, int) else {})}

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


def check(file: StudyFile, *, test: bool = True, workspace: Workspace | None = None) -> Checked:
    """Validate a study against its task, data and models, without weights.

    Args:
        file: A study file that was read.
        test: Whether to open the test split; a study without final runs never needs it.
        workspace: Where it is to be run, which is tried; ``None``: nowhere.

    Raises:
        StudyError: All that would fail later.
    """
    if not file.study.models:
        return _check(file, test=test, workspace=workspace)
    return of_several(file, lambda one: _check(one, test=test, workspace=workspace))


def _check(file: StudyFile, *, test: bool, workspace: Workspace | None) -> Checked:
    """Validate a study of one model; takes and raises what `check` does."""
    problems = Problems(file)
    study = problems.resolved()
    try_places(study, workspace, problems)
    description, reader = checked_model(study, problems)
    task, task_file = _task(study, problems)
    prompts = study_prompts(study, task, problems)
    metrics = _metrics(study, task, problems)
    refuse_names(study, task, problems)
    notes = _searched(study, prompts, description, problems)
    text, tokens = plain_form(study, task), workspace.tokens if workspace else None
    rows = _rows(study, task, task_file, description, reader, tokens, problems, test=test)
    source, examples = rows.source, dict(rows.examples)
    demonstrations = Demonstrations(examples.get("train", ()))
    shown = {} if text else examples  # of blocks of text there is no prompt that they are filled in
    fits, cautions = text_fits(text, examples), list[str]()
    if not text:
        fits, cautions = measured(
            study, task, task_file, prompts, metrics, rows, description, reader, demonstrations, problems
        )
    _tried(metrics, examples, problems)
    general = read_general(study, task.name, reader, at=problems.at)
    problems.stop()
    assert source is not None and description is not None and reader is not None  # noqa: PT018  # else it has stopped
    forms = tuple(form for _, form in prompts)
    cautions += [*doubled_tokens(forms, examples["train"][0], reader), *blind_scores(study, metrics, shown)]
    notes += [*rows.notes, *size_notes(study), *model_notes(study, task, description, reader, forms, shown)]
    notes += measured_otherwise(forms)
    others = rows.shown_otherwise
    lints = lint_prompts(forms, fits, shown, reader, demonstrations, description.prefixes, others) if shown else ()
    test_rows = examples.pop("test", [])
    return Checked(
        file=file,
        task=task.trimming(reader.tokenizer.eos_token),
        task_file=task_file,
        prompts=forms,
        metrics=metrics,
        source=source,
        examples=examples,
        test_ids=ids_of(test_rows),
        test_digest=fingerprint(test_rows) if test_rows else None,
        description=description,
        fits=fits,
        overlaps=rows.overlaps,
        demonstrations=demonstrations,
        general=general,
        lints=lints,
        cautions=(*cautions, *alike(fits), *unsure_base(study.model), *rows.cautions),
        notes=(*file.placed.notes, *stray_fields(forms, shown), *holding_targets(fits), *notes),
        tokens=tokens,
        parts=rows.parts,
    )


def _task(study: StudySpec, problems: Problems) -> tuple[Task, Path]:
    loaded = None
    with problems.at("task"):
        loaded = load_task(study.task)
    if loaded is None:
        problems.stop()
    assert loaded is not None
    with problems.at("generation", "min_new_tokens"):
        refuse_least_over_most(study, loaded[0])
    return loaded


def _rows(
    study: StudySpec,
    task: Task,
    task_file: Path,
    description: Description | None,
    reader: Reader | None,
    tokens: Path | None,
    problems: Problems,
    *,
    test: bool,
) -> StudyRows:
    """Read the rows of a study, or the blocks of its text."""
    if text := plain_form(study, task):
        refuse_plain(study, task, text, description, reader, problems)
        return text_rows(study, task, task_file, text, reader, tokens, problems, test=test)
    end = reader.tokenizer.eos_token if reader else None
    return study_rows(study, task, task_file, end, problems, test=test)


def _metrics(study: StudySpec, task: Task, problems: Problems) -> tuple[Metric | str, ...]:
    found: list[Metric | str] = []
    for metric in task.metrics:
        hub = isinstance(metric, str) and metric.startswith("evaluate:")
        try:
            found.append(metric if hub or isinstance(metric, Metric) else get(metric))
        except MetricError as error:
            problems.add(f"task {task.name!r}: {error}", "task")
    names = [metric_name(metric) for metric in found]
    if study.search.metric not in (None, "loss", *names):
        hint = closest(str(study.search.metric), ["loss", *names])
        problems.add(
            f"search.metric {study.search.metric!r} is no metric of task {task.name!r}; {hint}", "search", "metric"
        )
    return tuple(found)


def _searched(
    study: StudySpec, prompts: list[tuple[int, PromptForm]], description: Description | None, problems: Problems
) -> list[str]:
    """Return what is told of the search, and note what is wrong with it, with the loss and with what is tuned."""
    refuse_loss(study, problems)
    _tunings(study, description, problems)
    refuse_adapters(study, description, problems)
    return refuse_search(study, expand(study, [form for _, form in prompts]), problems)


def _tunings(study: StudySpec, description: Description | None, problems: Problems) -> None:
    for index, tuning in enumerate(study.tuning):
        there = f"model {study.model.name!r}"
        if description and description.blocks and (told := tuning.misfit(there, description.blocks)):
            problems.add(told, "tuning", index)
    if study.model.dtype != "float32" and any(tuning.trains for tuning in study.tuning):
        low = f"model.dtype is {study.model.dtype}, in which small steps of what trains would be lost"
        remedy = "take float32, with training.precision: bf16 for speed and model.frozen: bfloat16 for memory"
        problems.add(f"{low}; {remedy}", "model", "dtype")
    elif study.model.dtype != "float32" and study.model.frozen != "float32":
        low = f"model.frozen is {study.model.frozen}, of a model that model.dtype makes {study.model.dtype} as a whole"
        problems.add(f"{low}; leave one of the two out", "model", "frozen")


def _tried(metrics: tuple[Metric | str, ...], examples: Mapping[Split, Sequence[Example]], problems: Problems) -> None:
    with problems.at("task"):
        try_metrics(metrics, examples.get("validation", []))
