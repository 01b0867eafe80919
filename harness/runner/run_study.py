"""From a checked study to results: composition only.

1. Settle the store: what an earlier command left, finished or not.
2. Search every cell that trains. Nothing here can reach the test split.
3. Open the test split; retrain every winner on the final seeds and score it once.
4. Conclude: means on the parents, the best model, the report.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from traceback import clear_frames

from filelock import FileLock, Timeout
from optuna.storages import BaseStorage

from harness.core.errors import StoreError
from harness.core.example import fingerprint
from harness.core.progress import Progress
from harness.data.sources import read_split
from harness.report.text.findings import Findings, find
from harness.report.write_report import write_report
from harness.results.collect import Results, collect
from harness.runner.finals.best_checkpoint import best_checkpoint_of
from harness.runner.finals.final_runs import NONE, conclude_cell, costs_of, final_cell, missing_seeds
from harness.runner.finals.model_store import store_models
from harness.runner.finals.score_references import score_references
from harness.runner.publish_pages import show_results
from harness.runner.run_parts import Session, _session, alias_winner, data_use
from harness.runner.search.optuna_search import CellSearch, open_storage, reach_storage
from harness.runner.search.trials import Start, search_cell, settle_trials
from harness.runner.summary_run import _open_summary
from harness.study.check import Checked
from harness.study.grid import Cell, neighbor, select, with_neighbors
from harness.tracking.choose_store import opened
from harness.tracking.mlflow.http import reach_store
from harness.training.trainer import Trainer

__all__ = ["report_folder", "run"]


def report_folder(study: str) -> Path:
    """Return where a study's report goes."""
    return Path("reports") / study


def run(
    checked: Checked, *, progress: Progress, cells: str | None = None, fresh: bool = False
) -> tuple[Results, Findings]:
    """Run what is missing of a study and write its report; return what that is about.

    Args:
        checked: The study.
        progress: Who watches.
        cells: A pattern such as ``cue/*``: run only these cells; with warm start, search those that they start from.
        fresh: Start the cells over; what is there is superseded.

    Raises:
        UserError: What the user must change, a store out of reach among them.
    """
    chosen = select(checked.cells, cells)
    reach_store()
    reach_storage(checked.study.search.storage)
    progress.say(f"loading model {checked.study.model.name}")
    trainer = Trainer(checked, progress.say)
    # Whatever the user must change has been found by now; from here on things are written.
    with _only_one(checked.study.name), opened(checked.study.name, progress.say) as tracker:
        storage = open_storage(checked.study.search.storage)
        session = _session(checked, trainer, tracker, progress)
        try:
            session.ledger.settle(fresh=[cell.id for cell in chosen] if fresh else ())
            summary = _open_summary(session)
            _run_cells(chosen, storage, session)
            session.log_recorded(summary)
            store_models(summary, session)
            results = collect(tracker, checked.study.name)
            findings = find(results)
            alias_winner(findings.first or results.ranked()[0].id, checked, tracker)
            write_report(results, report_folder(results.study), findings=findings)
            tracker.files(summary, report_folder(results.study), "report")
            show_results(results, findings, summary, session)
            session.ledger.end(summary)
        except KeyboardInterrupt as signal:
            clear_frames(signal.__traceback__)  # a query that was cut short would keep its database locked
            session.ledger.abort("KILLED")
            raise
        except BaseException:
            session.ledger.abort("FAILED")
            raise
        return results, findings


@contextmanager
def _only_one(study: str) -> Iterator[None]:
    """Refuse a second process on the same study in the same folder."""
    Path(".harness").mkdir(exist_ok=True)
    try:
        with FileLock(f".harness/.{study}.lock", timeout=0):
            yield
    except Timeout:
        raise StoreError(
            f"study {study!r} is being run by another process in this folder; wait for it or end it"
        ) from None


def _run_cells(cells: list[Cell], storage: BaseStorage, session: Session) -> None:
    """Search all cells and those that they start from, then run all finals."""
    study, grid = session.checked.study, session.checked.cells
    searched = with_neighbors(cells, study, grid)
    searches = {cell.id: _open_search(cell, storage, session) for cell in searched}
    seeds = {cell.id: len(study.final.seeds) if cell in cells else 0 for cell in searched}
    session.progress.start({cell.id: _work(cell, searches[cell.id], seeds[cell.id], session) for cell in searched})
    found: dict[str, Start] = {}
    for cell in searched:
        parent, search = neighbor(cell, study, grid), searches[cell.id]
        best = search_cell(cell, search, session, found.get(parent.id) if parent else None) if search else None
        if best:
            found[cell.id] = Start(cell.id, best.learning_rate)
            session.ledger.note(cell.id, {"best_trial": str(best.trial)})
    winners = {cell.id: repr(found[cell.id].learning_rate) if cell.id in found else NONE for cell in searched}
    _run_finals(cells, winners, session)


def _open_search(cell: Cell, storage: BaseStorage, session: Session) -> CellSearch | None:
    """Open a cell's parent run and its search, ``None`` where nothing trains."""
    run, study = session.ledger.parent(cell.id), session.checked.study
    session.tracker.text(run.id, cell.prompt.text, "prompt.jinja")
    if not cell.tuning.trains:
        return None
    name = f"{study.name}/{cell.id}/{session.ledger.search(cell.id)[:12]}"
    maximize = session.maximizes(session.checked.objective)
    search = CellSearch(storage, name, spec=study.search, maximize=maximize)
    settle_trials(cell, search, session)
    return search


def _work(cell: Cell, search: CellSearch | None, seeds: int, session: Session) -> int:
    """Return how many training runs a cell still takes, at most."""
    if search is None:
        return 1 - len(session.ledger.children(cell.id, "final"))
    trials = session.checked.study.search.trials - len(search.finished())
    return trials + (seeds if trials else max(0, seeds - len(session.ledger.children(cell.id, "final"))))


def _run_finals(cells: list[Cell], winners: Mapping[str, str], session: Session) -> None:
    """Run the missing finals of some cells, and conclude every cell that was searched."""
    checked, test_digest = session.checked, NONE
    if checked.study.final.seeds:
        test = read_split(checked.source, "test", checked.study.data, checked.task.example)
        test_digest = fingerprint(test)
        session.trainer.open_test(test)
        session.ledger.open_test(data_use(checked, "test", test))
    score_references(test_digest, session)
    retention = session.retention.digest if session.retention else NONE
    identity = {"test_digest": test_digest, "generality_digest": retention}
    for cell in [cell for cell in checked.cells if cell.id in winners]:
        rate = winners[cell.id]
        if cell.tuning.trains and rate == NONE:
            session.ledger.conclude(cell.id, {"learning_rate": NONE}, costs_of(cell, session), "FAILED")
            continue
        missing = missing_seeds(cell, rate, identity, session)
        for seed in missing if cell in cells else ():
            final_cell(
                cell, rate, seed, identity=identity, best_checkpoint=best_checkpoint_of(cell, session), session=session
            )
        conclude_cell(cell, rate, session)
