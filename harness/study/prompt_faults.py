"""Faults of prompts that make a comparison say nothing: no field, a target that is told, a text that changes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path

from harness.core.errors import TemplateError
from harness.core.example import Example, Split, field_names
from harness.data.data_keys import Data
from harness.data.demonstrations import pick_of, shots_of
from harness.data.sources import SourceRow
from harness.data.tokenization import PromptForm
from harness.study.problems import Problems
from harness.study.row_lengths import TOLD, Fit
from harness.study.spec import StudySpec
from harness.study.steady_prompts import unsteady
from harness.study.target_in_prompt import spread, told_targets
from harness.study.task import Task

__all__ = [
    "alike",
    "holding_targets",
    "measured_otherwise",
    "refuse_faults",
    "refuse_stored_rows",
    "refuse_unrendered",
    "refuse_without_fields",
    "stray_fields",
]

SAMPLE = 32
"""Rows that are rendered in several processes."""

_STRAY = "|".join(
    (
        r"\{{\s*[\"']?{0}[\"']?\s*\}}",
        r"\{{\{{\s*[\"']{0}[\"']\s*\}}\}}",
        r"\$\{{?{0}\b\}}?",
        r"%\({0}\)s",
        r"<{0}>",
        r"\[{0}\]",
        r"%{0}%",
        r"@{0}\b",
    )
)
"""How a field is written elsewhere: f-strings, format, shells, placeholders."""


def refuse_unrendered(
    prompts: Sequence[tuple[int, PromptForm]], examples: Mapping[Split, Sequence[Example]], problems: Problems
) -> None:
    """Add a problem for each prompt that cannot be rendered on every example."""
    for index, form in prompts:
        with problems.at("prompts", index):
            rows = list(chain.from_iterable(examples.values()))
            if rows:
                form.validate(field_names(rows))
            for example in rows:
                form.render(example.fields)


def refuse_without_fields(
    prompts: Sequence[tuple[int, PromptForm]], examples: Mapping[Split, Sequence[Example]], problems: Problems
) -> None:
    """Add a problem for each prompt that uses no field, and so would be the same for every row."""
    fields = _fields(examples)
    for place, prompt in prompts:
        with problems.at("prompts", place):
            if not prompt.names():
                rule = "uses no field, so every row would get the same text"
                raise TemplateError(f"prompt {prompt.name!r} {rule}; {_instead(prompt, fields)}")


def _fields(examples: Mapping[Split, Sequence[Example]]) -> list[str]:
    return field_names(chain.from_iterable(examples.values())) or ["source"]


def _instead(prompt: PromptForm, fields: Iterable[str]) -> str:
    stray = next(iter(_strays(prompt, fields)), None)
    if stray is None:
        return "write {{ source }} where the row's own text belongs"
    field, written = stray
    return f"write {{{{ {field} }}}} instead of {written}"


def _strays(prompt: PromptForm, fields: Iterable[str]) -> list[tuple[str, str]]:
    """Return the fields that a prompt's text names without using them, each as it is written there."""
    text = re.sub(r"\{\{(?!\s*[\"'])[^}]*\}\}", "", prompt.text)
    matches = [(field, re.search(_STRAY.format(re.escape(field)), text)) for field in fields]
    return [(field, match[0]) for field, match in matches if match]


def stray_fields(prompts: Iterable[PromptForm], examples: Mapping[Split, Sequence[Example]]) -> list[str]:
    """Return a sentence for each field that a prompt writes as another tool would, so that it stays plain text."""
    fields = _fields(examples)
    return [
        f"prompt {prompt.name} holds {written} as plain text; if the field is meant, write {{{{ {field} }}}}."
        for prompt in prompts
        if prompt.names()
        for field, written in _strays(prompt, fields)
        if field not in prompt.names()
    ]


def refuse_faults(
    prompts: Sequence[tuple[int, PromptForm]],
    fits: Sequence[Fit],
    rows: Sequence[SourceRow],
    data: Data,
    task: Task,
    task_file: Path,
    problems: Problems,
) -> None:
    """Add a problem for each prompt that is constant, tells the target, or is another one in another process.

    Args:
        prompts: With their places in the study file's list.
        fits: Of those that can be encoded; others are left out here.
        rows: Of the training split, or a sample that is spread over it.
        data: The study's section.
        task: The task.
        task_file: Where it stands.
        problems: Takes what is refused.
    """
    by_name = {fit.prompt: fit for fit in fits}
    places = {prompt.name: place for place, prompt in prompts}
    sound = [prompt for _, prompt in prompts if prompt.name in by_name]
    if not sound:
        return
    for prompt in sound:
        if by_name[prompt.name].constant and prompt.names():
            rule = (
                "renders the same text for every row, whatever its source; let it show {{ source }}, with room for it"
            )
            problems.add(f"prompt {prompt.name!r} {rule}", "prompts", places[prompt.name])
    differing = unsteady(sound, spread(rows, SAMPLE), data, task, task_file)
    for one in differing:
        problems.add(one.message, *(("task",) if one.prompt is None else ("prompts", places[one.prompt])))
    if any(one.prompt is None for one in differing):
        return  # whatever is exchanged, such examples move
    steady = [prompt for prompt in sound if prompt.name not in {one.prompt for one in differing}]
    for name, columns in told_targets(steady, rows, data, task.example).items():
        rule = f"changes with {columns}, which the target is made of, so the answer would stand in the question"
        problems.add(f"prompt {name!r} {rule}; leave it out", "prompts", places[name])


def refuse_stored_rows(study: StudySpec, prompts: Sequence[tuple[int, PromptForm]], problems: Problems) -> None:
    """Add a problem for each prompt whose stored model would hold training rows, where texts are kept off the store."""
    if study.tracking.texts or study.final.models == "none" or not study.final.seeds:
        return
    for place, prompt in prompts:
        if shots_of(prompt):
            why = "a stored model of it keeps the training rows that it picks from, but tracking.texts is false"
            problems.add(f"prompt {prompt.name!r}: {why}; set final.models: none", "prompts", place, "shots")


def measured_otherwise(prompts: Iterable[PromptForm]) -> list[str]:
    """Return a sentence for each prompt that picks what only the model's weights can tell."""
    return [
        f"prompt {prompt.name} picks its demonstrations by the model's embeddings, which are not loaded here: its "
        "lengths are those with BM25's picks."
        for prompt in prompts
        if pick_of(prompt) == "similar"
    ]


def alike(fits: Sequence[Fit]) -> list[str]:
    """Return a sentence for each set of prompts that read the same on every row."""
    sets: dict[str, list[str]] = {}
    for fit in fits:
        sets.setdefault(fit.texts, []).append(fit.prompt)
    return [
        f"Prompts {' and '.join(names)} read the same on every row: what their cells differ by is chance alone."
        for names in sets.values()
        if len(names) > 1
    ]


def holding_targets(fits: Sequence[Fit]) -> list[str]:
    """Return a sentence for each prompt that holds its target on many rows."""
    return [
        f"prompt {fit.prompt} holds the target word for word on {fit.with_target:.0%} of rows, whatever its case, or "
        "read backwards (as where answers are taken from the text or from a list in the prompt)."
        for fit in fits
        if fit.with_target >= TOLD
    ]
