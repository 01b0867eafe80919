"""The views of its runs that every study brings along, so that nobody has to choose columns, filters and charts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from harness.tracking.mlflow.ui_views import View, lines

__all__ = ["OPENING", "ViewFacts", "study_views"]

OPENING = "ranked"
"""The view that ``harness ui`` opens."""


class ViewFacts(NamedTuple):
    """What the views of a study depend on."""

    lead: str
    """The metric that ranks."""
    maximize: bool
    levels: Mapping[str, str]
    """By axis, at which prompts are compared: the best cell's, and the baseline's until there is one."""
    seed: str | None
    """Of the final runs whose predictions are compared; ``None`` without final runs."""

    @property
    def of_prompts(self) -> str:
        """The filter of runs that differ in their prompt alone, to follow one of a phase."""
        return "".join(f" and params.{axis} = '{level}'" for axis, level in self.levels.items() if axis != "prompt")

    @property
    def where(self) -> str:
        """The same in words."""
        further = [f"{axis} {level}" for axis, level in self.levels.items() if axis not in ("prompt", "tuning")]
        return ", ".join([f"{self.levels['tuning']} trained", *further])


def study_views(facts: ViewFacts) -> list[View]:
    """Return the views of a study in the order of their list, that of ranked cells first."""
    views = [_ranked(facts), _runs(facts), _curves(facts)]
    return views if facts.seed is None else [*views, _predictions(facts)]


def _scores(facts: ViewFacts, end: str = "") -> tuple[str, ...]:
    """Return the columns of the leading metric, as far as there are any."""
    splits = ("validation", "test") if facts.seed is not None else ("validation",)
    return tuple(f"metrics.{split}/{facts.lead}{end}" for split in splits)


def _ranked(facts: ViewFacts) -> View:
    means, spreads = _scores(facts), _scores(facts, "_sd")
    return View(
        OPENING,
        "Ranked cells",
        f"{' by '.join(facts.levels)}, best {facts.lead} on validation first; a name leads to the cell",
        "tags.phase = 'cell'",
        order=f"metrics.validation/{facts.lead}",
        ascending=not facts.maximize,
        columns=("params.learning_rate", *means, "tags.verdict", *spreads),
        widths={"params.learning_rate": 90, **dict.fromkeys((*means, *spreads), 120), "tags.verdict": 440},
    )


def _runs(facts: ViewFacts) -> View:
    return View(
        "runs",
        "All runs, nested",
        "open a cell to see its trials and final runs",
        " and ".join(f"tags.phase != '{phase}'" for phase in ("superseded", "interrupted")),
        columns=("tags.phase", "params.learning_rate", "params.seed", "metrics.objective", *_scores(facts)),
        widths={"attributes.Run Name": 290, **dict.fromkeys(_scores(facts), 120)},
    )


def _curves(facts: ViewFacts) -> View:
    phase = "final" if facts.seed is not None else "search"
    return View(
        "curves",
        "Curves by prompt",
        f"losses by epoch, one line a prompt, {facts.where}",
        f"tags.phase = '{phase}'{facts.of_prompts}",
        order="params.prompt",
        ascending=True,
        columns=("params.prompt", "metrics.train/loss", "metrics.validation/loss"),
        group="prompt",
        charts=(lines("validation/loss"), lines("train/loss")),
        mode="CHART",
    )


def _predictions(facts: ViewFacts) -> View:
    return View(
        "predictions",
        "Predictions side by side",
        f"what each prompt's model made of a source, {facts.where}",
        f"tags.phase = 'final'{facts.of_prompts} and params.seed = '{facts.seed}'",
        order="params.prompt",
        ascending=True,
        columns=("params.prompt",),
        mode="ARTIFACT",
    )
