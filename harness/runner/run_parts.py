"""What a running study has at hand; passed on whole, so that nothing is ambient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.example import Example, Split, digest, fingerprint
from harness.core.progress import Progress
from harness.core.provenance import provenance
from harness.models.load import architecture_digest
from harness.report.charts.palette import COLORS
from harness.runner.resume.missing_runs import StudyRuns
from harness.study.check import Checked
from harness.study.factors import Prompt
from harness.study.grid import Cell, cell_digests, edition
from harness.tracking.mlflow.ui_views import COLOR
from harness.tracking.store_protocols import DataUse, Registered, Tracker
from harness.training.forgetting import Forgetting
from harness.training.trainer import Trainer

__all__ = ["Session", "alias_winner", "color", "data_use", "registered"]


@dataclass(frozen=True)
class Session:
    """The parts that trials and final runs work with."""

    checked: Checked
    trainer: Trainer
    tracker: Tracker
    ledger: StudyRuns
    progress: Progress
    retention: Forgetting | None = None
    """What final runs measure beside their task; ``None`` where the study asks for nothing or has no final runs."""

    @property
    def generates(self) -> bool:
        """Whether trials make predictions; a search on ``loss`` does without."""
        return self.checked.objective != "loss"

    @property
    def proxies(self) -> bool:
        """Whether the loss stands in for a metric: the search goes by it, and final runs go by the metric."""
        return not self.generates and bool(self.checked.study.final.seeds)

    def maximizes(self, metric: str) -> bool:
        """Return whether a higher value of a metric is better."""
        return metric != "loss" and next(m.higher_is_better for m in self.trainer.metrics if m.name == metric)

    def log_recorded(self, summary: str) -> None:
        """Log how much is recorded of the frozen parts on the study's summary run; a command may see a part of it."""
        size = self.trainer.recorded / 2**20
        if size > self.tracker.run(summary).metrics.get("recordings_mib", 0.0):
            self.tracker.metrics(summary, {"recordings_mib": size})

    @property
    def lead(self) -> str:
        """The metric that ranks cells: the objective, or the task's first where the search went by loss."""
        if self.generates:
            return self.checked.objective
        return self.trainer.metrics[0].name if self.checked.study.final.seeds else "loss"


def _session(checked: Checked, trainer: Trainer, tracker: Tracker, progress: Progress) -> Session:
    data = {split: fingerprint(examples) for split, examples in checked.examples.items()}
    facts = {
        "task": checked.task.name,
        "weights": trainer.loaded.digest,
        "architecture": architecture_digest(trainer.loaded.model),
        "tokenizer": digest(trainer.loaded.tokenizer.get_vocab()),
        "data": data,
        "limits": trainer.limits,
        "decoding": trainer.decoding,
        "metrics": [metric.signature() for metric in trainer.metrics],
    }
    digests = cell_digests(checked.cells, checked.study, facts)
    params = {cell.id: _params(cell, checked, trainer) for cell in checked.cells}
    tags = _tags(checked, trainer, data) | {"edition": edition(checked.study, digests)}
    prompts = {prompt.name: registered(prompt, checked, tracker) for prompt in checked.study.prompts}
    ledger = StudyRuns(
        tracker,
        digests,
        params=params,
        tags=tags,
        links={cell.id: {**prompts[cell.prompt.name].link, **color(cell, checked)} for cell in checked.cells},
        data={split: data_use(checked, split, examples) for split, examples in checked.examples.items()},
    )
    measured = checked.general if checked.study.final.seeds else None
    retention = Forgetting(measured, trainer.loaded, forward=trainer.forward, study=checked.study) if measured else None
    return Session(checked, trainer, tracker, ledger, progress, retention)


def _params(cell: Cell, checked: Checked, trainer: Trainer) -> dict[str, Any]:
    """Return every factor of a cell, by the names that the MLflow UI shows."""
    study = checked.study
    trainable, total = trainer.parameters(cell)
    training = study.training.model_dump(exclude={"device"})
    return {
        "task": checked.task.name,
        "model": study.model.name,
        "prompt": cell.prompt.name,
        "tuning": cell.tuning.name,
        "trainable_parameters": trainable,
        "parameters": total,
        **{f"data.{split}": size for split, size in _sizes(checked).items()},
        **{f"training.{name}": value for name, value in training.items()},
        "model.dtype": study.model.dtype,
        "search.sampler": study.search.sampler,
        "search.metric": checked.objective,
    }


def _sizes(checked: Checked) -> dict[str, int]:
    """Return how many examples each split has; a test split that is left closed is left out."""
    opened = {"test": len(checked.test_ids)} if checked.test_ids else {}
    return {**{split: len(examples) for split, examples in checked.examples.items()}, **opened}


def _tags(checked: Checked, trainer: Trainer, data: Mapping[Split, str]) -> dict[str, str]:
    return {
        "study": checked.study.name,
        "model_digest": trainer.loaded.digest,
        "architecture_digest": architecture_digest(trainer.loaded.model),
        "model_commit": trainer.loaded.commit or "none",
        **{f"data_digest.{split}": value for split, value in data.items()},
        **provenance(checked.file.path.resolve().parent),
    }


def color(cell: Cell, checked: Checked) -> dict[str, str]:
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


def registered(prompt: Prompt, checked: Checked, tracker: Tracker) -> Registered:
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
