"""The prompts of a study, looked up: written in it, named in its task, or in the store's Prompt Registry."""

from __future__ import annotations

from harness.data.tokenization import PromptForm
from harness.study.axes import Prompt
from harness.study.load_study import StudyFile
from harness.study.plain_tasks import plain_form, refuse_without_prompts
from harness.study.problems import Problems
from harness.study.spec import StudySpec
from harness.study.task import Task

__all__ = ["study_prompts"]


def study_prompts(study: StudySpec, task: Task, problems: Problems) -> list[tuple[int, PromptForm]]:
    """Return the prompts that could be looked up, each with its place in the study's list; plain text has one."""
    if text := plain_form(study, task):
        return [(0, text)]
    refuse_without_prompts(study, task, problems)
    found = []
    for place, prompt in enumerate(study.prompts):
        with problems.at("prompts", place):
            for one in prompt.combinations():
                form = _form(one, task, problems.file)
                form.names()
                found.append((place, form))
    return found


def _form(prompt: Prompt, task: Task, file: StudyFile) -> PromptForm:
    if prompt.registered:
        from harness.tracking.mlflow.prompt_registry import prompt_of  # heavy, and most studies do without

        return prompt_of(prompt.registered, prompt.name, file.address.store)
    return prompt.form() or task.prompt(prompt.name)
