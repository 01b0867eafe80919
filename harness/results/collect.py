"""The only reader of a study's runs: from the tracking store to plain results."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.core.errors import UserError
from harness.data.prompt_forms import PROMPT_FORMS, restored
from harness.data.tokenization import PromptForm
from harness.metrics.base import Metric
from harness.results.loss_curves import Losses, read_losses
from harness.results.predictions import lead_metric, read_answers
from harness.results.score_forecast import Forecast
from harness.results.test_access import TestAccess, looks
from harness.stats import mean
from harness.stats.verdicts import Answers
from harness.study.reference_rows import REFERENCES
from harness.study.search_space import Hyperparameters, SearchSpace
from harness.tracking.store_protocols import Run, Tracker

__all__ = ["CellResult", "Final", "Reference", "Results", "Trial", "collect"]


@dataclass(frozen=True)
class Trial:
    """One draw from the search space."""

    index: int
    hyperparameters: Hyperparameters
    state: str
    """``complete``, ``pruned`` or ``diverged``."""
    value: float
    """The objective; nan unless complete."""
    metrics: Mapping[str, float]
    """``validation/<metric>``, as far as scored."""
    costs: Mapping[str, float]
    warm_start: str | None = None
    """The id of the cell that the hyperparameters were taken from, where they were not drawn."""

    @property
    def learning_rate(self) -> float:
        """The schedule's peak."""
        return self.hyperparameters.learning_rate


@dataclass(frozen=True)
class Final:
    """One retrained winner, or a zero-shot cell's only run."""

    seed: str
    metrics: Mapping[str, float]
    """``validation/<metric>``, ``test/<metric>`` and, where it was measured, ``generality/...``."""
    costs: Mapping[str, float]


@dataclass(frozen=True)
class CellResult:
    """A row of the comparison."""

    id: str
    factors: Mapping[str, str]
    """Axes to the names of the cell's levels, ``prompt`` and ``tuning`` first; the same axes for all cells."""
    hyperparameters: Hyperparameters
    """The winner's; empty for zero-shot, or where no trial completed."""
    trials: tuple[Trial, ...]
    finals: tuple[Final, ...]
    params: Mapping[str, str]
    best: Mapping[str, float]
    """The winning trial's ``validation/<metric>``."""
    seconds: float = math.nan
    """Of all its trials and final runs, from the start to the end of each."""
    diverged_finals: int = 0
    """How many more winners were retrained, and diverged."""

    @property
    def prompt(self) -> str:
        """Its prompt's name."""
        return self.factors["prompt"]

    @property
    def tuning(self) -> str:
        """Its tuning's name."""
        return self.factors["tuning"]

    @property
    def learning_rate(self) -> float | None:
        """The winner's, if there is one."""
        return self.hyperparameters.learning_rate if self.hyperparameters else None

    @property
    def all_diverged(self) -> bool:
        """Whether it was searched, and no trial came to an end."""
        return self.tuning != "none" and not self.hyperparameters and bool(self.trials)

    def values(self, metric: str) -> list[float]:
        """Return a metric's values over the final runs; those that are missing are left out."""
        return [final.metrics[metric] for final in self.finals if metric in final.metrics]

    def score(self, metric: str) -> float:
        """Return the mean over final runs; for ``validation/...`` without any, the winning trial's; else nan."""
        values = self.values(metric)
        return mean(values) if values else self.best.get(metric, math.nan)


@dataclass(frozen=True)
class Reference:
    """A result that needs no model; see `harness.study.reference_rows`."""

    name: str
    metrics: Mapping[str, float]
    """``validation/<metric>`` and ``test/<metric>``; what needs a likelihood is missing."""


@dataclass(frozen=True)
class Results:
    """A study as its report sees it."""

    study: str
    question: str
    metrics: tuple[str, ...]
    """In the task's order, ``loss`` last."""
    lead: str
    """The metric that ranks."""
    maximize: bool
    objective: str
    search: Mapping[str, Any]
    """The study file's section, defaults filled in."""
    baseline: str
    """The id of the cell that others are compared with."""
    cells: tuple[CellResult, ...]
    """Those that were run, in grid order."""
    provenance: Mapping[str, str]
    data: Mapping[str, Any]
    """Split sizes, digests, truncation rates, as the runner recorded them."""
    forecast: Forecast | None = None
    """What was predicted of this very study, if anything was."""
    recordings_mib: float = math.nan
    """What was recorded of the frozen parts, over all prompts; nan where nothing was."""
    answers: Answers | None = None
    """What the final runs said on test; ``None`` without final runs."""
    metric: Metric | str = "nothing is scored by example"
    """The metric that leads, or why the answers cannot be scored with it."""
    prompts: Mapping[str, str] = field(default_factory=dict)
    """The text of each prompt; empty for a study that was run before these were kept."""
    forms: Mapping[str, PromptForm | None] = field(default_factory=dict)
    """Those of them that are more than a text, by name; ``None`` where their form is unknown here."""
    curves: Mapping[str, tuple[Losses, ...]] = field(default_factory=dict)
    """Per cell that trains: losses by epoch of its final runs, else of its winning trial."""
    references: tuple[Reference, ...] = ()
    """The task's reference rows, where test was scored; in the order of `harness.study.reference_rows`."""
    looks: TestAccess = TestAccess()
    """How often test was scored for this study."""
    depths: tuple[str, ...] = ()
    """The tunings, the one that trains least first; empty for a study that was run before this was kept."""
    space: SearchSpace = SearchSpace()
    """What the searches drew from."""
    absent: tuple[str, ...] = ()
    """The ids of cells that were not run yet."""
    leaks: tuple[str, ...] = ()
    """What two splits have in common and was not dropped, a line per pair."""

    @property
    def axes(self) -> tuple[str, ...]:
        """The axes that show: ``prompt``, ``tuning`` and those behind that have more than one level."""
        return tuple(self.cells[0].factors) if self.cells else ("prompt", "tuning")

    def ranked(self) -> list[CellResult]:
        """Return the cells, best on validation first.

        Where some winners were retrained, cells without final runs come after those with: the best of many trials is no
        mean over seeds. Those without any score come last.
        """
        retrained = any(cell.finals for cell in self.cells if cell.tuning != "none")

        def key(cell: CellResult) -> tuple[bool, bool, float]:
            score = cell.score(f"validation/{self.lead}")
            return math.isnan(score), retrained and not cell.finals, -score if self.maximize else score

        return sorted(self.cells, key=key)


def collect(tracker: Tracker, study: str) -> Results:
    """Read a study's results.

    Raises:
        UserError: The study has no summary yet.
    """
    runs = tracker.runs()
    summary = next((run for run in reversed(runs) if run.phase == "summary"), None)
    if summary is None:
        raise UserError(f"study {study!r} has no results yet; run it with `harness run`")
    facts = json.loads(tracker.fetch(summary.id, "study.json"))
    parents = {run.tags["cell"]: run for run in runs if run.phase == "cell"}
    scored = [run for run in runs if run.status == "FINISHED" and f"test/{facts['lead']}" in run.metrics]
    current = {parent.id for parent in parents.values()}
    finals = [run for run in scored if run.phase == "final" and run.parent in current]
    rows = finals[-1].tags.get("test_digest") if finals else None
    axes = facts.get("axes", ["prompt", "tuning"])
    space = SearchSpace.from_record(facts.get("space"), facts["study"]["search"])
    cells = [_cell(parents[cell], axes, runs, rows, space) for cell in facts["cells"] if cell in parents]
    return Results(
        study=study,
        question=facts["question"],
        metrics=tuple(facts["metrics"]),
        lead=facts["lead"],
        maximize=facts["maximize"],
        objective=facts["objective"],
        search=facts["study"]["search"],
        space=space,
        baseline=facts["baseline"],
        cells=tuple(cells),
        provenance=facts["provenance"],
        data=facts["data"],
        forecast=Forecast.from_json(facts["forecast"]) if facts.get("forecast") else None,
        recordings_mib=summary.metrics.get("recordings_mib", math.nan),
        answers=read_answers(
            tracker,
            finals,
            [cell.id for cell in cells],
            references=[run for run in scored if run.phase == "reference"],
        ),
        metric=lead_metric(facts),
        prompts=facts.get("prompts", {}),
        forms=_forms(facts),
        curves=read_losses(
            tracker, {cell: _learned(parents[cell], runs) for cell in facts["cells"] if cell in parents}
        ),
        references=_references(runs),
        looks=looks([*runs, *tracker.runs(removed=True)], edition=facts.get("edition"), rows=rows),
        leaks=tuple(facts.get("leaks", ())),
        depths=tuple(facts.get("depths", ())),
        absent=tuple(cell for cell in facts["cells"] if cell not in parents),
    )


def _forms(facts: Mapping[str, Any]) -> dict[str, PromptForm | None]:
    return {
        prompt["name"]: restored(prompt) if any(form in prompt for form in PROMPT_FORMS) else None
        for prompt in facts.get("prompt_forms", ())
    }


def _learned(parent: Run, runs: Sequence[Run]) -> list[Run]:
    """Return the runs that show how a cell learned: its final runs, else its winning trial."""
    children = [run for run in runs if run.parent == parent.id]
    finals = [run for run in children if run.phase == "final" and run.status == "FINISHED"]
    if finals:
        return sorted(finals, key=lambda run: _seed_order(run.params["seed"]))
    winner = parent.tags.get("best_trial")
    return [run for run in children if run.phase == "search" and run.tags.get("trial") == winner]


def _references(runs: Sequence[Run]) -> tuple[Reference, ...]:
    scored = {run.params["reference"]: run for run in runs if run.phase == "reference" and run.status == "FINISHED"}
    return tuple(Reference(name, _scores(scored[name])) for name in REFERENCES if name in scored)


def _cell(parent: Run, axes: Sequence[str], runs: Sequence[Run], rows: str | None, space: SearchSpace) -> CellResult:
    """Return a cell's results; scores on other test rows than these are left out."""
    children = [run for run in runs if run.parent == parent.id]
    trials = sorted((_trial(run, space) for run in children if run.phase == "search"), key=lambda trial: trial.index)
    finals = sorted((run for run in children if run.phase == "final"), key=lambda run: _seed_order(run.params["seed"]))
    done = [run for run in finals if run.status == "FINISHED"]
    winner = parent.tags.get("best_trial")
    best = next((run for run in children if run.phase == "search" and run.tags.get("trial") == winner), None)
    return CellResult(
        id=parent.tags["cell"],
        factors={axis: parent.params[axis] for axis in axes},
        hyperparameters=space.parse(parent.params),
        trials=tuple(trials),
        finals=tuple(Final(run.params["seed"], _scores(run, rows), _costs(run)) for run in done),
        params=parent.params,
        best=_scores(best) if best else {},
        seconds=sum(run.seconds for run in children if run.phase in ("search", "final")),
        diverged_finals=sum(run.tags.get("outcome") == "diverged" for run in finals),
    )


def _seed_order(seed: str) -> tuple[bool, int]:
    return (False, int(seed)) if seed.isdigit() else (True, 0)


def _trial(run: Run, space: SearchSpace) -> Trial:
    state = run.tags.get("outcome", "open")
    value = run.metrics.get("objective", math.nan) if state == "complete" else math.nan
    drawn, start = space.parse(run.params), run.tags.get("warm_start")
    return Trial(int(run.tags["trial"]), drawn, state, value, _scores(run), _costs(run), start)


def _scores(run: Run, rows: str | None = None) -> dict[str, float]:
    """Return a run's scores, without those on test where it was scored on other rows than are asked about."""
    stale = rows is not None and run.tags.get("test_digest") != rows
    kept = ("validation/", "generality/") if stale else ("validation/", "test/", "generality/")
    return {key: value for key, value in run.metrics.items() if key.startswith(kept)}


def _costs(run: Run) -> dict[str, float]:
    return {key.removeprefix("cost/"): value for key, value in run.metrics.items() if key.startswith("cost/")}
