"""What was run, when and at which settings, and where its best model is."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from pydantic import ValidationError

from harness.core.absent_value import NONE
from harness.core.passwords import masked
from harness.core.plain_json import plain
from harness.core.plain_yaml import yaml_text
from harness.core.workspace import HERE
from harness.data.template import Template
from harness.report.number_format import amount
from harness.report.templates import count
from harness.results.cell_result import CellResult
from harness.results.collect import Results
from harness.study.spec import StudySpec, Training
from harness.study.study_text import study_text
from harness.study.tuning import Tuning
from harness.tracking.schema import Params

__all__ = ["BestModel", "best_model", "kept_off", "prompt_texts", "study_facts", "study_file"]


class BestModel(NamedTuple):
    """The stored model of the final run that was kept as the best."""

    uri: str
    cell: str | None
    reason: str
    """Why it is that run's; empty in older stores."""
    command: str
    """Has it answer a file."""
    python: str
    """Loads it."""


def study_facts(results: Results) -> dict[str, str]:
    """Return the facts for the head of a report, by name; what the store does not say is left out."""
    facts = {
        "date": _date(results.started),
        "model": _model(results),
        "weights": _weights(results),
        **_length(results),
        "batch size": _setting(results, "batch_size"),
        **{
            key.replace("_", " "): _unusual(results, key)
            for key in ("loss", "label_smoothing", "optimizer", "block_decay")
        },
        "runs": _runs(results),
    }
    return {name: value for name, value in facts.items() if value}


def _date(started: float) -> str:
    return "" if math.isnan(started) else f"{datetime.fromtimestamp(started, UTC):%Y-%m-%d}"


def _model(results: Results) -> str:
    if models := results.settings.get("models"):
        return ", ".join(f"{one['name']} as {one['as']}" if one.get("as") else str(one["name"]) for one in models)
    said = results.settings.get("model", {})
    name, adapter = str(said.get("name", "")), said.get("adapter")
    named = f"{name} (the small one that comes with the harness)" if name == "embedded" else name
    return f"{named}, with the adapter {adapter} merged in" if adapter else named


def _length(results: Results) -> dict[str, str]:
    """Return how long a run trains, and how often it is scored where that is not each epoch."""
    said = results.settings.get("training", {})
    unit = "steps" if said.get("steps") else "epochs"
    every = {"scored": f"every {count(said['evaluate_every'], 'step')}"} if said.get("evaluate_every") else {}
    return {unit: _setting(results, unit), **every}


def _setting(results: Results, key: str) -> str:
    """Return a key of the study's training section; several values where cells differ in it."""
    name = f"{Params.TRAINING}{key}"
    values = dict.fromkeys(cell.params.get(name, NONE) for cell in results.cells)
    values.pop(NONE, None)
    return ", ".join(values) or str(results.settings.get("training", {}).get(key, ""))


def _unusual(results: Results, key: str) -> str:
    """Return a key of the training section where it is not as in a study that leaves it out."""
    value = _setting(results, key)
    return "" if value == str(Training.model_fields[key].default) else value


def _weights(results: Results) -> str:
    """Return how many weights each tuning trains, of how many, of which model and under which prompts if it differs."""
    cells = sorted((cell for cell in results.cells if cell.trainable and cell.parameters), key=_trained)
    by_model, by_prompt = _differing(cells, "model", "prompt"), _differing(cells, "prompt", "model")
    prompts: dict[tuple[str, str, tuple[int, int]], dict[str, None]] = {}
    for cell in cells:
        of = f" of {cell.factors['model']}" if cell.tuning in by_model else ""
        under = prompts.setdefault((cell.tuning, of, _trained(cell)), {})
        under |= {cell.factors["prompt"]: None} if cell.tuning in by_prompt else {}
    return "; ".join(
        f"{tuning}{of}{_under(under)} trains {amount(trained)} of {amount(whole)}"
        for (tuning, of, (trained, whole)), under in prompts.items()
    )


def _under(prompts: Collection[str]) -> str:
    return f" under {', '.join(prompts)}" if prompts else ""


def _trained(cell: CellResult) -> tuple[int, int]:
    """Return how many weights of a cell train, and how many there are."""
    return cell.trainable or 0, cell.parameters or 0


def _differing(cells: Sequence[CellResult], axis: str, other: str) -> set[str]:
    """Return the tunings that train other numbers of weights at other levels of an axis, those of another one alike."""
    counts: dict[tuple[str, str], set[tuple[int, int]]] = {}
    for cell in cells:
        if axis in cell.factors:
            counts.setdefault((cell.tuning, cell.factors.get(other, "")), set()).add(_trained(cell))
    return {tuning for (tuning, _), found in counts.items() if len(found) > 1}


def _runs(results: Results) -> str:
    trials = sum(len(cell.trials) for cell in results.cells)
    finals = sum(len(cell.finals) for cell in results.cells)
    return ", ".join(map(count, (len(results.cells), trials, finals), ("cell", "trial", "final run")))


def study_file(results: Results) -> str:
    """Return a study file with all defaults, which is read as the same study; passwords are hidden."""
    if not results.settings:
        return ""
    try:
        tunings = [Tuning.model_validate(one) for one in results.settings.get("tuning", ())]
        said = {key: value for key, value in results.settings.items() if key != "prompts" or value}
        final = dict(said.get("final", {}))
        if baseline := final.get("baseline"):
            final["baseline"] = {**baseline, "tuning": Tuning.model_validate(baseline["tuning"])}
        study = StudySpec.model_validate({**said, "tuning": tunings, "final": final})
    except ValidationError:  # of an earlier version
        return masked(yaml_text(plain(results.settings)))
    return masked(study_text(study, defaults=True))


def best_model(results: Results) -> BestModel | None:
    """Return where the best model is, ``None`` where none is stored."""
    uri, cell = results.kept.model, results.kept.cell
    if uri is None:
        return None
    command = f"harness predict {results.study} --input rows.jsonl --output answers.jsonl"
    return BestModel(uri, cell, results.kept.reason, command, f'model = mlflow.pyfunc.load_model("{uri}")')


def kept_off(results: Results) -> str:
    """Return where predictions are that the store has no texts of; empty where it has all."""
    if not (results.answers and results.answers.kept_off):
        return ""
    folder = HERE.texts(results.study)
    return (
        f"Examples and predictions stay off the store (tracking.texts: false): where the study was run, see {folder}."
    )


def prompt_texts(results: Results) -> list[tuple[str, str, str, str]]:
    """Return each prompt's name and text, what it makes of a row, and of which one; nothing of plain text.

    That is the first validation row where it has demonstrations, else the first test row where the source is enough.
    """
    example = results.answers.examples[0] if results.answers and not results.answers.kept_off else None
    prompts = []
    for name, text in {}.items() if results.is_text else results.prompts.items():
        form = results.forms.get(name, Template(name, text))
        enough = form is not None and example is not None and form.names() <= example.fields.keys()
        if name in results.filled:
            prompts.append((name, text, results.filled[name], "the first validation row and its demonstrations"))
            continue
        filled = form.render(example.fields) if form and example and enough else ""
        prompts.append((name, text, filled, example.id if example else ""))
    return prompts
