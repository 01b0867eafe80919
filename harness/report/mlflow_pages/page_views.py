"""The views of its runs that every study brings along, so that nobody has to choose columns, filters and charts."""

from __future__ import annotations

from typing import NamedTuple

from harness.core.example import digest
from harness.tracking.mlflow.ui_views import View, bars, lines, parallel, scatter

__all__ = ["OPENING", "ViewFacts", "Views", "cell_view", "study_views"]

OPENING = "ranked"
"""The view that ``harness ui`` opens."""


class ViewFacts(NamedTuple):
    """What the views of a study depend on."""

    lead: str
    """The metric that ranks."""
    maximize: bool
    objective: str
    """What trials are judged by."""
    tuning: str
    """At which prompts are compared: the best cell's, and the baseline's until there is one."""
    seed: str | None
    """Of the final runs whose predictions are compared; ``None`` without final runs."""

    @property
    def falling(self) -> bool:
        """Whether a lower objective is better."""
        return self.objective == "loss" or not self.maximize


class Views(NamedTuple):
    """A study's views, in the order of their list."""

    ranked: View
    runs: View
    rates: View
    curves: View
    depths: View
    predictions: View | None
    facts: ViewFacts

    def all(self) -> list[View]:
        """Return the views in their order."""
        return [one for one in self if isinstance(one, View)]


def cell_view(cell: str, facts: ViewFacts) -> View:
    """Return the view of a cell's trials, which no list shows: its address is in the cell's description."""
    return View(
        f"trials-{digest(cell)[:8]}",
        f"Trials of {cell}",
        f"tags.phase = 'search' and tags.cell = '{cell}'",
        order="metrics.objective",
        ascending=facts.falling,
        columns=("params.learning_rate", "metrics.objective", "tags.outcome", "metrics.train/loss"),
        widths={"params.learning_rate": 180, "metrics.objective": 180},
        charts=(scatter("learning_rate", "objective"), lines(["validation/loss", "train/loss"])),
    )


def study_views(facts: ViewFacts) -> Views:
    """Return the views of a study."""
    phase = "final" if facts.seed is not None else "search"
    return Views(
        ranked=_ranked(facts),
        runs=_runs(facts),
        rates=_rates(facts),
        curves=_curves(facts, phase),
        depths=_depths(facts, phase),
        predictions=_predictions(facts) if facts.seed is not None else None,
        facts=facts,
    )


def _scores(facts: ViewFacts, end: str = "") -> tuple[str, ...]:
    """Return the columns of the leading metric, as far as there are any."""
    splits = ("validation", "test") if facts.seed is not None else ("validation",)
    return tuple(f"metrics.{split}/{facts.lead}{end}" for split in splits)


def _ranked(facts: ViewFacts) -> View:
    means, spreads = _scores(facts), _scores(facts, "_sd")
    return View(
        OPENING,
        "Ranked cells",
        "tags.phase = 'cell'",
        order=f"metrics.validation/{facts.lead}",
        ascending=not facts.maximize,
        columns=("params.learning_rate", *means, "tags.verdict", *spreads),
        widths={"params.learning_rate": 90, **dict.fromkeys((*means, *spreads), 120), "tags.verdict": 440},
    )


def _runs(facts: ViewFacts) -> View:
    columns = ("tags.phase", "params.learning_rate", "params.seed", "metrics.objective", *_scores(facts))
    shown = " and ".join(f"tags.phase != '{phase}'" for phase in ("superseded", "interrupted"))
    widths = {"attributes.Run Name": 290, **dict.fromkeys(_scores(facts), 120)}
    return View("runs", "All runs, nested", shown, columns=columns, widths=widths)


def _rates(facts: ViewFacts) -> View:
    return View(
        "rates",
        "Learning rates",
        "tags.phase = 'search' and tags.outcome = 'complete'",
        order="metrics.objective",
        ascending=facts.falling,
        columns=("tags.cell", "params.learning_rate", "metrics.objective"),
        charts=(
            scatter("learning_rate", "objective"),
            parallel(("prompt", "tuning", "learning_rate"), ("objective",)),
        ),
        mode="CHART",
    )


def _curves(facts: ViewFacts, phase: str) -> View:
    return View(
        "curves",
        "Curves by prompt",
        f"tags.phase = '{phase}' and params.tuning = '{facts.tuning}'",
        order="params.prompt",
        ascending=True,
        columns=("params.prompt", "metrics.train/loss", "metrics.validation/loss"),
        group="prompt",
        charts=(lines(["validation/loss"]), lines(["train/loss"])),
        mode="CHART",
    )


def _depths(facts: ViewFacts, phase: str) -> View:
    """A table, since MLflow draws groups in colors of its own, which may be the same."""
    shown = _scores(facts)
    return View(
        "depths",
        "Depths",
        f"tags.phase = '{phase}'",
        order="params.trainable_parameters" if facts.seed is None else "metrics.trainable_parameters",
        ascending=True,
        columns=("params.trainable_parameters", *shown),
        widths=dict.fromkeys(("params.trainable_parameters", *shown), 160),
        group="tuning",
        charts=tuple(bars(column.partition(".")[2]) for column in reversed(shown)),
    )


def _predictions(facts: ViewFacts) -> View:
    return View(
        "predictions",
        "Predictions side by side",
        f"tags.phase = 'final' and params.tuning = '{facts.tuning}' and params.seed = '{facts.seed}'",
        order="params.prompt",
        ascending=True,
        columns=("params.prompt",),
        mode="ARTIFACT",
    )
