"""The views of its runs that every study brings along, so that nobody has to choose columns, filters and charts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from harness.report.text.axis_words import level_words
from harness.study.further_axes import PER_LABEL, TRAIN_SIZE
from harness.tracking.mlflow.ui_views import View, lines, points
from harness.tracking.schema import FACTORS, Metrics, Params, Tags, score_name

__all__ = ["OPENING", "ViewFacts", "study_views"]

OPENING = "ranked"
"""The view that ``harness ui`` opens."""

PHASE, VERDICT = f"tags.{Tags.PHASE}", f"tags.{Tags.VERDICT}"
PROMPT, RATE, SEED = f"params.{Params.PROMPT}", f"params.{Params.LEARNING_RATE}", f"params.{Params.SEED}"
OBJECTIVE, TRAIN, VALIDATION = (
    f"metrics.{name}" for name in (Metrics.OBJECTIVE, Metrics.TRAIN_LOSS, Metrics.VALIDATION_LOSS)
)
"""Columns, as MLflow names them."""


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
    def further(self) -> tuple[str, ...]:
        """The axes behind prompt and tuning."""
        return tuple(axis for axis in self.levels if axis not in FACTORS)

    def alike(self, *but: str) -> str:
        """Return the filter of runs that differ in their prompt alone, and some more axes, to follow one of a phase."""
        same = {axis: level for axis, level in self.levels.items() if axis not in (Params.PROMPT, *but)}
        return "".join(f" and params.{axis} = '{level}'" for axis, level in same.items())

    def where(self, *but: str) -> str:
        """Return the same in words."""
        further = [level_words(axis, self.levels[axis]) for axis in self.further if axis not in but]
        return ", ".join([f"{self.levels[Params.TUNING]} trained", *further])


def study_views(facts: ViewFacts) -> list[View]:
    """Return the views of a study in the order of their list, that of ranked cells first."""
    splits = ("validation",) if facts.seed is None else ("validation", "test")
    means = tuple(f"metrics.{score_name(split, facts.lead)}" for split in splits)
    spreads = tuple(f"{mean}{Metrics.SPREAD}" for mean in means)
    levels = tuple(f"params.{axis}" for axis in facts.further)  # to sort and filter by; names have all of them
    ranked = View(
        OPENING,
        "Ranked cells",
        f"{' by '.join(facts.levels)}, best {facts.lead} on validation first; a name leads to the cell",
        f"{PHASE} = 'cell'",
        order=means[0],
        ascending=not facts.maximize,
        columns=(*levels, RATE, *means, VERDICT, *spreads),
        widths={**dict.fromkeys(levels, 110), RATE: 90, **dict.fromkeys((*means, *spreads), 120), VERDICT: 440},
    )
    runs = View(
        "runs",
        "All runs, nested",
        "open a cell to see its trials and final runs",
        " and ".join(f"{PHASE} != '{phase}'" for phase in ("superseded", "interrupted")),
        columns=(PHASE, RATE, SEED, OBJECTIVE, *means),
        widths={"attributes.Run Name": 290, **dict.fromkeys(means, 120)},
    )
    curves = View(
        "curves",
        "Curves by prompt",
        f"curves of losses, one line a prompt, {facts.where()}",
        f"{PHASE} = '{'search' if facts.seed is None else 'final'}'{facts.alike()}",
        order=PROMPT,
        ascending=True,
        columns=(PROMPT, TRAIN, VALIDATION),
        group=Params.PROMPT,
        charts=(lines(Metrics.VALIDATION_LOSS), lines(Metrics.TRAIN_LOSS)),
        mode="CHART",
    )
    rates = View(
        "rates",
        "Learning rates",
        "every trial's objective by the logarithm of its learning rate",
        f"{PHASE} = 'search'",
        order=PROMPT,  # in the order of time, cells would stand in for their trials
        ascending=True,
        columns=(PROMPT, f"params.{Params.TUNING}", RATE, OBJECTIVE),
        charts=(points(Metrics.LOG_RATE, Metrics.OBJECTIVE),),
        mode="CHART",
    )
    predictions = View(
        "predictions",
        "Predictions side by side",
        f"what each prompt's model made of a source, {facts.where()}",
        f"{PHASE} = 'final'{facts.alike()} and {SEED} = '{facts.seed}'",
        order=PROMPT,
        ascending=True,
        columns=(PROMPT,),
        mode="ARTIFACT",
    )
    return [ranked, runs, curves, rates, *_of_sizes(facts, means), *([] if facts.seed is None else [predictions])]


def _of_sizes(facts: ViewFacts, means: tuple[str, ...]) -> list[View]:
    """Return the view of scores over the number of training examples; none where that is no axis."""
    if (axis := next((axis for axis in (TRAIN_SIZE, PER_LABEL) if axis in facts.levels), None)) is None:
        return []
    size = f"params.{axis}"
    return [
        View(
            "sizes",
            "Training sizes",
            f"scores by the number of training examples, a point a prompt, {facts.where(axis)}",
            f"{PHASE} = 'cell'{facts.alike(axis)}",
            order=PROMPT,
            ascending=True,
            columns=(PROMPT, size, *means),
            charts=tuple(points(axis, mean.removeprefix("metrics."), of="PARAM") for mean in means),
            mode="CHART",
        )
    ]
