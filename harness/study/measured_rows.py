"""The rows of a study in its prompts: how long they become, and what is refused of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.data.demonstrations import Demonstrations
from harness.data.label_words import is_labelled
from harness.data.tokenization import PromptForm, Reader
from harness.metrics.base import Metric
from harness.study.calibration_faults import refuse_uncalibrated
from harness.study.model_config import Description
from harness.study.problems import Problems
from harness.study.prompt_faults import refuse_faults, refuse_stored_rows, refuse_unrendered, refuse_without_fields
from harness.study.row_lengths import UNLIMITED, Fit, measure
from harness.study.settings import token_limits
from harness.study.spec import StudySpec
from harness.study.study_rows import StudyRows
from harness.study.task import Task
from harness.study.unequal_targets import refuse_hopeless, refuse_stop_texts, unequal_targets

__all__ = ["measured"]


def measured(
    study: StudySpec,
    task: Task,
    task_file: Path,
    prompts: Sequence[tuple[int, PromptForm]],
    metrics: tuple[Metric | str, ...],
    rows: StudyRows,
    description: Description | None,
    reader: Reader | None,
    demonstrations: Demonstrations,
    problems: Problems,
) -> tuple[tuple[Fit, ...], list[str]]:
    """Encode every row of a study in every prompt; return how prompts and targets fit, and what of it is a caution.

    Where rows cannot be encoded, prompts are filled in at least.

    Args:
        study: The study.
        task: Its task.
        task_file: Where that stands.
        prompts: With their places in the study file's list.
        metrics: The task's; a Hub metric is still a name.
        rows: As far as they could be read.
        description: Of the model; ``None``: it could not be read.
        reader: Stands for the model; likewise.
        demonstrations: What prompts pick theirs from.
        problems: Takes what is wrong.
    """
    examples = rows.examples
    refuse_without_fields(prompts, examples, problems)
    if not (rows.source and examples and reader and description):
        refuse_unrendered(prompts, examples, problems)
        return (), []
    limits = token_limits(study, task) if description.tokenizer_file else UNLIMITED
    refuse_stored_rows(study, prompts, problems)
    fits, cautions = measure(study, prompts, examples, reader, limits, demonstrations, problems)
    refuse_uncalibrated(prompts, fits, reader, limits, demonstrations, problems)
    if not all(is_labelled(form) for _, form in prompts):  # no text is compared with labels that are chosen
        refuse_stop_texts(study, task, examples, reader, problems)
        cautions += refuse_hopeless(unequal_targets(examples, reader, metrics), study, problems)
    refuse_faults(prompts, fits, rows.sample, study.data, task, task_file, problems)
    return fits, cautions
