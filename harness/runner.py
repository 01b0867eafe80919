"""From a checked study to results: composition only.

1. Settle the store: what an earlier command left, finished or not.
2. Search every cell that trains. Nothing here can reach the test split.
3. Open the test split; retrain every winner on the final seeds and score it once.
4. Conclude: means on the parents, the best model, the report.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from traceback import clear_frames
from typing import Any

from filelock import FileLock, Timeout
from optuna.storages import BaseStorage

from harness.bench import Bench
from harness.cells import Cell, cell_digests, edition, neighbor, select, with_neighbors
from harness.check import Checked
from harness.errors import StoreError
from harness.example import Split, digest, fingerprint
from harness.finals import NONE, conclude_cell, costs_of, final_cell, missing_seeds
from harness.inputs import alias_winner, data_use, registered
from harness.keeping import keeper_of
from harness.ledger import Ledger
from harness.models.load import architecture_digest
from harness.planning.plan import kept
from harness.progress import Progress
from harness.provenance import provenance
from harness.reference_runs import score_references
from harness.report.collect import Results, collect
from harness.report.findings import Findings, find
from harness.report.render import write_report
from harness.retention import Retention
from harness.search import CellSearch, open_storage, reach_storage
from harness.session import Session
from harness.showing import color, show_begun, show_results
from harness.sources import read_split
from harness.storing import store_models
from harness.tracking.address import reach_store
from harness.tracking.base import Tracker
from harness.tracking.opening import opened
from harness.trials import Start, search_cell, settle_trials

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
    bench = Bench(checked, progress.say)
    # Whatever the user must change has been found by now; from here on things are written.
    with _only_one(checked.study.name), opened(checked.study.name, progress.say) as tracker:
        storage = open_storage(checked.study.search.storage)
        session = _session(checked, bench, tracker, progress)
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


def _session(checked: Checked, bench: Bench, tracker: Tracker, progress: Progress) -> Session:
    data = {split: fingerprint(examples) for split, examples in checked.examples.items()}
    facts = {
        "task": checked.task.name,
        "weights": bench.loaded.digest,
        "architecture": architecture_digest(bench.loaded.model),
        "tokenizer": digest(bench.loaded.tokenizer.get_vocab()),
        "data": data,
        "limits": bench.limits,
        "decoding": bench.decoding,
        "metrics": [metric.signature() for metric in bench.metrics],
    }
    digests = cell_digests(checked.cells, checked.study, facts)
    params = {cell.id: _params(cell, checked, bench) for cell in checked.cells}
    tags = _tags(checked, bench, data) | {"edition": edition(checked.study, digests)}
    prompts = {prompt.name: registered(prompt, checked, tracker) for prompt in checked.study.prompts}
    ledger = Ledger(
        tracker,
        digests,
        params=params,
        tags=tags,
        links={cell.id: {**prompts[cell.prompt.name].link, **color(cell, checked)} for cell in checked.cells},
        data={split: data_use(checked, split, examples) for split, examples in checked.examples.items()},
    )
    measured = checked.general if checked.study.final.seeds else None
    retention = Retention(measured, bench.loaded, forward=bench.forward, study=checked.study) if measured else None
    return Session(checked, bench, tracker, ledger, progress, retention)


def _params(cell: Cell, checked: Checked, bench: Bench) -> dict[str, Any]:
    """Return every factor of a cell, by the names that the MLflow UI shows."""
    study = checked.study
    trainable, total = bench.parameters(cell)
    training = study.training.model_dump(exclude={"device"})
    return {
        "task": checked.task.name,
        "model": study.model.name,
        "prompt": cell.prompt.name,
        "tuning": cell.tuning.name,
        "trainable_parameters": trainable,
        "parameters": total,
        **{f"data.{split}": size for split, size in _sizes(checked).items()},
        **{f"training.{name}": value for name, value in training.items()},
        "model.dtype": study.model.dtype,
        "search.sampler": study.search.sampler,
        "search.metric": checked.objective,
    }


def _sizes(checked: Checked) -> dict[str, int]:
    """Return how many examples each split has; a test split that is left closed is left out."""
    opened = {"test": len(checked.test_ids)} if checked.test_ids else {}
    return {**{split: len(examples) for split, examples in checked.examples.items()}, **opened}


def _tags(checked: Checked, bench: Bench, data: Mapping[Split, str]) -> dict[str, str]:
    return {
        "study": checked.study.name,
        "model_digest": bench.loaded.digest,
        "architecture_digest": architecture_digest(bench.loaded.model),
        "model_commit": bench.loaded.commit or "none",
        **{f"data_digest.{split}": value for split, value in data.items()},
        **provenance(checked.file.path.resolve().parent),
    }


def _open_summary(session: Session) -> str:
    """Start or reopen the study's summary run, and record on it all that a report needs to know."""
    checked, tracker = session.checked, session.tracker
    earlier = [run for run in tracker.runs() if run.phase == "summary"]
    if earlier:
        tracker.reopen(earlier[-1].id)
        summary = earlier[-1].id
    else:
        params = {"task": checked.task.name, "model": checked.study.model.name}
        summary = tracker.start(
            "summary", phase="summary", parent=None, params=params, tags={"study": checked.study.name}
        )
    session.ledger.watch(summary, "summary")
    tracker.text(summary, checked.file.text, "study.yaml")
    tracker.text(summary, checked.task_file.read_text(encoding="utf-8"), f"task/{checked.task_file.name}")
    facts = _facts(session)
    tracker.text(summary, json.dumps(facts, ensure_ascii=False, indent=2), "study.json")
    if not earlier:
        show_begun(summary, facts["baseline"], session)
    return summary


def _facts(session: Session) -> dict[str, Any]:
    checked, study, bench = session.checked, session.checked.study, session.bench
    baseline = study.final.baseline
    forecast = kept(checked, bench.loaded.digest)
    first_full = next((cell for cell in checked.cells if cell.tuning.kind == "full"), checked.cells[0])
    return {
        "question": checked.file.question,
        "study": study.model_dump(mode="json"),
        "overrides": list(checked.file.overrides),
        "file": str(checked.file.path),
        "task_file": checked.task_file.name,
        "edition": edition(study, {cell.id: session.ledger.digest(cell.id) for cell in checked.cells}),
        "forecast": forecast.as_json() if forecast else None,
        "cells": [cell.id for cell in checked.cells],
        "prompts": {prompt.name: prompt.text for prompt in checked.prompts},
        "metrics": [*(metric.name for metric in bench.metrics), "loss"],
        "signatures": {metric.name: metric.signature() for metric in bench.metrics},
        "lead": session.lead,
        "maximize": session.maximizes(session.lead),
        "objective": checked.objective,
        "baseline": f"{baseline.prompt}/{baseline.tuning.name}" if baseline else first_full.id,
        "data": {
            "source": checked.source.origin,
            **{f"{split} examples": size for split, size in _sizes(checked).items()},
        }
        | {f"prompt {fit.prompt}": f"{fit.truncated:.1%} shortened, {fit.dropped} dropped" for fit in checked.fits}
        | {f"duplicates, {o.earlier} and {o.later}": o.line() for o in checked.overlaps if o.twins},
        "leaks": [o.line() for o in checked.overlaps if o.across and o.twins and study.data.on_overlap == "warn"],
        "provenance": {"model": study.model.name, "weights": bench.loaded.digest}
        | ({"energy": ", ".join(bench.energy)} if bench.energy else {})
        | provenance(checked.file.path.resolve().parent),
    }


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
        session.bench.open_test(test)
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
            final_cell(cell, rate, seed, identity=identity, keeper=keeper_of(cell, session), session=session)
        conclude_cell(cell, rate, session)
