"""What commands print with ``--json``, as plain values; docs/json.md has the fields, which keep their names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.core.example import Example
from harness.data.choice_rows import choice_of
from harness.data.content_free import content_free_rows
from harness.data.demonstrations import Demonstrations
from harness.data.label_words import calibration_of, is_labelled, labels_of
from harness.data.tokenization import Limits, PromptForm, prompt_limit
from harness.study.chat_notes import dates
from harness.study.checked_study import Checked
from harness.study.decoding_origins import decoding_settings
from harness.study.generation_keys import NamedGeneration
from harness.study.search_faults import search_plan
from harness.study.settings import token_limits
from harness.study.spec import StudySpec

if TYPE_CHECKING:
    from harness.models.load import Loaded
    from harness.runner.planning.planned_work import Plan

__all__ = ["check_data", "plan_data", "show_data"]

PLANNED = ("trials", "finals", "steps", "fewest", "trainable", "parameters", "seconds")
"""What is told of a planned cell."""


def check_data(checked: Checked, duplicates: list[str]) -> dict[str, Any]:
    """Return what `harness check` says."""
    study, sizes = checked.study, {split: len(rows) for split, rows in checked.examples.items()}
    cells = [_checked_cell(checked, cell) for cell in checked.cells]
    return {
        "study": study.name,
        "task": checked.task.name,
        "source": checked.source.origin,
        "splits": {**sizes, "test": len(checked.test_ids)},
        "objective": checked.objective,
        "baseline": checked.baseline.id,
        "prompts": [
            {"prompt": fit.prompt, "longest": fit.longest, "shortened": fit.truncated, "dropped": fit.dropped}
            | ({"shots": fit.shots, "least_shots": fit.least_shots} if fit.shots or fit.few_shots else {})
            for fit in checked.fits
        ],
        "cells": cells,
        "runs": sum(cell["trials"] + cell["finals"] for cell in cells),
        "duplicates": duplicates,
        "cautions": checked.cautions,
        "notes": checked.notes,
        "lints": [lint._asdict() for lint in checked.lints],
    }


def _checked_cell(checked: Checked, cell: Any) -> dict[str, Any]:
    trains = cell.tuning.trains
    return {
        "cell": cell.id,
        "levels": cell.levels,
        "trains": trains,
        "trials": search_plan(cell, checked.study, checked.cells).trials if trains else 0,
        "finals": len(checked.study.final.seeds) if trains else 1,
    }


def plan_data(made: Plan) -> dict[str, Any]:
    """Return what `harness plan` says."""
    return {
        "cells": [{"cell": cell.id, **{name: getattr(cell, name) for name in PLANNED}} for cell in made.cells],
        "seconds": made.seconds,
        "peak_memory_mib": made.peak_memory_mib,
        "recordings_mib": made.forecast.recordings_mib,
        "models": made.models,
        "file": made.file,
    }


def show_data(checked: Checked) -> dict[str, Any]:
    """Return what `harness show` says, of each of several models; loads them."""
    if not checked.models:
        return _of_residents(checked)
    models = {name: _of_residents(one) for name, one in checked.models.items()}
    return {"study": checked.study.name, "models": models}


def _of_residents(checked: Checked) -> dict[str, Any]:
    """Return what is shown of a model, with what is so of it under a classification head, where it is both."""
    residents = checked.residents
    if len(residents) == 1:
        return _shown(checked)
    (head,) = [one for one in residents.values() if one.head]
    (other,) = [one for one in residents.values() if not one.head]
    return {**_shown(other), "head": _shown(head)}


def _shown(checked: Checked) -> dict[str, Any]:
    from harness.models.apply_tuning import apply, first_block, reset
    from harness.models.load import load_study_model
    from harness.models.source_vectors import with_vectors

    loaded, tunings = load_study_model(checked.study.model, checked.head), []
    for tuning in checked.study.tunings():
        first = first_block(loaded.model, tuning)
        trainable = apply(loaded.model, tuning)
        rows = [{"part": row.part, "parameters": row.parameters, "trainable": row.trainable} for row in trainable.rows]
        counts = {"trainable": trainable.trainable, "parameters": trainable.total}
        said = {"parts": rows, "first_block": first, "notes": trainable.notes}
        tunings.append({"tuning": tuning.name, **counts, **said})
        reset(loaded.model, trainable)
    example, limits = checked.examples["train"][0], token_limits(checked.study, checked.task)
    demonstrations = with_vectors(checked.demonstrations, checked.prompts, loaded)
    prompts, told = [], dates(checked.prompts, loaded)
    for prompt in checked.prompts:
        (shown,) = demonstrations.attached(prompt, [example], of_train=True)
        if is_labelled(prompt):
            prompts.append(_chosen_from(prompt, shown, loaded, limits, demonstrations))
            continue
        row, _ = prompt.tokenize(shown, loaded, limit=prompt_limit(loaded, limits))
        text = {"prompt": prompt.name, "text": prompt.render(example.fields, shown.shots), "target": example.target}
        tokens = {"prompt_tokens": list(row.prompt), "target_tokens": list(row.target)}
        trained = [False] * len(row.prompt) + [True] * len(row.target)
        date = {"date": told[prompt.name]} if prompt.name in told else {}
        prompts.append({**text, **tokens, "trained": trained, **date})
    generation = [
        {**_level(one), "setting": each.name, "value": each.value, "source": each.source, "checkpoint": each.asked}
        for one in checked.study.by_setting()
        for each in decoding_settings(one, checked.task, checked.description)
        if not all(map(is_labelled, checked.prompts))
    ]
    return {"study": checked.study.name, "tunings": tunings, "prompts": prompts, "generation": generation}


def _level(study: StudySpec) -> dict[str, str]:
    """Return what a study's setting of generation is called, where several are compared."""
    return {"generation": study.generation.name} if isinstance(study.generation, NamedGeneration) else {}


def _chosen_from(
    prompt: PromptForm, example: Example, loaded: Loaded, limits: Limits, demonstrations: Demonstrations
) -> dict[str, Any]:
    """Return an example of a prompt that is answered by a label, with the tokens of each label's words."""
    choice, text = choice_of(example, prompt, loaded, limits)
    labels = {
        label.name: [list(word.tokens) for word in choice.words if word.label == place]
        for place, label in enumerate(labels_of(prompt))
    }
    free = content_free_rows(prompt, loaded, demonstrations, limits=limits) if calibration_of(prompt) else None
    calibrated = {"calibrated_by": [list(choice.rows[0].prompt) for choice in free.choices]} if free else {}
    return {
        "prompt": prompt.name,
        "text": text,
        "target": example.target,
        "prompt_tokens": list(choice.rows[0].prompt),
        "labels": labels,
        **calibrated,
    }
