"""Refusing before the work starts: everything about a study that can be known without its weights.

Every prompt is rendered on every example, every name is looked up, every length is measured with the model's own
tokenizer. All problems are reported at once, each with its place in the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.core.closest_match import closest
from harness.core.errors import MetricError
from harness.core.example import Example, Split, fingerprint
from harness.core.workspace import Workspace
from harness.data.demonstrations import Demonstrations
from harness.data.label_words import is_labelled
from harness.data.text_blocks import ids_of
from harness.data.tokenization import PromptForm, Reader
from harness.metrics import get
from harness.metrics.base import Metric, metric_name
from harness.metrics.try_metrics import try_metrics
from harness.study.adapter_base import unsure_base
from harness.study.adapter_faults import refuse_adapters
from harness.study.blind_scores import blind_scores
from harness.study.checked_model import checked_model
from harness.study.checked_study import Checked
from harness.study.compared_models import of_several
from harness.study.compared_settings import settings_compared
from harness.study.forgetting_texts import General, read_general
from harness.study.grid import expand
from harness.study.head_faults import refuse_heads
from harness.study.load_study import StudyFile
from harness.study.loss_kinds import loss_kinds
from harness.study.masked_models import masked_task, refuse_masked
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
from harness.study.prompt_lints import lint_prompts
from harness.study.run_places import try_places
from harness.study.search_faults import refuse_search
from harness.study.settings import refuse_least_over_most
from harness.study.size_notes import size_notes
from harness.study.spec import StudySpec
from harness.study.study_labels import with_labels
from harness.study.study_prompts import study_prompts
from harness.study.study_rows import StudyRows, study_rows
from harness.study.task import Task, load_task
from harness.study.text_splits import text_fits, text_rows
from harness.study.transfer_faults import refuse_transfer

__all__ = ["check"]


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
    task, task_file = _task(study, description, problems)
    prompts = study_prompts(study, task, problems)
    metrics = _metrics(study, task, problems)
    refuse_names(study, task, problems)
    notes = _searched(study, prompts, description, problems)
    notes += settings_compared(study, task, [form for _, form in prompts], metrics, description, problems)
    text, tokens = plain_form(study, task), workspace.tokens if workspace else None
    labelled = any(is_labelled(form) for _, form in prompts)
    rows = _rows(study, task, task_file, description, reader, tokens, problems, labelled=labelled, test=test)
    source, examples = rows.source, dict(rows.examples)
    kinds = loss_kinds(study, metrics, [form for _, form in prompts], problems)
    prompts, unlearned = with_labels(study, task, prompts, examples, rows.parts, reader, problems)
    demonstrations = Demonstrations(examples.get("train", ()))
    shown = {} if text else examples  # of blocks of text there is no prompt that they are filled in
    parts = study, task, task_file, prompts, metrics, rows, description, reader, demonstrations, problems
    fits, cautions = (text_fits(text, examples), []) if text else measured(*parts)
    _tried(metrics, examples, problems)
    general = General() if reader and reader.is_masked else read_general(study, task.name, reader, at=problems.at)
    problems.stop()
    assert source is not None and description is not None and reader is not None  # noqa: PT018  # else it has stopped
    forms = tuple(form for _, form in prompts)
    cautions += doubled_tokens(() if text else forms, examples["train"][0], reader)
    cautions += blind_scores(study, metrics, shown)
    notes += [*rows.notes, *size_notes(study)]
    notes += [*model_notes(study, task, description, reader, forms, shown), *measured_otherwise(forms)]
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
        cautions=(*cautions, *alike(fits), *unsure_base(study.model), *rows.cautions, *unlearned, *kinds),
        notes=(*file.placed.notes, *stray_fields(forms, shown), *holding_targets(fits), *notes),
        tokens=tokens,
        parts=rows.parts,
    )


def _task(study: StudySpec, description: Description | None, problems: Problems) -> tuple[Task, Path]:
    """Return the task as the study's model is scored by it, and its file."""
    loaded = None
    with problems.at("task"):
        loaded = load_task(study.task)
    if loaded is None:
        problems.stop()
    assert loaded is not None
    for one in study.by_setting():
        with problems.at("generation", "min_new_tokens"):
            refuse_least_over_most(one, loaded[0])
    refuse_masked(study, loaded[0], description, problems)
    return masked_task(study, loaded[0], description), loaded[1]


def _rows(
    study: StudySpec,
    task: Task,
    task_file: Path,
    description: Description | None,
    reader: Reader | None,
    tokens: Path | None,
    problems: Problems,
    *,
    labelled: bool,
    test: bool,
) -> StudyRows:
    """Read the rows of a study, or the blocks of its text."""
    if text := plain_form(study, task):
        refuse_plain(study, task, text, description, reader, problems)
        return text_rows(study, task, task_file, text, reader, tokens, problems, test=test)
    end = reader.tokenizer.eos_token if reader else None
    return study_rows(study, task, task_file, end, problems, labelled=labelled, test=test)


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
    refuse_heads(study, prompts, problems)
    refuse_transfer(study, [form for _, form in prompts], problems)
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
