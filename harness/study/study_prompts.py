"""The prompts of a study, looked up: written in it, named in its task, or in the store's Prompt Registry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.core.closest_match import closest
from harness.core.errors import TemplateError
from harness.data.label_words import Answers, Calibration, answers_of, is_labelled
from harness.data.prompt_mixture import PromptMixture, parts_of
from harness.data.template import Template
from harness.data.tokenization import PromptForm
from harness.study.axes import Prompt
from harness.study.load_study import StudyFile
from harness.study.plain_tasks import plain_form, refuse_without_prompts
from harness.study.problems import Problems
from harness.study.spec import StudySpec
from harness.study.task import Task

__all__ = ["study_prompts"]

SAID: dict[Answers, str] = {"generate": "a text", "head": "a classification head"}


def study_prompts(study: StudySpec, task: Task, problems: Problems) -> list[tuple[int, PromptForm]]:
    """Return the prompts that could be looked up, each with its place in the study's list; plain text has one."""
    if text := plain_form(study, task):
        return [(0, text)]
    refuse_without_prompts(study, task, problems)
    found: list[tuple[int, PromptForm]] = []
    mixed: list[tuple[int, Prompt]] = []
    for place, prompt in enumerate(study.prompts):
        with problems.at("prompts", place):
            for one in prompt.combinations():
                if one.mixture is not None:
                    mixed.append((place, one))
                    continue
                form = _answered(_form(one, task, problems.file), one, study, task)
                form.names()
                found.append((place, form))
    for place, prompt in mixed:  # of prompts that may stand behind it
        with problems.at("prompts", place):
            found.append((place, _mixture(prompt, [form for _, form in found])))
    return sorted(found, key=lambda one: one[0])


def _mixture(prompt: Prompt, forms: Sequence[PromptForm]) -> PromptMixture:
    """Return a mixture of some of the study's other prompts."""
    there, parts = {form.name: form for form in forms if not parts_of(form)}, list[Template]()
    names = prompt.mixture or ()
    if len(set(names)) < len(names):
        raise TemplateError(f"prompt {prompt.name!r} mixes {', '.join(names)}; name each once")
    for name in names:
        form = there.get(name)
        if form is None:
            raise TemplateError(
                f"prompt {prompt.name!r} mixes {name!r}, which is no prompt of this study; {closest(name, there)}"
            )
        if why := _unmixed(form):
            raise TemplateError(f"prompt {prompt.name!r} mixes {name!r}, which {why}, or leave it out of the mixture")
        assert isinstance(form, Template)
        parts.append(form)
    return PromptMixture(prompt.name, tuple(parts))


def _unmixed(form: PromptForm) -> str | None:
    """Return why a prompt cannot be mixed, and what to do; ``None`` where it can."""
    if is_labelled(form):
        return (
            f"has answers: {answers_of(form)}, and a mixture is of prompts that are answered by texts: say answers: "
            "generate with each of them"
        )
    if not isinstance(form, Template):
        return "is a chat, and a mixture is of texts: write it as text"
    if form.shots:
        return "shows demonstrations, and the prompts of a mixture show none: take its shots away"
    return None


def _answered(form: PromptForm, prompt: Prompt, study: StudySpec, task: Task) -> PromptForm:
    """Return a prompt that says how it is answered, if that is by a label.

    Raises:
        TemplateError: Its form knows no other answers than texts, or there is nothing to calibrate.
    """
    written: Answers | None = prompt.answers or getattr(form, "answers", None)
    answers = written or study.answers or task.answers
    if answers == "head" and (getattr(form, "has_mask", False) or getattr(form, "is_cloze", False)):
        rule = "has a place to fill, which a classification head reads as any other token; leave it out of its text"
        raise TemplateError(f"prompt {form.name!r} is answered by a head, but {rule}")
    calibration: Calibration | None = prompt.calibration or getattr(form, "calibration", None)
    if calibration and answers != "likelihood":
        rule = f"is of the likelihoods of labels' words, and it is answered by {SAID[answers]}"
        remedy = "set answers: likelihood with it, or leave calibration out"
        raise TemplateError(f"prompt {form.name!r} has calibration: {calibration}, which {rule}; {remedy}")
    if "answers" in form.__dataclass_fields__:
        own = {"calibration": calibration} if calibration else {}
        return replace(form, answers=None if answers == "generate" else answers, **own)
    if answers != "generate":
        rule = f"is of a form that is answered by texts alone, not by {answers}; say answers: generate with it"
        raise TemplateError(f"prompt {form.name!r} {rule}")
    return form


def _form(prompt: Prompt, task: Task, file: StudyFile) -> PromptForm:
    if prompt.registered:
        from harness.tracking.mlflow.prompt_registry import prompt_of  # heavy, and most studies do without

        return prompt_of(prompt.registered, prompt.name, file.address.store)
    return prompt.form() or task.prompt(prompt.name)
