"""What every run of a study carries: params, tags, the data it read, the prompt it used, its cell's digest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.core.example import Example, Split, fingerprint
from harness.core.provenance import provenance
from harness.metrics.base import Metric
from harness.report.charts.palette import COLORS
from harness.runner.resume.missing_runs import StudyRuns
from harness.study.check import Checked
from harness.study.factors import Prompt
from harness.study.grid import Cell, cell_digests, cell_study, edition
from harness.study.search_space import SearchSpace
from harness.tracking.mlflow.ui_views import COLOR
from harness.tracking.store_protocols import DataUse, Registered, Tracker
from harness.training.trainer import ModelFacts

__all__ = ["alias_winner", "data_use", "split_sizes", "study_runs"]


def study_runs(checked: Checked, facts: ModelFacts, metrics: Sequence[Metric], tracker: Tracker) -> StudyRuns:
    """Return the runs of a study: those in the store, and what those to come will carry.

    Args:
        checked: The study.
        facts: Of its model.
        metrics: Its task's, looked up.
        tracker: The store.
    """
    data = {split: fingerprint(examples) for split, examples in checked.examples.items()}
    identity = {
        "task": checked.task.name,
        "weights": facts.weights,
        "architecture": facts.architecture,
        "tokenizer": facts.tokenizer,
        "data": data,
        "limits": facts.limits,
        "decoding": facts.decoding,
        "metrics": [metric.signature() for metric in metrics],
    }
    digests = cell_digests(checked.cells, checked.study, identity)
    prompts = {prompt.name: _registered(prompt, checked, tracker) for prompt in checked.study.prompts}
    return StudyRuns(
        tracker,
        digests,
        params={cell.id: _params(cell, checked, facts) for cell in checked.cells},
        tags=_tags(checked, facts, data) | {"edition": edition(checked.study, digests)},
        links={cell.id: {**prompts[cell.prompt.name].link, **_color(cell, checked)} for cell in checked.cells},
        data={split: data_use(checked, split, examples) for split, examples in checked.examples.items()},
    )


def _params(cell: Cell, checked: Checked, facts: ModelFacts) -> dict[str, Any]:
    """Return every factor of a cell, by the names that the MLflow UI shows."""
    study = cell_study(checked.study, cell)
    trainable, total = facts.parameters[cell.id]
    searched = SearchSpace.of(study).names  # a run's own params say these
    training = study.training.model_dump(exclude={"device"})
    settings = {f"training.{name}": value for name, value in training.items()}
    return {
        "task": checked.task.name,
        "model": study.model.name,
        **cell.levels,
        "trainable_parameters": trainable,
        "parameters": total,
        **{f"data.{split}": size for split, size in split_sizes(checked).items()},
        **{name: value for name, value in settings.items() if name not in searched},
        "model.dtype": study.model.dtype,
        "search.sampler": study.search.sampler,
        "search.metric": checked.objective,
    }


def split_sizes(checked: Checked) -> dict[str, int]:
    """Return how many examples each split has; a test split that is left closed is left out."""
    opened = {"test": len(checked.test_ids)} if checked.test_ids else {}
    return {**{split: len(examples) for split, examples in checked.examples.items()}, **opened}


def _tags(checked: Checked, facts: ModelFacts, data: Mapping[Split, str]) -> dict[str, str]:
    return {
        "study": checked.study.name,
        "model_digest": facts.weights,
        "architecture_digest": facts.architecture,
        "model_commit": facts.commit or "none",
        **{f"data_digest.{split}": value for split, value in data.items()},
        **provenance(checked.file.path.resolve().parent),
    }


def _color(cell: Cell, checked: Checked) -> dict[str, str]:
    """Return the tag that gives all runs of a prompt one color, which is its color in the report as well."""
    return {COLOR: COLORS[checked.prompts.index(cell.prompt) % len(COLORS)]}


def data_use(checked: Checked, split: Split, examples: Sequence[Example]) -> DataUse:
    """Return one split of a study's data as its runs use it."""
    hub, origin = checked.study.data.hub, checked.source.origin
    first = examples[0]
    return DataUse(
        name=hub or Path(origin).name,
        split=split,
        digest=fingerprint(examples),
        source=origin,
        source_type="hf" if hub else "local",
        rows=len(examples),
        fields=(*first.fields, "target"),
    )


def _registered(prompt: Prompt, checked: Checked, tracker: Tracker) -> Registered:
    """Return a prompt's version in the store's registry, which is made where its text is new there."""
    if prompt.registered:
        return tracker.registered(prompt.registered)
    template = next(template for template in checked.prompts if template.name == prompt.name)
    return tracker.register(template, task=checked.task.name, study=checked.study.name)


def alias_winner(winner: str, checked: Checked, tracker: Tracker) -> None:
    """Give the version that the winning cell's runs used the alias that the study names, if it names one.

    An alias by which the study names a prompt may have moved since.

    Args:
        winner: The id of the cell that validation likes best.
        checked: The study.
        tracker: Its store.
    """
    alias = checked.study.final.prompt_alias
    if alias:
        used = [
            run.tags["prompt_uri"] for run in tracker.runs() if (run.phase, run.tags.get("cell")) == ("cell", winner)
        ]
        tracker.alias(tracker.registered(used[-1]), alias)
