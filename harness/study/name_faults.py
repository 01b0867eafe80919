"""Names in a study file that mean nothing there, or that something else has."""

from __future__ import annotations

import re

from harness.core.closest_match import closest
from harness.study.axes import AXES
from harness.study.problems import Problems
from harness.study.spec import StudySpec
from harness.study.task import Task
from harness.tracking.schema import prompt_name

__all__ = ["refuse_names"]


def refuse_names(study: StudySpec, task: Task, problems: Problems) -> None:
    """Note a baseline that is no cell of the grid, and a model that is to be registered under a prompt's name."""
    _refuse_baseline(study, problems)
    _refuse_registered_as(study, task, problems)


def _refuse_baseline(study: StudySpec, problems: Problems) -> None:
    baseline = study.final.baseline
    if baseline is None:
        return
    known = {axis.name: [level.name for level in axis.levels(study)] for axis in AXES}
    for axis, name in baseline.levels.items():
        if name not in known[axis]:
            hint = closest(name, known[axis]) if known[axis] else f"{axis} is no axis of the study; leave it out"
            problems.add(f"final.baseline names {axis} {name!r}; {hint}", "final", "baseline", axis)


def _refuse_registered_as(study: StudySpec, task: Task, problems: Problems) -> None:
    """Note the name of one of the study's own prompts: MLflow has one list of names for prompts and models."""
    named = [re.split("[/@]", uri.removeprefix("prompts:/"))[0] for p in study.prompts if (uri := p.registered)]
    taken = {
        *named,
        *(prompt_name(task.name, prompt.name) for prompt in study.prompt_levels() if not prompt.registered),
    }
    if study.registered_as in taken:
        what = f"the best model cannot be registered as {study.registered_as!r}: a prompt of the study is"
        problems.add(f"{what}; set final.registered_as to another name, or to null", "final", "registered_as")
