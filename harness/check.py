"""Refusing before the work starts: everything about a study that can be known without its weights.

Every prompt is rendered on every example, every name is looked up, every length is measured with the model's own
tokenizer. All problems are reported at once, each with its place in the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from harness.cells import Cell, expand
from harness.encoding import Limits, encode, prompt_limit
from harness.errors import DataError, MetricError, ModelError, Problem, StudyError, TaskError, TemplateError, closest
from harness.example import SPLITS, Example, Split
from harness.factors import Prompt
from harness.generality import General, read_general
from harness.metrics import get
from harness.metrics.base import Metric
from harness.models.describe import Description, describe
from harness.overlap import Overlap, overlaps, settled
from harness.settings import LightReader, light_reader, model_location, stop_texts, token_limits
from harness.sources import Source, open_source, read_split
from harness.study import Study
from harness.study_file import StudyFile
from harness.task import Task, load_task
from harness.template import Template

__all__ = ["Checked", "Fit", "check", "metric_name"]


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
    prompts: tuple[Template, ...]
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

    @property
    def study(self) -> Study:
        """The study file's content."""
        return self.file.study

    @property
    def cells(self) -> list[Cell]:
        """All cells in grid order."""
        return expand(self.study, self.prompts)

    @property
    def objective(self) -> str:
        """What the search optimizes: a metric's name or ``loss``."""
        return self.study.search.metric or metric_name(self.metrics[0])


def metric_name(metric: Metric | str) -> str:
    """Return the name that tables and logs use."""
    return metric if isinstance(metric, str) else metric.name


@dataclass
class _Findings:
    file: StudyFile
    problems: list[Problem] = field(default_factory=list)

    @contextmanager
    def at(self, *keys: str | int) -> Iterator[None]:
        """Turn an error raised inside into a problem at that place of the file."""
        try:
            yield
        except (DataError, MetricError, ModelError, TaskError, TemplateError) as error:
            self.add(str(error), *keys)

    def add(self, message: str, *keys: str | int) -> None:
        problem = Problem(self.file.place(*keys), message)
        if problem not in self.problems:  # one target may be too long for every prompt
            self.problems.append(problem)

    def stop(self) -> None:
        if self.problems:
            raise StudyError(self.problems)


def check(file: StudyFile, *, test: bool = True) -> Checked:
    """Validate a study against its task, data and model, without weights.

    Args:
        file: A study file that was read.
        test: Whether to open the test split; a study without final runs never needs it.

    Raises:
        StudyError: All that would fail later.
    """
    study, findings = file.study, _Findings(file)
    description = _description(study, findings)
    loaded = None
    with findings.at("task"):
        loaded = load_task(study.task)
    if loaded is None:
        findings.stop()
    assert loaded is not None
    task, task_file = loaded
    prompts = _prompts(study, task, findings)
    metrics = _metrics(study, task, findings)
    _baseline(study, findings)
    _tunings(study, description, findings)
    source, examples = _data(study, task, task_file, findings, test=test)
    found: tuple[Overlap, ...] = ()
    if "train" in examples:
        found = overlaps(examples)
        with findings.at("data", "on_overlap"):
            examples = settled(examples, found, study.data.on_overlap)
    if source and examples and description:
        fits = _lengths(file, task, prompts, examples, description, findings)
    else:
        _render(prompts, examples, findings)
    general = read_general(study, task.name, description, at=findings.at)
    findings.stop()
    assert source is not None
    assert description is not None
    templates = tuple(template for _, template in prompts)
    ids = tuple(example.id for example in examples.pop("test", ()))
    return Checked(file, task, task_file, templates, metrics, source, examples, ids, description, fits, found, general)


def _description(study: Study, findings: _Findings) -> Description | None:
    with findings.at("model"):
        return describe(model_location(study.model.name), study.model.revision)
    return None


def _prompts(study: Study, task: Task, findings: _Findings) -> list[tuple[int, Template]]:
    """Return the prompts that could be looked up, with their place in the list."""
    found = []
    for index, prompt in enumerate(study.prompts):
        with findings.at("prompts", index):
            template = _template(prompt, task)
            template.names()
            found.append((index, template))
    return found


def _template(prompt: Prompt, task: Task) -> Template:
    if prompt.registered:
        from harness.tracking.prompts import prompt_of  # heavy, and most studies do without

        return prompt_of(prompt.registered, prompt.name)
    return task.prompt(prompt.name) if prompt.text is None else prompt.template()


def _metrics(study: Study, task: Task, findings: _Findings) -> tuple[Metric | str, ...]:
    found: list[Metric | str] = []
    for metric in task.metrics:
        hub = isinstance(metric, str) and metric.startswith("evaluate:")
        try:
            found.append(metric if hub or isinstance(metric, Metric) else get(metric))
        except MetricError as error:
            findings.add(f"task {task.name!r}: {error}", "task")
    names = [metric_name(metric) for metric in found]
    if study.search.metric not in (None, "loss", *names):
        hint = closest(str(study.search.metric), ["loss", *names])
        findings.add(
            f"search.metric {study.search.metric!r} is no metric of task {task.name!r}; {hint}", "search", "metric"
        )
    return tuple(found)


def _baseline(study: Study, findings: _Findings) -> None:
    baseline = study.final.baseline
    if baseline is None:
        return
    prompts, tunings = [prompt.name for prompt in study.prompts], [tuning.name for tuning in study.tunings()]
    for factor, name, known in (("prompt", baseline.prompt, prompts), ("tuning", baseline.tuning.name, tunings)):
        if name not in known:
            hint = closest(name, known)
            findings.add(f"final.baseline names {factor} {name!r}; {hint}", "final", "baseline", factor)


def _tunings(study: Study, description: Description | None, findings: _Findings) -> None:
    for index, tuning in enumerate(study.tuning):
        if description and tuning.blocks and tuning.blocks > description.blocks:
            there = f"model {study.model.name!r} has {description.blocks} blocks"
            findings.add(f"last_blocks is {tuning.blocks}, but {there}; lower it", "tuning", index)
    if study.model.dtype != "float32" and any(tuning.trains for tuning in study.tuning):
        low = f"model.dtype is {study.model.dtype}, in which small steps of what trains would be lost"
        findings.add(f"{low}; take float32, with training.precision: bf16 for speed", "model", "dtype")


def _data(
    study: Study, task: Task, task_file: Path, findings: _Findings, *, test: bool
) -> tuple[Source | None, dict[Split, list[Example]]]:
    source, examples = None, {}
    with findings.at("data"):
        source = open_source(study.data, task_file.parent / task.data)
    for split in SPLITS if source else ():
        if split == "test" and not test:
            continue
        with findings.at("data", split):
            examples[split] = read_split(source, split, study.data, task.example)
    return source, examples


def _render(prompts: list[tuple[int, Template]], examples: dict[Split, list[Example]], findings: _Findings) -> None:
    for index, template in prompts:
        with findings.at("prompts", index):
            for split in examples.values():
                for example in split:
                    template.validate(example.fields)
                    template.render(example.fields)


def _lengths(
    file: StudyFile,
    task: Task,
    prompts: list[tuple[int, Template]],
    examples: dict[Split, list[Example]],
    description: Description,
    findings: _Findings,
) -> tuple[Fit, ...]:
    """Encode every prompt and target as a run will, and say how they fit."""
    limits = token_limits(file.study, task)
    fits: list[Fit | None] = []
    with findings.at("model", "name"):
        reader = light_reader(description)
        with findings.at("training", "max_target_tokens"):
            prompt_limit(reader, limits)
            fits = [_fit(prompt, examples, reader, limits=limits, findings=findings) for prompt in prompts]
    _stops(file.study, task, examples, description, findings)
    return tuple(fit for fit in fits if fit)


def _fit(
    prompt: tuple[int, Template],
    examples: dict[Split, list[Example]],
    reader: LightReader,
    *,
    limits: Limits,
    findings: _Findings,
) -> Fit | None:
    index, template = prompt
    fit = None
    for split, rows in examples.items():
        try:
            for example in rows:
                template.validate(example.fields)
            encoded = encode(rows, template, reader, limits=limits, drop_long_targets=split == "train")
        except (DataError, TemplateError) as error:
            if isinstance(error, TemplateError) or isinstance(error.__cause__, TemplateError):
                findings.add(str(error), "prompts", index)
                break  # it would fail on the other splits as well
            findings.add(str(error), "data", split)
        else:
            if split == "train":
                longest = max(len(row.prompt) for row in encoded.rows)
                fit = Fit(template.name, longest, encoded.truncation_rate, encoded.dropped)
    return fit


def _stops(
    study: Study, task: Task, examples: dict[Split, list[Example]], description: Description, findings: _Findings
) -> None:
    """Refuse targets that a prediction could never equal, since it ends before the stop text in them."""
    for stop in stop_texts(study, task, is_encoder_decoder=description.is_encoder_decoder):
        for split, rows in examples.items():
            found = next((example for example in rows if stop in example.target.strip()), None)
            if found:
                findings.add(
                    f"{split} example {found.id!r} has the stop text {stop!r} in its target; set generation.stop",
                    *(("generation", "stop") if study.generation.stop else ("data",)),
                )
                break
