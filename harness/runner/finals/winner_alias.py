"""The alias in the Prompt Registry that the winning prompt's version is given when a study ends."""

from __future__ import annotations

from harness.study.check import Checked
from harness.tracking.schema import Tags
from harness.tracking.store_protocols import Tracker

__all__ = ["alias_winner"]


def alias_winner(winner: str, checked: Checked, tracker: Tracker) -> None:
    """Give the version that the winning cell's runs used the alias that the study names, if it names one.

    An alias by which the study names a prompt may have moved since.
    """
    if alias := checked.study.final.prompt_alias:
        used = [run.tags[Tags.PROMPT_URI] for run in tracker.runs(phase="cell") if run.tags.get(Tags.CELL) == winner]
        tracker.prompts.alias(tracker.prompts.find(used[-1]), alias)
