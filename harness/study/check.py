"""Refusing before the work starts: everything about a study that can be known without its weights.

Every prompt is rendered on every example, every name is looked up, every length is measured with the model's own
tokenizer. All problems are reported at once, each with its place in the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from harness.core.closest_match import closest
from harness.core.errors import DataError, MetricError, TemplateError
from harness.core.example import SPLITS, Example, Split
from harness.data.sources import Source, open_source, read_split
from harness.data.tokenization import Limits, PromptForm, encode, prompt_limit
from harness.data.train_test_overlap import Overlap, overlaps, settled
from harness.metrics import get
from harness.metrics.base import Metric, metric_name
from harness.study.axes import AXES, Prompt
from harness.study.forgetting_texts import General, read_general
from harness.study.grid import Cell, baseline_cell, expand
from harness.study.load_study import StudyFile
from harness.study.model_config import Description, describe
from harness.study.problems import Problems
from harness.study.self_scores import self_scores
from harness.study.settings import model_location, stop_texts, token_limits
from harness.study.spec import StudySpec
from harness.study.task import Task, load_task
from harness.study.tokenizer_without_model import LightReader, light_reader
from harness.study.weights_on_disk import refuse_broken_weights

__all__ = ["Checked", "Fit", "check"]


class Fit(NamedTuple):
    """How a prompt's renderings fit into the token limit."""

    prompt: str
    longest: int
    """Tokens of the longest training prompt, after shortening."""
    truncated: float
    """Share of the training prompts that were shortened."""
    dropped: int
    """Training examples left out since their target is too long."""


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
    """The ids of the test split, all that is kept of it; empty where it was not opened."""
    description: Description
    fits: tuple[Fit, ...] = ()
    overlaps: tuple[Overlap, ...] = ()
    """What the splits have in common, before anything was dropped."""
    general: General = General()
    """What final runs measure beside the task."""
    cautions: tuple[str, ...] = ()
    """What a reader of the results must know, a sentence each."""

    @property
    def study(self) -> StudySpec:
        """The study file's content."""
        return self.file.study

    @property
    def cells(self) -> list[Cell]:
        """All cells in grid order."""
        return expand(self.study, self.prompts)

    @property
    def baseline(self) -> Cell:
        """The cell that others are compared with: the named one, else the first with ``full``, else the first."""
        return baseline_cell(self.study, self.cells)

    @property
    def objective(self) -> str:
        """What the search optimizes: a metric's name or ``loss``."""
        return self.study.search.metric or metric_name(self.metrics[0])


def check(file: StudyFile, *, test: bool = True) -> Checked:
    """Validate a study against its task, data and model, without weights.

    Args:
        file: A study file that was read.
        test: Whether to open the test split; a study without final runs never needs it.

    Raises:
        StudyError: All that would fail later.
    """
    study, problems = file.study, Problems(file)
    description = _description(study, problems)
    loaded = None
    with problems.at("task"):
        loaded = load_task(study.task)
    if loaded is None:
        problems.stop()
    assert loaded is not None
    task, task_file = loaded
    prompts = _prompts(study, task, problems)
    metrics = _metrics(study, task, problems)
    _baseline(study, problems)
    _tunings(study, description, problems)
    source, examples = _data(study, task, task_file, problems, test=test)
    found: tuple[Overlap, ...] = ()
    if "train" in examples:
        found = overlaps(examples)
        with problems.at("data", "on_overlap"):
            examples = settled(examples, found, study.data.on_overlap)
    if source and examples and description:
        fits = _lengths(file, task, prompts, examples, description, problems)
    else:
        _render(prompts, examples, problems)
    general = read_general(study, task.name, description, at=problems.at)
    problems.stop()
    assert source is not None
    assert description is not None
    forms = tuple(form for _, form in prompts)
    cautions = tuple(self_scores(metrics, [*examples["validation"], *examples.get("test", ())]))
    ids = tuple(example.id for example in examples.pop("test", ()))
    return Checked(
        file, task, task_file, forms, metrics, source, examples, ids, description, fits, found, general, cautions
    )


def _description(study: StudySpec, problems: Problems) -> Description | None:
    with problems.at("model"):
        place = model_location(study.model.name)
        description = describe(place, study.model.revision)
        refuse_broken_weights(Path(place).expanduser())
        return description
    return None


def _prompts(study: StudySpec, task: Task, problems: Problems) -> list[tuple[int, PromptForm]]:
    """Return the prompts that could be looked up, with their place in the list."""
    found = []
    for index, prompt in enumerate(study.prompts):
        with problems.at("prompts", index):
            form = _form(prompt, task)
            form.names()
            found.append((index, form))
    return found


def _form(prompt: Prompt, task: Task) -> PromptForm:
    if prompt.registered:
        from harness.tracking.mlflow.prompt_registry import prompt_of  # heavy, and most studies do without

        return prompt_of(prompt.registered, prompt.name)
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


def _baseline(study: StudySpec, problems: Problems) -> None:
    baseline = study.final.baseline
    if baseline is None:
        return
    known = {axis.name: [level.name for level in axis.levels(study)] for axis in AXES}
    for axis, name in baseline.levels.items():
        if name not in known[axis]:
            hint = closest(name, known[axis])
            problems.add(f"final.baseline names {axis} {name!r}; {hint}", "final", "baseline", axis)


def _tunings(study: StudySpec, description: Description | None, problems: Problems) -> None:
    for index, tuning in enumerate(study.tuning):
        if description and tuning.blocks and tuning.blocks > description.blocks:
            there = f"model {study.model.name!r} has {description.blocks} blocks"
            problems.add(f"{tuning.kind} is {tuning.blocks}, but {there}; lower it", "tuning", index)
    if study.model.dtype != "float32" and any(tuning.trains for tuning in study.tuning):
        low = f"model.dtype is {study.model.dtype}, in which small steps of what trains would be lost"
        problems.add(f"{low}; take float32, with training.precision: bf16 for speed", "model", "dtype")


def _data(
    study: StudySpec, task: Task, task_file: Path, problems: Problems, *, test: bool
) -> tuple[Source | None, dict[Split, list[Example]]]:
    source, examples = None, {}
    with problems.at("data"):
        source = open_source(study.data, task_file.parent / task.data)
    for split in SPLITS if source else ():
        if split == "test" and not test:
            continue
        with problems.at("data", split):
            examples[split] = read_split(source, split, study.data, task.example)
    return source, examples


def _render(prompts: list[tuple[int, PromptForm]], examples: dict[Split, list[Example]], problems: Problems) -> None:
    for index, form in prompts:
        with problems.at("prompts", index):
            for split in examples.values():
                for example in split:
                    form.validate(example.fields)
                    form.render(example.fields)


def _lengths(
    file: StudyFile,
    task: Task,
    prompts: list[tuple[int, PromptForm]],
    examples: dict[Split, list[Example]],
    description: Description,
    problems: Problems,
) -> tuple[Fit, ...]:
    """Encode every prompt and target as a run will, and say how they fit."""
    limits = token_limits(file.study, task)
    fits: list[Fit | None] = []
    with problems.at("model", "name"):
        reader = light_reader(description)
        with problems.at("training", "max_target_tokens"):
            prompt_limit(reader, limits)
            fits = [_fit(prompt, examples, reader, limits=limits, problems=problems) for prompt in prompts]
    _stops(file.study, task, examples, description, problems)
    return tuple(fit for fit in fits if fit)


def _fit(
    prompt: tuple[int, PromptForm],
    examples: dict[Split, list[Example]],
    reader: LightReader,
    *,
    limits: Limits,
    problems: Problems,
) -> Fit | None:
    index, form = prompt
    fit = None
    for split, rows in examples.items():
        try:
            for example in rows:
                form.validate(example.fields)
            encoded = encode(rows, form, reader, limits=limits, drop_long_targets=split == "train")
        except (DataError, TemplateError) as error:
            if isinstance(error, TemplateError) or isinstance(error.__cause__, TemplateError):
                problems.add(str(error), "prompts", index)
                break  # it would fail on the other splits as well
            problems.add(str(error), "data", split)
        else:
            if split == "train":
                longest = max(len(row.prompt) for row in encoded.rows)
                fit = Fit(form.name, longest, encoded.truncation_rate, encoded.dropped)
    return fit


def _stops(
    study: StudySpec, task: Task, examples: dict[Split, list[Example]], description: Description, problems: Problems
) -> None:
    """Refuse targets that a prediction could never equal, since it ends before the stop text in them."""
    for stop in stop_texts(study, task, is_encoder_decoder=description.is_encoder_decoder):
        for split, rows in examples.items():
            found = next((example for example in rows if stop in example.target.strip()), None)
            if found:
                problems.add(
                    f"{split} example {found.id!r} has the stop text {stop!r} in its target; set generation.stop",
                    *(("generation", "stop") if study.generation.stop else ("data",)),
                )
                break
