"""From a checked study to results: composition only.

1. Settle the store: what an earlier command left, finished or not.
2. Search every cell that trains. Nothing here can reach the test split.
3. Open the test split; retrain every winner on the final seeds and score it once.
4. Conclude: means on the parents, the best model, the report.

This process is the driver: it alone asks Optuna, writes to tracking and decides. Who trains is an executor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property, partial
from traceback import clear_frames

from optuna.storages import BaseStorage

from harness.core import interrupts
from harness.core.errors import UserError
from harness.core.failures import explained
from harness.core.progress import Progress
from harness.core.workspace import Workspace
from harness.metrics.base import Metric
from harness.metrics.evaluate_hub import resolve_all
from harness.results.score_forecast import Forecast, kept_forecast
from harness.runner.cell_work import cell_work
from harness.runner.executors.crew import ALONE, Crew
from harness.runner.executors.executor_table import EXECUTORS
from harness.runner.executors.known_model import KnownModel
from harness.runner.executors.protocol import Executor, drive
from harness.runner.finals.checkpoints import Checkpoints
from harness.runner.finals.final_runs import FinalsQueue
from harness.runner.finals.model_store import ModelKeeper
from harness.runner.finals.open_test import open_test
from harness.runner.finals.score_references import score_references
from harness.runner.finals.winner_alias import alias_winner
from harness.runner.obey_orders import ObeyingQueue, OrderWatch, Stopped
from harness.runner.objective import Objective, objective_of
from harness.runner.only_one import only_one
from harness.runner.publish_pages import publish_begun, publish_results
from harness.runner.result import Result
from harness.runner.resume.changed_code import refuse_changed_code
from harness.runner.resume.damaged_runs import retire_damaged
from harness.runner.resume.missing_runs import StudyRuns
from harness.runner.run_params import open_summary, study_record, study_runs
from harness.runner.search.failing_trials import refuse_starved
from harness.runner.search.optuna_search import CellSearch, known_search
from harness.runner.search.optuna_storage import open_storage, reach_storage
from harness.runner.search.settle_trials import Copied, settle_trials
from harness.runner.search.trials import SearchQueue
from harness.runner.written_report import write_if_new
from harness.study.checked_study import Checked
from harness.study.first_settings import first_settings
from harness.study.grid import Cell, cell_space, neighbor, searched_by, select, with_neighbors
from harness.study.own_losses import code_files
from harness.study.recorded_ranges import with_recorded_ranges
from harness.study.search_space import Hyperparameters, SearchSpace
from harness.study.task_files import remember
from harness.tracking.choose_store import opened
from harness.tracking.mlflow.http import reach_store
from harness.tracking.mlflow.study_lease import leased
from harness.tracking.schema import Artifacts, Metrics, Status
from harness.tracking.study_record import refuse_newer_study
from harness.training.model_facts import ModelFacts

__all__ = ["run"]


def run(
    checked: Checked,
    workspace: Workspace,
    *,
    progress: Progress,
    cells: str | None = None,
    fresh: bool = False,
    executor: str = "local",
    crew: Crew = ALONE,
) -> Result:
    """Run what is missing of a study and write its report; return what that is about.

    Takes what `harness.runner.study.Study.run` does; with warm start, the cells that named ones start from are too.

    Raises:
        UserError: What the user must change, a store out of reach among them.
    """
    chosen = select(checked.cells, cells)
    remember(code_files(checked.study))
    folder, _ = workspace.study(checked.study.name), workspace.report(checked.study.name)  # or they are refused
    reach_store((address := checked.file.address).store)
    reach_storage(checked.study.search.storage)
    metrics = resolve_all(checked.metrics)
    trains = KnownModel(EXECUTORS[executor], checked, workspace, progress, crew)
    name, say = checked.study.name, progress.say
    with ExitStack() as held:
        held.callback(trains.close)
        model = trains.facts()
        for caution in model.cautions:
            say(f"caution: {caution}")
        forecast = kept_forecast(model.weights, checked, workspace)
        machine = held.enter_context(only_one(name, address.store, workspace))
        tracker = held.enter_context(opened(address, say))
        refuse_newer_study(tracker)
        if not fresh or cells:
            refuse_changed_code(tracker, metrics, checked.examples["validation"])
            checked, told = with_recorded_ranges(checked, tracker)
            if told:
                say(told)
        watch = held.enter_context(OrderWatch(checked, tracker, is_fresh=fresh and not cells))
        checked = watch.with_more(checked, say)
        if checked.study.registered_as:
            tracker.models.registry.refuse_taken(checked.study.registered_as)
        # Whatever the user must change has been found by now; from here on things are written.
        held.enter_context(leased(address.store, tracker.pages.experiment, machine, say))
        storage = open_storage(checked.study.search.storage, say)
        runs = study_runs(checked, model, metrics, tracker, workspace)
        driver = _Driver(checked, workspace, metrics, model, trains, runs, storage, forecast, watch, progress)
        try:
            runs.settle(fresh=[cell.id for cell in chosen] if fresh else ())
            Checkpoints(folder, checked.study.final).drop_unfinished()
            tracker.models.drop_unfinished()
            return driver.run(chosen)
        except BaseException as error:
            interrupts.arrived()
            trains.close()  # first: whoever trains takes time from what is left to do
            _close(runs, error)
            raise


def _close(runs: StudyRuns, error: BaseException) -> None:
    """End all that is open; where the machine does not let it, the next command does."""
    was_cut = isinstance(error, KeyboardInterrupt | Stopped) or bool(interrupts.status())
    if was_cut:
        clear_frames(error.__traceback__)  # a query that was cut short would keep its database locked
    status: Status = "KILLED" if was_cut else "FAILED"
    try:
        runs.end_all(status)
    except Exception as trouble:
        if explained(trouble) is None:
            raise


@dataclass(frozen=True)
class _Driver:
    """Takes a study through its steps."""

    checked: Checked
    workspace: Workspace
    metrics: Sequence[Metric]
    model: ModelFacts
    executor: Executor
    runs: StudyRuns
    storage: BaseStorage
    forecast: Forecast | None
    watch: OrderWatch
    progress: Progress

    def run(self, chosen: Sequence[Cell]) -> Result:
        """Run what is missing of some cells, and report on the study."""
        checked, study, tracker = self.checked, self.checked.study, self.runs.tracker
        record = study_record(checked, self.model, self.metrics, self.objective, self.runs, self.forecast)
        summary, was_there = open_summary(checked, record, self.runs)
        if not was_there:
            publish_begun(checked, self.objective, summary, tracker)
        test_ids = {checked.test_digest: checked.test_ids} if checked.test_digest else {}
        if damaged := retire_damaged(self.runs, [cell.id for cell in chosen], test_ids):
            self.progress.say(f"stored predictions are damaged, so these runs are done again: {', '.join(damaged)}")
        self.watch.take_up(tracker, summary)
        if not (chosen := self.watch.staying(chosen, checked)):
            raise UserError("all these cells were left out by `harness skip`; take some in again by its --undo")
        searched = with_neighbors(chosen, study, checked.cells)
        searches = self._open_searches(searched)
        queue = self._queue(searched, searches)
        works = partial(cell_work, queue=queue, chosen=chosen, checked=checked, model=self.model, runs=self.runs)
        self.progress.start({c.id: works(c, space=self.spaces[c.id], forecast=self.forecast) for c in searched})
        drive(self.executor, ObeyingQueue(queue, self.watch, self.progress, opens_anew=True))
        if self.watch.more:
            return replace(self, checked=self.watch.with_more(checked, self.progress.say)).run(chosen)
        searched, chosen = self.watch.staying(searched, checked), self.watch.staying(chosen, checked)
        winners = {cell.id: queue.winner(searched_by(cell, checked.cells).id) for cell in searched}
        checkpoints = Checkpoints(self.workspace.study(study.name), study.final)
        counted = {cell: len(search.counted()) for cell, search in searches.items()}
        self._run_finals(searched, chosen, winners, counted, checkpoints)
        if (mib := self.executor.recorded() / 2**20) > tracker.run(summary).metrics.get(Metrics.RECORDINGS, 0.0):
            tracker.metrics(summary, {Metrics.RECORDINGS: mib})  # this command may have seen a part of it
        keeper = ModelKeeper(
            checked=checked,
            metrics=self.metrics,
            spaces=self.spaces,
            objective=self.objective,
            checkpoints=checkpoints,
            executor=self.executor,
            runs=self.runs,
            progress=self.progress,
        )
        self.runs.let_go()
        result = Result.of(checked.file.address, tracker, self.workspace)
        kept = keeper.store(summary, result.first) or result.results.kept
        result = replace(result, results=replace(result.results, kept=kept))
        if first := result.first:
            alias_winner(first, checked, tracker)
        self.progress.stage("writing the report")
        write_if_new(result, summary, tracker)
        publish_results(result, study.final.seeds, summary, tracker)
        self.runs.end(summary)
        refuse_starved(searches, winners)
        return result

    @cached_property
    def objective(self) -> Objective:
        """What the study searches and ranks by."""
        return objective_of(self.checked, self.metrics)

    @cached_property
    def spaces(self) -> Mapping[str, SearchSpace]:
        """What the search of each cell draws from."""
        study = self.checked.study
        return {cell.id: cell_space(study, cell) for cell in self.checked.cells}

    def _open_searches(self, cells: Sequence[Cell]) -> dict[str, CellSearch]:
        """Open the parent runs of some cells, and the searches of those that train."""
        searches, study, copied, there = {}, self.checked.study, Copied(0, 0), self.storage.get_all_studies()
        for cell in cells:
            prefix, identity = f"{study.name}/{cell.id}/", self.runs.identity(cell.id)
            known = None if self.runs.knows(cell.id) else known_search(there, prefix, identity)
            parent = self.runs.parent(cell.id, known)
            self.runs.tracker.text(parent.id, cell.prompt.text, Artifacts.PROMPT)
            if cell.tuning.trains and searched_by(cell, self.checked.cells) == cell:
                search = CellSearch(
                    self.storage,
                    f"{prefix}{self.runs.search(cell.id)[:12]}",
                    spec=study.search,
                    space=self.spaces[cell.id],
                    maximize=self.objective.maximize,
                    first=first_settings(study, self.spaces[cell.id]),
                    identity=identity,
                )
                copied += settle_trials(cell.id, search, self.runs, self.objective.name)
                searches[cell.id] = search
        if sum(copied):
            self.progress.say(copied.in_words())
        return searches

    def _queue(self, cells: Sequence[Cell], searches: Mapping[str, CellSearch]) -> SearchQueue:
        study = self.checked.study
        neighbors = {cell.id: start.id for cell in cells if (start := neighbor(cell, study, self.checked.cells))}
        return SearchQueue(searches, neighbors, self.objective, self.runs, self.progress)

    def _run_finals(
        self,
        searched: Sequence[Cell],
        chosen: Sequence[Cell],
        winners: Mapping[str, Hyperparameters],
        counted: Mapping[str, int],
        checkpoints: Checkpoints,
    ) -> None:
        """Run the missing finals of some cells, and conclude every cell that was searched."""
        examples, test_digest = open_test(self.checked, self.executor, self.runs)
        score_references(self.checked.task, self.metrics, examples, self.runs, self.progress)
        queue = FinalsQueue(
            cells=searched,
            chosen=chosen,
            winners=winners,
            spaces=self.spaces,
            checked=self.checked,
            trials=counted,
            test_digest=test_digest,
            examples=examples,
            model=self.model,
            objective=self.objective,
            checkpoints=checkpoints,
            runs=self.runs,
            progress=self.progress,
        )
        drive(self.executor, ObeyingQueue(queue, self.watch, self.progress))
