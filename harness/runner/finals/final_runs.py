"""Final runs: the winner of each cell retrained on fresh seeds and scored on the test split; the middle one is kept."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from harness.core.absent_value import NONE
from harness.core.cost_names import summed
from harness.core.example import Example, Split
from harness.core.progress import Progress
from harness.report.mlflow_pages.descriptions import final_note
from harness.runner.executors.protocol import Ended, EpochEnded, Event, Job, Lost, Measured, Reply, Scored, Trained
from harness.runner.finals.checkpoints import Checkpoints
from harness.runner.finals.common_finals import answered_for, take_over
from harness.runner.finals.final_records import final_records, standing
from harness.runner.finals.kept_weights import KeptWeights
from harness.runner.finals.open_final import OpenFinal, title_of
from harness.runner.finals.stored_weights import StoredWeights
from harness.runner.finals.test_answers import TestAnswers
from harness.runner.objective import Objective
from harness.runner.resume.missing_runs import StudyRuns
from harness.stats import mean, spread
from harness.study.checked_study import Checked
from harness.study.grid import Cell, same_answers, searched_by
from harness.study.search_space import Hyperparameters, SearchSpace
from harness.tracking.calibration_names import LABEL_PRIOR
from harness.tracking.prediction_table import write_predictions
from harness.tracking.run_records import FinalRecord, in_order_of
from harness.tracking.schema import Metrics, Params, Tags, score_name
from harness.tracking.stored_run import Run
from harness.tracking.transfer_names import TRANSFER, transfer_file
from harness.training.model_facts import ModelFacts

__all__ = ["FinalsQueue"]

RESULTS = (Metrics.VALIDATION, Metrics.TEST, Metrics.GENERALITY, TRANSFER, LABEL_PRIOR)
"""What the metrics begin with whose means a cell has."""


@dataclass
class FinalsQueue:
    """The final runs that are missing."""

    cells: Sequence[Cell]
    """Those that were searched, in the grid's order."""
    chosen: Sequence[Cell]
    """Those of them whose final runs are made; the others are merely concluded."""
    winners: Mapping[str, Hyperparameters]
    """Of each cell; empty where nothing trains or no trial completed."""
    spaces: Mapping[str, SearchSpace]
    """What they were drawn from, for each cell."""
    checked: Checked
    trials: Mapping[str, int]
    """How many trials of a cell count; the store may hold more of an earlier, larger budget."""
    test_digest: str
    """The test rows; `NONE` while test is closed."""
    examples: Mapping[Split, Sequence[Example]]
    """The splits that are scored."""
    model: ModelFacts
    objective: Objective
    checkpoints: Checkpoints
    runs: StudyRuns
    progress: Progress
    _waiting: dict[str, tuple[Cell, str]] = field(default_factory=dict, init=False)
    _along: dict[str, list[Cell]] = field(default_factory=dict, init=False)
    """By final run that waits, the cells of further settings of generation that its weights answer for as well."""
    _open: dict[str, OpenFinal] = field(default_factory=dict, init=False)
    _answered: dict[str, list[tuple[Cell, str]]] = field(default_factory=dict, init=False)
    """By final run that waits or is open, those of other cells that take its answers over."""

    def __post_init__(self) -> None:
        self._leads = {cell.id: searched_by(cell, self.checked.cells) for cell in self.cells}
        self._firsts = dict[tuple[str, str], Cell]()
        """By the cell whose weights answer, and seed: the cell of the final run that waits for them."""
        self._stored = StoredWeights(self._leads, self.runs)
        self._kept = KeptWeights(self.checkpoints, self.objective, self.cells, self._lead)
        missing = {cell: self._missing_seeds(cell) for cell in self.cells}
        for line in self._stored.repeated({cell: missing[cell] for cell in self.chosen}):
            self.progress.say(line)
        for cell in self.cells:
            of = missing[cell] if cell in self.chosen else []
            asked = [seed for seed in of if not self._is_answered(cell, seed)]
            for seed in asked:
                self._let_wait(cell, seed)
            self.progress.settle(cell.id, len(asked))
            self._conclude(cell)

    def _let_wait(self, cell: Cell, seed: str) -> None:
        """Let a final run wait: by itself, or along with one of the same weights that waits already."""
        first = self._firsts.setdefault((self._lead(cell).id, seed), cell)
        name = f"{first.id} {title_of(first, seed)}"
        if first == cell:
            self._waiting[name] = cell, seed
        else:
            self._along.setdefault(name, []).append(cell)

    def _is_answered(self, cell: Cell, seed: str) -> bool:
        """Return whether another cell's final run answers for one that is missing: it is taken over, or will be."""
        others = [other for other in same_answers(cell, self.checked.cells) if other != cell]
        waiting = [*self._waiting.values(), *self._waits_along()]
        if donor := next((other for other, _ in waiting if other in others), None):
            self._answered.setdefault(f"{donor.id} {title_of(donor, seed)}", []).append((cell, seed))
            return True
        last: Split = "test" if self.checked.study.final.seeds else "validation"
        run = answered_for(self._records(cell)[seed], others, self.spaces[cell.id], self.runs, last)
        if run:
            self._take_over(run, cell, seed)
        return run is not None

    def _waits_along(self) -> Iterator[tuple[Cell, str]]:
        return ((cell, self._waiting[name][1]) for name, cells in self._along.items() for cell in cells)

    def _take_over(self, donor: Run, cell: Cell, seed: str) -> None:
        note = final_note(cell.id, seed, self.winners[cell.id])
        take_over(donor, self._records(cell)[seed], title_of(cell, seed), note, self.runs)

    def waiting(self) -> Sequence[str]:
        """Return all that is missing: no final run depends on another."""
        return list(self._waiting)

    def cell(self, name: str) -> str:
        """Return the cell of a final run that is missing."""
        return self._waiting[name][0].id

    def take(self, name: str) -> Job:
        """Start a final run."""
        cell, seed = self._waiting.pop(name)
        final = self._start(cell, seed)
        final.along = [self._start(other, seed) for other in self._along.pop(name, ())]
        self._open[name], winner = final, self.winners[cell.id]
        self.progress.began(name, cell.id, final=True)
        return Job(
            name,
            cell.id,
            winner,
            int(seed) if cell.tuning.trains else 0,
            scores="validation",
            predicts=bool(self.checked.study.final.seeds) or self.objective.generates,
            measures=self.model.forgetting is not None,
            stored=self._stored.of(cell, seed),
            identity=self.runs.identity(cell.id),
        )

    def _start(self, cell: Cell, seed: str) -> OpenFinal:
        """Start the run of one."""
        record = self._records(cell)[seed]
        params, note = record.params(), final_note(cell.id, seed, self.winners[cell.id])
        tags = {**record.tags(), Tags.NOTE: note}
        run = self.runs.start(cell.id, title_of(cell, seed), phase="final", params=params, tags=tags)
        return OpenFinal(cell, seed, run, TestAnswers(run, cell.id, record.asked_under, self.objective, self.runs))

    def handle(self, event: Event) -> Reply:
        """Record an event of a final run."""
        final = self._open[event.job]
        match event:
            case EpochEnded():
                self.runs.tracker.metrics(final.run, event.metrics, step=event.at)
                facts = {"epoch": event.epoch, "step": event.step, "metrics": event.metrics}
                self.progress.record("epoch", event.job, facts)
            case Trained():
                if event.tags:
                    self.runs.tracker.tags(final.run, event.tags)
                if event.metrics:
                    self.runs.tracker.metrics(final.run, event.metrics, step=event.at)
            case Scored():
                return self._scored(event, final, final.hear(event))
            case Measured():
                return self._measured(event, final)
            case Ended():
                self._end(event, self._open.pop(event.job))
            case Lost():
                lost = self._open.pop(event.job)
                for one in lost.all:
                    self.runs.interrupt(self.runs.tracker.run(one.run))
                self._waiting = {event.job: (lost.cell, lost.seed), **self._waiting}
                if lost.along:
                    self._along[event.job] = [one.cell for one in lost.along]
        return Reply()

    def _scored(self, event: Scored, job: OpenFinal, final: OpenFinal) -> Reply:
        """Record what a job answered, as one of its final runs."""
        if event.error:
            return job.next_setting(event.cell)
        if event.predictions:
            examples = self.examples[event.split]
            made = transfer_file(event.under) if event.under else event.split, examples, event.predictions
            write_predictions(self.runs.tracker, final.run, *made, self.runs.kept_off)
        if event.split == "validation":
            self.runs.tracker.tags(final.run, {Tags.TRUNK: event.trunk, Tags.WEIGHTS_DIGEST: event.weights})
        if self.checked.study.final.seeds and (question := final.test.next(event.weights, final.values)).score:
            return question._replace(cell=event.cell)
        self.runs.tracker.metrics(final.run, final.values, step=event.step)
        return job.next_setting(event.cell)

    def _measured(self, event: Measured, final: OpenFinal) -> Reply:
        for one in final.all if event.metrics else ():
            self.runs.tracker.metrics(one.run, event.metrics, step=event.step)
        if not self.checked.study.final.seeds or self.checked.study.final.models == "none":
            return Reply()
        lead, winner = self._lead(final.cell).id, self.winners[final.cell.id]
        final.saved = self.checkpoints.key(self.runs.cells[lead].digest, winner, final.seed)
        return Reply(save=str(self.checkpoints.of(lead, final.seed).offered()))

    def _end(self, event: Ended, job: OpenFinal) -> None:
        """End a job's final runs: its own, and those along, which took and cost what their answers did."""
        if job.saved and event.outcome != "diverged":
            self.checkpoints.of(self._lead(job.cell).id, job.seed).adopt(job.saved)
        for one in job.all:
            if one is not job:
                self.progress.began(one.name, one.cell.id, final=True)
            self._end_one(job.ended(event, one), one, one.name)

    def _end_one(self, event: Ended, final: OpenFinal, name: str) -> None:
        cell, score = final.cell, self._score(final)
        counts = self.runs.cells[cell.id].counts(self.spaces[cell.id].format(self.winners[cell.id]))
        costs = {**event.costs, Metrics.TRAINABLE: float(counts.get(Params.TRAINABLE) or 0)}
        if tags := {**event.memory, **event.tags}:
            self.runs.tracker.tags(final.run, tags)
        if event.outcome == "diverged":
            self.runs.tracker.tags(final.run, {Tags.OUTCOME: "diverged", Tags.ERROR: event.error})
            self.runs.end(final.run, "FAILED", metrics=costs)
            score = math.nan
        else:
            self.runs.end(final.run, metrics=costs)
        best = math.nan if cell.tuning.trains else score  # a cell's best is its best trial's
        seconds = final.seconds
        facts = {
            "seed": int(final.seed) if cell.tuning.trains else None,
            "state": "diverged" if event.outcome == "diverged" else "complete",
            "metrics": dict(final.values),
            "seconds": seconds,
            "error": event.error or None,
        }
        self.progress.record("final", name, facts)
        self.progress.done(name, title_of(cell, final.seed), score=score, best=best, seconds=seconds)
        self._conclude(cell)
        for other, seed in self._answered.pop(name, ()):
            self._take_over(self.runs.tracker.run(final.run), other, seed)
            self._conclude(other)

    def _records(self, cell: Cell) -> dict[str, FinalRecord]:
        """Return the final runs that a cell is to have, by seed."""
        winner, space = self.winners[cell.id], self.spaces[cell.id]
        generality = self.model.forgetting or NONE
        return final_records(
            cell, winner, space, self.checked, test_digest=self.test_digest, generality_digest=generality
        )

    def _score(self, final: OpenFinal) -> float:
        return final.values.get(score_name("validation", self.objective.lead), math.nan)

    def _has_no_winner(self, cell: Cell) -> bool:
        return cell.tuning.trains and not self.winners[cell.id]

    def _missing_seeds(self, cell: Cell) -> list[str]:
        """Return the seeds of a cell that have no final run yet; retire those that no longer belong to it."""
        records = self._records(cell)
        there = standing(self.runs.children(cell.id, "final"), records, self.spaces[cell.id])
        for run in self.runs.children(cell.id, "final"):
            if run.id not in there.values():
                self.runs.retire(run)
            else:
                self._stored.add(cell, [run])
        return [seed for seed in records if seed not in there]

    def _conclude(self, cell: Cell) -> None:
        """Write a cell's result on its parent run, if none of its final runs is missing any more."""
        missing = [cell.id for cell, _ in (*self._waiting.values(), *self._waits_along())]
        missing += [one.cell.id for job in self._open.values() for one in job.all]
        missing += [cell.id for cells in self._answered.values() for cell, _ in cells]
        if cell.id in missing:
            return
        winner = self.spaces[cell.id].format(self.winners[cell.id])
        finals = self.runs.children(cell.id, "final")
        trials = sorted(self.runs.children(cell.id, "search"), key=lambda run: int(run.tags[Tags.TRIAL]))
        costs = summed(run.metrics for run in [*trials[: self.trials.get(cell.id)], *finals])
        if self._has_no_winner(cell):
            self.runs.conclude(cell.id, winner, costs, "FAILED")
            return
        seeds = list(self._records(cell))
        done = in_order_of(seeds, [run for run in finals if run.status == "FINISHED"])
        params = {**winner, Params.SEED: " ".join(seeds) or NONE}
        means = _means(done)
        self.runs.conclude(cell.id, params, means | costs, "FINISHED")
        self._kept.concluded(cell, done, means, is_whole=len(done) == len(seeds))

    def _lead(self, cell: Cell) -> Cell:
        """Return the cell whose weights answer for a cell."""
        return self._leads[cell.id]


def _means(finals: Sequence[Run]) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for name in sorted({name for run in finals for name in run.metrics if name.startswith(RESULTS)}):
        values = [run.metrics[name] for run in finals if name in run.metrics]
        metrics |= {name: mean(values), f"{name}{Metrics.SPREAD}": spread(values)}
    return metrics
