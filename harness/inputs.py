"""What a run read, in words that every store understands: splits of data, and prompts in their registry."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.check import Checked
from harness.example import Example, Split, fingerprint
from harness.factors import Prompt
from harness.tracking.base import DataUse, Registered, Tracker

__all__ = ["alias_winner", "data_use", "registered"]


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
