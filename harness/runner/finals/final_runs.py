"""Final runs: the winner of each cell retrained on fresh seeds and scored on the test split; the best one is kept."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.core.cost_names import summed
from harness.core.example import Example, Prediction, Split
from harness.core.progress import Progress
from harness.report.mlflow_pages.descriptions import final_note
from harness.runner.executors.protocol import Ended, EpochEnded, Event, Job, Measured, Reply, Scored, Trained
from harness.runner.finals.best_checkpoint import Checkpoints
from harness.runner.objective import Objective
from harness.runner.resume.missing_runs import StudyRuns
from harness.stats import mean, spread
from harness.study.grid import Cell
from harness.study.search_space import NONE, Hyperparameters, SearchSpace
from harness.tracking.mlflow.ui_views import NOTE
from harness.tracking.prediction_table import read_table
from harness.tracking.schema import SCORED
from harness.tracking.store_protocols import Run, Tracker

__all__ = ["FinalsPlan", "FinalsQueue", "log_predictions"]

RESULTS = ("validation/", "test/", "generality/")
"""What the metrics begin with whose means a cell has."""


@dataclass(frozen=True)
class FinalsPlan:
    """What final runs there are to be."""

    cells: Sequence[Cell]
    """Those that were searched, in the grid's order."""
    winners: Mapping[str, Hyperparameters]
    """Of each cell; empty where nothing trains or no trial completed."""
    space: SearchSpace
    """What they were drawn from."""
    chosen: frozenset[str]
    """The cells whose final runs are made; the others are merely concluded."""
    seeds: Sequence[int]
    identity: Mapping[str, str]
    """The tags of a final run that belongs to the study as it now is."""
    examples: Mapping[Split, Sequence[Example]]
    """The splits that are scored."""
    parameters: Mapping[str, tuple[int, int]]
    """Per cell: how many train, and how many there are."""
    measures: bool
    """Whether it is measured what the model still knows."""


@dataclass
class _OpenFinal:
    """A final run that was taken."""

    cell: Cell
    seed: str
    run: str
    began: float = field(default_factory=time.perf_counter)
    values: dict[str, float] = field(default_factory=dict)
    saved: str | None = None
    """The key of the checkpoint that is being written."""


class FinalsQueue:
    """The final runs that are missing.

    Args:
        plan: What there is to be.
        objective: What cells are ranked by.
        checkpoints: Keep the best models on disk.
        runs: The study's.
        tracker: The store.
        progress: Who watches.
    """

    def __init__(
        self,
        plan: FinalsPlan,
        *,
        objective: Objective,
        checkpoints: Checkpoints,
        runs: StudyRuns,
        tracker: Tracker,
        progress: Progress,
    ) -> None:
        self._plan, self._objective, self._checkpoints = plan, objective, checkpoints
        self._runs, self._tracker, self._progress = runs, tracker, progress
        self._waiting: dict[str, tuple[Cell, str]] = {}
        self._open: dict[str, _OpenFinal] = {}
        for cell in plan.cells:
            missing = [] if self._has_no_winner(cell) else self._missing_seeds(cell)
            for seed in missing if cell.id in plan.chosen else ():
                self._waiting[f"{cell.id} {_title(cell, seed)}"] = cell, seed
            self._conclude(cell)

    def waiting(self) -> Sequence[str]:
        """Return all that is missing: no final run depends on another."""
        return list(self._waiting)

    def take(self, name: str) -> Job:
        """Start a final run."""
        cell, seed = self._waiting.pop(name)
        winner = self._plan.winners[cell.id]
        params = {**self._plan.space.format(winner), "seed": seed}
        tags = {**self._plan.identity, NOTE: final_note(cell.id, seed, params["learning_rate"])}
        run = self._runs.start(cell.id, _title(cell, seed), phase="final", params=params, tags=tags)
        self._open[name] = _OpenFinal(cell, seed, run)
        return Job(
            name,
            cell.id,
            winner,
            int(seed) if cell.tuning.trains else 0,
            scores="validation",
            predicts=bool(self._plan.seeds) or self._objective.generates,
            measures=self._plan.measures,
        )

    def handle(self, event: Event) -> Reply:
        """Record an event of a final run."""
        final = self._open[event.job]
        match event:
            case EpochEnded():
                self._tracker.metrics(final.run, event.metrics, step=event.epoch)
            case Trained():
                if event.tags:
                    self._tracker.tags(final.run, event.tags)
                if event.metrics:
                    self._tracker.metrics(final.run, event.metrics, step=event.epoch)
            case Scored():
                return self._scored(event, final)
            case Measured():
                return self._measured(event, final)
            case Ended():
                self._end(event, self._open.pop(event.job))
        return Reply()

    def _scored(self, event: Scored, final: _OpenFinal) -> Reply:
        final.values |= event.metrics
        if event.predictions:
            examples = self._plan.examples[event.split]
            log_predictions(event.split, event.predictions, examples, run=final.run, tracker=self._tracker)
        if event.split == "validation":
            self._tracker.tags(final.run, {"trunk": event.trunk, "weights_digest": event.weights})
            if self._plan.seeds and not self._is_answered(event, final):
                return Reply(score="test")
        self._tracker.metrics(final.run, final.values, step=event.step)
        return Reply()

    def _is_answered(self, event: Scored, final: _OpenFinal) -> bool:
        """Take over what the very same weights answered to test before, if they did: an edit was taken back, say.

        The tag comes first: a run that is about to score test counts as one that did.
        """
        scored = f"test/{self._objective.lead}"
        twin = self._runs.twin(final.run, final.cell.id, event.weights, scored=scored)
        self._tracker.tags(final.run, {SCORED: twin.id if twin else "yes"})
        if twin is None:
            return False
        self._tracker.table(final.run, read_table(self._tracker, twin, "test"), "predictions/test.json")
        final.values |= {name: value for name, value in twin.metrics.items() if name.startswith("test/")}
        return True

    def _measured(self, event: Measured, final: _OpenFinal) -> Reply:
        if event.metrics:
            self._tracker.metrics(final.run, event.metrics, step=event.step)
        if not self._plan.seeds:
            return Reply()
        winner = self._plan.winners[final.cell.id]
        key = self._checkpoints.key(self._runs.digest(final.cell.id), winner, final.seed)
        folder = self._checkpoints.offer(final.cell.id, key, self._score(final))
        final.saved = key if folder else None
        return Reply(save=folder)

    def _end(self, event: Ended, final: _OpenFinal) -> None:
        cell, score = final.cell, self._score(final)
        costs = {**event.costs, "trainable_parameters": float(self._plan.parameters[cell.id][0])}
        if event.outcome == "diverged":
            self._tracker.tags(final.run, {"outcome": "diverged", "error": event.error})
            self._runs.end(final.run, "FAILED", metrics=costs)
            score = math.nan
        else:
            if final.saved:
                self._checkpoints.adopt(cell.id, final.saved, score)
            self._runs.end(final.run, metrics=costs)
        best = math.nan if cell.tuning.trains else score  # a cell's best is its best trial's
        seconds = time.perf_counter() - final.began
        self._progress.done(cell.id, _title(cell, final.seed), score=score, best=best, seconds=seconds)
        self._conclude(cell)

    def _score(self, final: _OpenFinal) -> float:
        return final.values.get(f"validation/{self._objective.lead}", math.nan)

    def _has_no_winner(self, cell: Cell) -> bool:
        return cell.tuning.trains and not self._plan.winners[cell.id]

    def _missing_seeds(self, cell: Cell) -> list[str]:
        """Return the seeds of a cell that have no final run yet; retire those that no longer belong to it."""
        seeds = [str(seed) for seed in self._plan.seeds] if cell.tuning.trains else [NONE]
        winner, there = self._plan.winners[cell.id], set[str]()
        for run in self._runs.children(cell.id, "final"):
            is_winner = not cell.tuning.trains or self._plan.space.parse(run.params) == winner
            same = is_winner and self._plan.identity.items() <= run.tags.items()
            ended = run.status == "FINISHED" or run.tags.get("outcome") == "diverged"
            if same and ended and run.params["seed"] in seeds and run.params["seed"] not in there:
                there.add(run.params["seed"])
            else:
                self._runs.retire(run)
        return [seed for seed in seeds if seed not in there]

    def _conclude(self, cell: Cell) -> None:
        """Write a cell's result on its parent run, if none of its final runs is missing any more.

        The winner, mean and deviation over final runs in the order of the seeds, and what all its runs cost together.
        """
        open_cells = {waiting.id for waiting, _ in self._waiting.values()} | {
            final.cell.id for final in self._open.values()
        }
        if cell.id in open_cells:
            return
        winner = self._plan.space.format(self._plan.winners[cell.id])
        finals = self._runs.children(cell.id, "final")
        costs = summed(run.metrics for run in [*self._runs.children(cell.id, "search"), *finals])
        if self._has_no_winner(cell):
            self._runs.conclude(cell.id, winner, costs, "FAILED")
            return
        seeds = [str(seed) for seed in self._plan.seeds] if cell.tuning.trains else [NONE]
        done = [run for run in finals if run.status == "FINISHED"]
        done.sort(key=lambda run: seeds.index(run.params["seed"]) if run.params["seed"] in seeds else len(seeds))
        params = {**winner, "seed": " ".join(seeds) or NONE}
        self._runs.conclude(cell.id, params, _means(done) | costs, "FINISHED")


def _means(finals: Sequence[Run]) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for name in sorted({name for run in finals for name in run.metrics if name.startswith(RESULTS)}):
        values = [run.metrics[name] for run in finals if name in run.metrics]
        metrics |= {name: mean(values), f"{name}_sd": spread(values)}
    return metrics


def _title(cell: Cell, seed: str) -> str:
    return f"seed {seed}" if cell.tuning.trains else "zero-shot"


def log_predictions(
    split: Split, predictions: Sequence[Prediction], examples: Sequence[Example], *, run: str, tracker: Tracker
) -> None:
    """Store predictions beside references; verdicts are computed from these, never from a second scoring."""
    table: dict[str, list[Any]] = {  # MLflow's page groups by the first column and compares the second
        "source": [example.fields["source"] for example in examples],
        "prediction": [prediction.text for prediction in predictions],
        "reference": [example.target for example in examples],
        "id": [prediction.id for prediction in predictions],
        "nll": [prediction.nll for prediction in predictions],
        "tokens": [prediction.tokens for prediction in predictions],
    }
    if any(len(example.references) > 1 for example in examples):
        table["references"] = [json.dumps(list(example.references), ensure_ascii=False) for example in examples]
    tracker.table(run, table, f"predictions/{split}.json")
