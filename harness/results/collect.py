"""The only reader of a study's runs: from the tracking store to plain results."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.core.errors import UserError
from harness.data.plain_text import PlainText
from harness.data.prompt_forms import PROMPT_FORMS, restored
from harness.data.tokenization import PromptForm
from harness.metrics.base import Metric
from harness.results.cell_result import CellResult, Final, Trial
from harness.results.loss_curves import Losses, read_losses
from harness.results.predictions import named_metric, read_answers, read_transfer, scored_by
from harness.results.score_forecast import Forecast
from harness.results.shared_weights import with_shared_training
from harness.results.test_access import TestAccess, count_accesses
from harness.results.unlike_losses import unlike_losses
from harness.stats.answers import Answers
from harness.study.reference_rows import REFERENCES
from harness.study.search_space import SearchSpace
from harness.tracking.orders import NO_ORDERS, Orders
from harness.tracking.run_records import CellRecord, FinalRecord, ReferenceRecord, TrialRecord, seed_order
from harness.tracking.schema import Metrics, Params, Tags, score_name
from harness.tracking.store_protocols import RunStore
from harness.tracking.stored_run import Run, decoding_run
from harness.tracking.study_record import KeptModels, StudyRecord, decoding, summary_of

__all__ = ["Results", "collect"]


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
    transfer: Mapping[str, Answers] = field(default_factory=dict)
    """By prompt: what final models that trained with others answered to test under it."""
    recordings_mib: float = math.nan  # what was recorded of the frozen parts, over all prompts; nan where nothing was
    answers: Answers | None = None  # what the final runs said on test; none without final runs
    metric: Metric | str = "nothing is scored by example"  # the one that leads, or why answers cannot be scored with it
    metric_is_lost: bool = False
    """Whether they could be when they were given, and only the metric's code is not at hand any more."""
    prompts: Mapping[str, str] = field(default_factory=dict)
    """The text of each prompt; empty for a study that was run before these were kept."""
    forms: Mapping[str, PromptForm | None] = field(default_factory=dict)
    """Those of them that are more than a text, by name; ``None`` where their form is unknown here."""
    filled: Mapping[str, str] = field(default_factory=dict)
    """Those of them with demonstrations, as the first validation row fills them in."""
    curves: Mapping[str, tuple[Losses, ...]] = field(default_factory=dict)
    """Per cell that trains: losses by epoch of its final runs, else of its winning trial."""
    references: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """The scores of the task's reference rows, ``validation/<metric>`` and ``test/<metric>`` as far as they can be had,
    by their names in the order of `harness.study.reference_rows`; empty where test was not scored."""
    test_access: TestAccess = TestAccess()  # how often test was scored for this study
    depths: tuple[str, ...] = ()
    """The tunings, the one that trains least first; empty for a study that was run before this was kept."""
    space: SearchSpace = SearchSpace()  # what the searches drew from
    absent: tuple[str, ...] = ()  # the ids of cells that were not run yet
    leaks: tuple[str, ...] = ()
    """What two splits have in common and was not dropped, a line per pair."""
    cautions: tuple[str, ...] = ()
    """What `check` said of data and prompts that a reader must know, a sentence each."""
    damaged: tuple[str, ...] = ()  # tables of test predictions that cannot be read and take no part, a line each
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The whole study file, likewise."""
    started: float = math.nan  # when the last of its runs that count began, in seconds since 1970
    kept: KeptModels = KeptModels(None, None, None, ())
    """Which of its models are stored, whose the study offers, and why."""
    orders: Orders = NO_ORDERS
    """What it was told since it was written: cells to leave out, trials to draw beyond the study file's."""

    def space_of(self, cell: CellResult) -> SearchSpace:
        """Return what the search of one of the cells drew from."""
        return cell.space or self.space

    @property
    def axes(self) -> tuple[str, ...]:
        """The axes that show: ``prompt``, ``tuning`` and those behind that have more than one level."""
        return tuple(self.cells[0].factors) if self.cells else ("prompt", "tuning")

    @property
    def is_text(self) -> bool:
        """Whether its rows are blocks of plain text, of which few are continued."""
        return any(isinstance(form, PlainText) for form in self.forms.values())

    def ranked(self) -> list[CellResult]:
        """Return the cells, best on validation first.

        Where some winners were retrained, cells without final runs come after those with: the best of many trials is no
        mean over seeds, and neither is the mean of the seeds that did not diverge. Those that do not rank come last. Of
        equal scores the lower validation loss is the better one, where losses of all cells mean the same.
        """
        losses_differ = bool(unlike_losses(self.cells, self.answers))
        retrained = any(cell.finals for cell in self.cells if cell.tuning != "none")

        def key(cell: CellResult) -> tuple[bool, bool, bool, float, float]:
            score, loss = cell.score(score_name("validation", self.lead)), cell.score(Metrics.VALIDATION_LOSS)
            loss = math.inf if losses_differ or math.isnan(loss) else loss
            unlike = (retrained and not cell.finals, cell.diverged_finals > 0)
            return not cell.ranks_by(self.lead), *unlike, -score if self.maximize else score, loss

        return sorted(self.cells, key=key)

    @property
    def first(self) -> CellResult | None:
        """The cell that ranks first; ``None`` where none has a score."""
        return self.first_of([cell.id for cell in self.cells])

    def first_of(self, cells: Container[str]) -> CellResult | None:
        """Return which of some cells, by their ids, ranks first; ``None`` where none of them has a score."""
        return next((cell for cell in self.ranked() if cell.id in cells and cell.ranks_by(self.lead)), None)


def collect(tracker: RunStore, study: str) -> Results:
    """Read a study's results.

    Raises:
        UserError: The study has no summary yet.
    """
    if (summary := summary_of(runs := tracker.runs())) is None:
        raise UserError(f"study {study!r} has no results yet; run it first")
    record = StudyRecord.from_run(tracker, summary)
    parents = {run.tags[Tags.CELL]: run for run in runs if run.phase == "cell"}
    scored = [run for run in runs if _ranks(run) and score_name("test", record.lead) in run.metrics]
    current = {parent.id for parent in parents.values()}
    finals = [run for run in scored if run.phase == "final" and run.parent in current]
    rows = finals[-1].tags.get(Tags.TEST_DIGEST) if finals else None
    with decoding(summary):
        space, ranges = _spaces(record)
        forecast = Forecast.from_json(record.forecast) if record.forecast else None
    children, cells = _children(runs, {cell: parents[cell].id for cell in record.cells if cell in parents}), []
    for cell, part in children.items():
        parent = parents[cell]
        with decoding_run(parent):
            own = ranges.get(parent.params[Params.TUNING], space)
            cells.append(_cell(parent, part, rows, record.axes, space, own))
    references, lead = [run for run in scored if run.phase == "reference"], named_metric(record.lead, record)
    answers, damaged = read_answers(tracker, finals, list(children), references=references)
    return Results(
        study=study,
        question=record.question,
        metrics=record.metrics,
        lead=record.lead,
        maximize=record.maximize,
        objective=record.objective,
        search=record.study["search"],
        space=space,
        baseline=record.baseline,
        cells=with_shared_training(cells),
        provenance=record.provenance,
        data=record.data,
        forecast=forecast,
        recordings_mib=summary.metrics.get(Metrics.RECORDINGS, math.nan),
        answers=answers,
        transfer=read_transfer(tracker, finals, list(children)),
        damaged=damaged,
        metric=scored_by(lead, answers),
        metric_is_lost=isinstance(lead, str) and record.lead in record.signatures,
        prompts=record.prompts,
        forms=_forms(record),
        filled=record.filled,
        curves=read_losses(tracker, {cell: _learned(parents[cell], part) for cell, part in children.items()}),
        references=_references(runs),
        test_access=count_accesses([*runs, *tracker.runs(removed=True)], edition=record.edition, rows=rows),
        leaks=record.leaks,
        cautions=record.cautions,
        settings=record.study,
        started=max((run.started for run in runs if run.parent in current), default=math.nan),
        kept=KeptModels.from_run(summary),
        orders=Orders.of(summary).heeded(record.study["search"]),
        depths=record.depths,
        absent=tuple(cell for cell in record.cells if cell not in parents),
    )


def _spaces(record: StudyRecord) -> tuple[SearchSpace, dict[str, SearchSpace]]:
    """Return what the study searches, and what cells of tunings with learning rates of their own do."""
    space = SearchSpace.from_record(record.space, record.study["search"])
    return space, {tuning: space.with_rates(rates) for tuning, rates in record.ranges.items()}


def _children(runs: Sequence[Run], parents: Mapping[str, str]) -> dict[str, list[Run]]:
    """Return the runs below each of some parents that have ended, by cell; parents by the id of their run.

    One that has not is under way, or what a kill left, and as yet no trial and no final run of anything.
    """
    below: dict[str | None, list[Run]] = {}
    for run in runs:
        if run.status != "RUNNING":
            below.setdefault(run.parent, []).append(run)
    return {cell: below.get(parent, []) for cell, parent in parents.items()}


def _forms(record: StudyRecord) -> dict[str, PromptForm | None]:
    return {
        prompt["name"]: restored(prompt) if any(form in prompt for form in PROMPT_FORMS) else None
        for prompt in record.prompt_forms
    }


def _ranks(run: Run) -> bool:
    """Return whether a run's scores count: it ended well, and if it is a model's, its validation loss is a number."""
    is_sound = run.phase != "final" or math.isfinite(run.metrics.get(Metrics.VALIDATION_LOSS, math.nan))
    return run.status == "FINISHED" and is_sound


def _learned(parent: Run, children: Sequence[Run]) -> list[Run]:
    """Return the runs that show how a cell learned: its final runs, else its winning trial."""
    finals = [run for run in children if run.phase == "final" and _ranks(run)]
    if finals:
        return sorted(finals, key=seed_order)
    winner = parent.tags.get(Tags.BEST_TRIAL)
    return [run for run in children if run.phase == "search" and run.tags.get(Tags.TRIAL) == winner]


def _references(runs: Sequence[Run]) -> dict[str, Mapping[str, float]]:
    done = [run for run in runs if run.phase == "reference" and run.status == "FINISHED"]
    scores = {record.name: record.scores for record in map(ReferenceRecord.from_run, done)}
    return {name: scores[name] for name in REFERENCES if name in scores}


def _cell(
    parent: Run, children: Sequence[Run], rows: str | None, axes: Sequence[str], space: SearchSpace, own: SearchSpace
) -> CellResult:
    """Return a cell's results; scores on other test rows than these are left out.

    Args:
        parent: Its run.
        children: The runs below.
        rows: Digest of the test rows.
        axes: What cells differ by.
        space: The study's.
        own: What the cell's search was to draw from.
    """
    cell = CellRecord.from_run(parent, axes)
    searched = sorted((run for run in children if run.phase == "search"), key=lambda run: int(run.tags[Tags.TRIAL]))
    counted = searched[: cell.counted]
    trials = [TrialRecord.from_run(run, space.names) for run in counted]
    finals = sorted((run for run in children if run.phase == "final"), key=seed_order)
    records = [(FinalRecord.from_run(run, space.names), run) for run in finals]
    best = next((trial for trial in trials if str(trial.index) == cell.best_trial), None)
    return CellResult(
        id=cell.id,
        factors=cell.factors,
        hyperparameters=space.parse(parent.params),
        trials=tuple(_trial(trial, space) for trial in trials),
        finals=tuple(Final(final.seed, final.scores_on(rows), final.costs) for final, run in records if _ranks(run)),
        params=parent.params,
        best=best.scores if best else {},
        seconds=sum(run.own_seconds for run in [*counted, *finals]),
        space=_reach(cell, own),
        added_trials=cell.added,
        diverged_finals=sum(final.diverged or (run.status == "FINISHED" and not _ranks(run)) for final, run in records),
        further_trials=len(searched) - len(counted),
        tokenizer=parent.tags.get(Tags.TOKENIZER_DIGEST, ""),
        winner=best.index if best else None,
    )


def _reach(cell: CellRecord, space: SearchSpace) -> SearchSpace:
    """Return a cell's space as far as its search widened it."""
    rates = space.find(Params.LEARNING_RATE)
    if rates is None or not cell.widened:
        return space
    return space.replaced(replace(rates, low=cell.widened[0], high=cell.widened[1]))


def _trial(trial: TrialRecord, space: SearchSpace) -> Trial:
    return Trial(
        index=trial.index,
        hyperparameters=space.parse(trial.hyperparameters),
        state=trial.outcome or "open",
        value=trial.value,
        metrics=trial.scores,
        costs=trial.costs,
        warm_start=trial.warm_start,
        error=trial.error,
    )
