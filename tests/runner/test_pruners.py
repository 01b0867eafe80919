"""Pruners: which there are, that the rung is the epoch, and that a kill leaves their decisions as they were."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.storages import BaseStorage, InMemoryStorage

from harness.core.errors import StudyError
from harness.runner.search.optuna_search import CellSearch
from harness.runner.search.optuna_storage import open_storage
from harness.study.load_study import read_study
from harness.study.spec import Search
from tests.support.search_spaces import DEFAULT_SPACE
from tests.support.study_fixture import STUDY, Places

EPOCHS = 3
value = st.integers(0, 9).map(float)
learning_curves = st.lists(st.tuples(value, value, value), min_size=3, max_size=8)
Curves = list[tuple[float, float, float]]


@pytest.mark.parametrize("name", ["hyperband", "wilcoxon", "medain"])
def test_another_pruner_is_refused_with_the_choices(name: str, tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(STUDY.replace("  sampler: random", f"  pruner: {name}"), encoding="utf-8")
    with pytest.raises(StudyError, match=rf"search\.pruner is '{name}'; it must be one of 'none', 'median'"):
        read_study(file)


def opened(storage: BaseStorage, trials: int) -> CellSearch:
    spec = Search(sampler="random", pruner="median", trials=trials)
    return CellSearch(storage, "cell", spec=spec, space=DEFAULT_SPACE, maximize=True)


def step(search: CellSearch, curves: Curves, *, epochs: int = EPOCHS) -> int | None:
    """Run the next trial as the harness does, or only some epochs of it; return after which it was stopped."""
    trial = search.ask()
    assert trial is not None
    curve = curves[trial.index]
    for epoch in range(1, epochs + 1):
        trial.optuna.report(curve[epoch - 1], epoch)
        if epoch < EPOCHS and trial.optuna.should_prune():
            search.tell(trial.optuna.number, "pruned")
            return epoch
    if epochs == EPOCHS:
        search.tell(trial.optuna.number, "complete", curve[-1])
    return None


def expected(curves: Curves) -> list[int | None]:
    """Apply the rule by hand.

    From the third completed trial on, a trial ends after an epoch at which its best value so far is below the median of
    what the completed ones had at that epoch.
    """
    complete: Curves = []
    stops: list[int | None] = []
    for curve in curves:
        stop = None
        for epoch in range(1, EPOCHS) if len(complete) >= 2 else ():
            if max(curve[:epoch]) < statistics.median(earlier[epoch - 1] for earlier in complete):
                stop = epoch
                break
        stops.append(stop)
        if stop is None:
            complete.append(curve)
    return stops


@given(learning_curves)
@settings(max_examples=50, deadline=None)
def test_the_median_of_each_epoch_decides(curves: Curves) -> None:
    search = opened(InMemoryStorage(), len(curves))
    assert [step(search, curves) for _ in curves] == expected(curves)


@given(curves=learning_curves, data=st.data())
@settings(max_examples=50, deadline=None)
def test_any_pattern_of_kills_leaves_the_decisions(curves: Curves, data: st.DataObject) -> None:
    storage, found = InMemoryStorage(), []
    for _ in curves:
        for epochs in data.draw(st.lists(st.integers(0, EPOCHS - 1), max_size=2)):
            search = opened(storage, len(curves))
            index, before = len(search.finished()), expected(curves)
            if before[index] is not None:
                epochs = min(epochs, before[index] - 1)  # cut before it is stopped
            step(search, curves, epochs=epochs)
            opened(storage, len(curves)).recover(lambda number: None)
        found.append(step(opened(storage, len(curves)), curves))
    assert found == expected(curves)


def test_decisions_survive_the_process(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    curves = [(5.0, 6.0, 7.0), (4.0, 5.0, 6.0), (1.0, 9.0, 9.0), (4.5, 5.0, 9.0), (9.0, 1.0, 1.0)]
    found = []
    for index in range(len(curves)):
        if index == 3:
            step(opened(open_storage(url, print), len(curves)), curves, epochs=1)
            opened(open_storage(url, print), len(curves)).recover(lambda number: None)
        found.append(step(opened(open_storage(url, print), len(curves)), curves))
    assert found == expected(curves) == [None, None, 1, 2, None]


def test_the_report_counts_what_was_stopped(places: Places) -> None:
    place = places()
    rates = "{low: 1.0e-2, high: 1.0e+2}"
    changes = ["sampler=grid", "trials=5", "pruner=median", "metric=loss", f"learning_rate={rates}"]
    sets = [part for change in changes for part in ("--set", f"search.{change}")]
    place.run("--cells", "bare/head", "--set", "final.seeds=[]", *sets)
    pruned = [run for run in place.runs("search") if run.data.tags["outcome"] == "pruned"]
    page = (place.folder / "reports" / "tiny" / "report.md").read_text(encoding="utf-8")
    assert f"The median pruner stopped {len(pruned)} of 5 trials early" in page
