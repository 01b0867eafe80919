"""Refusing before the work starts: everything about a study that can be known without its weights.

Every prompt is rendered on every example, every name is looked up, every length is measured with the model's own
tokenizer. All problems are reported at once, each with its place in the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.core.closest_match import closest
from harness.core.errors import MetricError
from harness.core.example import SPLITS, Example, Split, field_names, fingerprint
from harness.core.workspace import Workspace
from harness.data.decoder_prefix import language_codes, refuse_language
from harness.data.row_groups import likely_groups, separated
from harness.data.sources import Source, SourceRow, examples_of, open_source, split_rows
from harness.data.tokenization import PromptForm, Reader
from harness.data.train_test_overlap import Overlap, overlaps, settled
from harness.metrics import get
from harness.metrics.base import Metric, metric_name
from harness.metrics.try_metrics import try_metrics
from harness.study.axes import Prompt
from harness.study.forgetting_texts import General, read_general
from harness.study.grid import Cell, baseline_cell, expand
from harness.study.load_study import StudyFile
from harness.study.model_config import Description, describe
from harness.study.model_notes import doubled_tokens, model_notes
from harness.study.name_faults import refuse_names
from harness.study.packaged_files import model_location
from harness.study.problems import Problems
from harness.study.prompt_faults import alike, holding_targets, refuse_faults, refuse_without_fields, stray_fields
from harness.study.row_lengths import UNLIMITED, Fit, measure
from harness.study.run_places import try_places
from harness.study.search_faults import refuse_search
from harness.study.self_scores import self_scores
from harness.study.settings import token_limits
from harness.study.spec import StudySpec
from harness.study.task import Task, load_task
from harness.study.tokenizer_without_model import light_reader
from harness.study.unequal_targets import refuse_hopeless, refuse_stop_texts, trimmed_targets, unequal_targets
from harness.study.weights_on_disk import refuse_broken_weights

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
    examples: dict[Split, list[Example]]
    """``train`` and ``validation``."""
    test_ids: tuple[str, ...]
    """The ids of the test split, of which little is kept; empty where it was not opened."""
    description: Description
    test_digest: str | None = None
    """Of the test split; ``None`` where it was not opened."""
    fits: tuple[Fit, ...] = ()
    overlaps: tuple[Overlap, ...] = ()
    """What the splits have in common, before anything was dropped."""
    general: General = General()
    """What final runs measure beside the task."""
    cautions: tuple[str, ...] = ()
    """What a reader of the results must know: rows that are lost, prompts that are alike, groups over splits."""
    notes: tuple[str, ...] = ()
    """What else is worth a look before it runs."""

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

    @property
    def objective(self) -> str:
        """What the search optimizes: a metric's name or ``loss``."""
        return self.study.search.metric or metric_name(self.metrics[0])


def check(file: StudyFile, *, test: bool = True, workspace: Workspace | None = None) -> Checked:
    """Validate a study against its task, data and model, without weights.

    Args:
        file: A study file that was read.
        test: Whether to open the test split; a study without final runs never needs it.
        workspace: Where it is to be run, which is tried; ``None``: nowhere.

    Raises:
        StudyError: All that would fail later.
    """
    problems = Problems(file)
    study = problems.resolved()
    try_places(study, workspace, problems)
    description, reader = _model(study, problems)
    task, task_file = _task(study, problems)
    prompts = _prompts(study, task, problems)
    metrics = _metrics(study, task, problems)
    refuse_names(study, task, problems)
    notes = refuse_search(study, expand(study, [form for _, form in prompts]), problems)
    _tunings(study, description, problems)
    source, rows, examples = _data(study, task, task_file, problems, test=test)
    end = reader.tokenizer.eos_token if reader else None
    examples, taken_off = trimmed_targets(examples, end, problems)
    examples, found, left_out = _kept(study, examples, problems)
    refuse_without_fields(prompts, examples, problems)
    fits, cautions = tuple[Fit, ...](), list[str]()
    limits = token_limits(study, task) if description and description.tokenizer_file else UNLIMITED
    if source and examples and reader:
        fits, cautions = measure(study, prompts, examples, reader, limits, problems)
        refuse_stop_texts(study, task, examples, reader, problems)
        cautions += refuse_hopeless(unequal_targets(examples, reader, metrics), study, problems)
        refuse_faults(prompts, fits, rows.get("train", []), study.data, task, task_file, problems)
    else:
        _render(prompts, examples, problems)
    _tried(metrics, examples, problems)
    general = read_general(study, task.name, reader, at=problems.at)
    problems.stop()
    assert source is not None and description is not None and reader is not None  # noqa: PT018  # else it has stopped
    forms = tuple(form for _, form in prompts)
    cautions += [*doubled_tokens(forms, examples["train"][0], reader), *_blind(metrics, examples)]
    notes += [*source.notes, *taken_off, *left_out, *model_notes(description, reader, limits, forms, examples)]
    test_rows = examples.pop("test", [])
    return Checked(
        file=file,
        task=task.trimming(end),
        task_file=task_file,
        prompts=forms,
        metrics=metrics,
        source=source,
        examples=examples,
        test_ids=tuple(example.id for example in test_rows),
        test_digest=fingerprint(test_rows) if test_rows else None,
        description=description,
        fits=fits,
        overlaps=found,
        general=general,
        cautions=(*cautions, *alike(fits), *_ungrouped(study, rows)),
        notes=(*file.placed.notes, *stray_fields(forms, examples), *holding_targets(fits), *notes),
    )


def _task(study: StudySpec, problems: Problems) -> tuple[Task, Path]:
    loaded = None
    with problems.at("task"):
        loaded = load_task(study.task)
    if loaded is None:
        problems.stop()
    assert loaded is not None
    return loaded


def _model(study: StudySpec, problems: Problems) -> tuple[Description | None, Reader | None]:
    description, reader = None, None
    with problems.at("model"):
        place = model_location(study.model.name)
        description = describe(place, study.model.revision)
        refuse_broken_weights(Path(place).expanduser())
        with problems.at("model", "name"):
            reader = light_reader(description, study.model.target_language)
    if description and reader and description.tokenizer_file:
        codes = language_codes(reader.tokenizer.get_vocab()) if description.is_encoder_decoder else {}
        for key, code in study.model.languages.items():
            with problems.at("model", key):
                refuse_language(key, code, codes)
    return description, reader


def _prompts(study: StudySpec, task: Task, problems: Problems) -> list[tuple[int, PromptForm]]:
    """Return the prompts that could be looked up, with their place in the list."""
    found = []
    for index, prompt in enumerate(study.prompts):
        with problems.at("prompts", index):
            form = _form(prompt, task, problems.file)
            form.names()
            found.append((index, form))
    return found


def _form(prompt: Prompt, task: Task, file: StudyFile) -> PromptForm:
    if prompt.registered:
        from harness.tracking.mlflow.prompt_registry import prompt_of  # heavy, and most studies do without

        return prompt_of(prompt.registered, prompt.name, file.address.store)
    return prompt.form() or task.prompt(prompt.name)


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


def _tunings(study: StudySpec, description: Description | None, problems: Problems) -> None:
    for index, tuning in enumerate(study.tuning):
        if description and description.blocks and tuning.blocks and tuning.blocks > description.blocks:
            there = f"model {study.model.name!r} has {description.blocks} blocks"
            problems.add(f"{tuning.kind} is {tuning.blocks}, but {there}; lower it", "tuning", index)
    if study.model.dtype != "float32" and any(tuning.trains for tuning in study.tuning):
        low = f"model.dtype is {study.model.dtype}, in which small steps of what trains would be lost"
        problems.add(f"{low}; take float32, with training.precision: bf16 for speed", "model", "dtype")


def _data(
    study: StudySpec, task: Task, task_file: Path, problems: Problems, *, test: bool
) -> tuple[Source | None, dict[Split, list[SourceRow]], dict[Split, list[Example]]]:
    source: Source | None = None
    rows: dict[Split, list[SourceRow]] = {}
    examples: dict[Split, list[Example]] = {}
    with problems.at("data"):
        source = open_source(study.data, task_file.parent / task.data)
    for split in SPLITS if source else ():
        if split == "test" and not test:
            continue
        with problems.at("data", split):
            rows[split] = split_rows(source, split, study.data)
            examples[split] = examples_of(rows[split], study.data, task.example)
    return source, rows, examples


def _kept(
    study: StudySpec, examples: dict[Split, list[Example]], problems: Problems
) -> tuple[dict[Split, list[Example]], tuple[Overlap, ...], list[str]]:
    """Return the examples that a study uses, what splits have in common, and a line for each that loses groups."""
    if "train" not in examples:
        return examples, (), []
    found = overlaps(examples)
    with problems.at("data", "on_overlap"):
        examples = settled(examples, found, study.data.on_overlap)
    sizes = {split: len(part) for split, part in examples.items()}
    with problems.at("data", "group"):
        examples = separated(examples, study.data.on_overlap)
    lost = {split: size - len(examples[split]) for split, size in sizes.items()}
    lines = [f"{n} rows of {split} are left out: their group is in a later split." for split, n in lost.items() if n]
    return examples, found, lines


def _tried(metrics: tuple[Metric | str, ...], examples: dict[Split, list[Example]], problems: Problems) -> None:
    with problems.at("task"):
        try_metrics(metrics, examples.get("validation", []))


def _blind(metrics: tuple[Metric | str, ...], examples: dict[Split, list[Example]]) -> list[str]:
    """Say which metrics cannot tell right from wrong on the rows that are scored."""
    return self_scores(metrics, [*examples["validation"], *examples.get("test", [])])


def _ungrouped(study: StudySpec, rows: dict[Split, list[SourceRow]]) -> list[str]:
    """Ask about columns that look as if they said which rows belong together."""
    if study.data.group is not None:
        return []
    mapped = {study.data.columns.get(name, name) for name in ("source", "target", "references", "id")}
    columns = {split: [row.columns for row in part] for split, part in rows.items()}
    id = study.data.columns.get("id", "id")
    return [likely.line() for likely in likely_groups(columns, frozenset(mapped), id)]


def _render(prompts: list[tuple[int, PromptForm]], examples: dict[Split, list[Example]], problems: Problems) -> None:
    for index, form in prompts:
        with problems.at("prompts", index):
            rows = [example for split in examples.values() for example in split]
            if rows:
                form.validate(field_names(rows))
            for example in rows:
                form.render(example.fields)
