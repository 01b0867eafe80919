"""What every run of a study carries: params, tags, the data it read, the prompt it used, its cell's digest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.core.example import Example, Split, fingerprint
from harness.core.provenance import provenance
from harness.metrics.base import Metric
from harness.report.charts.palette import COLORS
from harness.runner.resume.missing_runs import StudyRuns
from harness.study.axes import Prompt
from harness.study.check import Checked
from harness.study.grid import Cell, cell_digests, cell_study, edition
from harness.study.search_space import SearchSpace
from harness.study.settings import token_limits
from harness.tracking.run_records import CellRecord
from harness.tracking.schema import NONE, Params, Tags
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
        {cell.id: _record(cell, checked, facts, digests[cell.id]) for cell in checked.cells},
        tags=_tags(checked, facts, data) | {Tags.EDITION: edition(checked.study, digests)},
        links={cell.id: {**prompts[cell.prompt.name].link, **_color(cell, checked)} for cell in checked.cells},
        data={split: data_use(checked, split, examples) for split, examples in checked.examples.items()},
    )


def _record(cell: Cell, checked: Checked, facts: ModelFacts, digest: str) -> CellRecord:
    """Return what every run of a cell says of it."""
    study = cell_study(checked.study, cell)
    trainable, total = facts.parameters[cell.id]
    searched = SearchSpace.of(study).names  # a run's own params say these
    limits = token_limits(study, checked.task)
    training = study.training.model_dump(exclude={"device"}) | {"max_source_tokens": limits.source}
    settings = {f"{Params.TRAINING}{name}": value for name, value in training.items()}
    return CellRecord(
        id=cell.id,
        digest=digest,
        task=checked.task.name,
        model=study.model.name,
        factors=cell.levels,
        trainable_parameters=trainable,
        parameters=total,
        sizes=split_sizes(checked),
        settings={
            **{name: value for name, value in settings.items() if name not in searched},
            Params.DTYPE: study.model.dtype,
            Params.SAMPLER: study.search.sampler,
            Params.METRIC: checked.objective,
        },
    )


def split_sizes(checked: Checked) -> dict[str, int]:
    """Return how many examples each split has; a test split that is left closed is left out."""
    opened = {"test": len(checked.test_ids)} if checked.test_ids else {}
    return {**{split: len(examples) for split, examples in checked.examples.items()}, **opened}


def _tags(checked: Checked, facts: ModelFacts, data: Mapping[Split, str]) -> dict[str, str]:
    return {
        Tags.STUDY: checked.study.name,
        Tags.MODEL_DIGEST: facts.weights,
        Tags.ARCHITECTURE_DIGEST: facts.architecture,
        Tags.MODEL_COMMIT: facts.commit or NONE,
        **{Tags.data_digest(split): value for split, value in data.items()},
        **provenance(checked.file.path.resolve().parent),
    }


def _color(cell: Cell, checked: Checked) -> dict[str, str]:
    """Return the tag that gives all runs of a prompt one color, which is its color in the report as well."""
    return {Tags.COLOR: COLORS[checked.prompts.index(cell.prompt) % len(COLORS)]}


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
        return tracker.prompts.find(prompt.registered)
    template = next(template for template in checked.prompts if template.name == prompt.name)
    return tracker.prompts.register(template, task=checked.task.name, study=checked.study.name)


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
        cells = [run for run in tracker.runs() if run.phase == "cell"]
        used = [run.tags[Tags.PROMPT_URI] for run in cells if run.tags.get(Tags.CELL) == winner]
        tracker.prompts.alias(tracker.prompts.find(used[-1]), alias)
