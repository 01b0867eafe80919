"""One rule says which trial is the best: the search's, in figures, tables and `status` alike."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.storages import InMemoryStorage

from harness.report.charts.chart import Chart
from harness.report.charts.draw_chart import draw_chart
from harness.report.charts.scores import learning_rates as over_rates
from harness.report.text.cautions import cautions
from harness.report.text.findings import find
from harness.results.cell_result import CellResult
from harness.results.collect import Results
from harness.results.search_budget import best_trial
from harness.results.study_status import _best
from harness.runner.search.optuna_search import CellSearch
from harness.study.search_space import Hyperparameters
from harness.study.spec import Search
from tests.support.made_up_results import study
from tests.support.search_spaces import learning_rates

LEVELS = st.integers(0, 2).map(lambda level: level / 2)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.sampled_from(["complete", "pruned"]), LEVELS, LEVELS), min_size=1, max_size=6))
def test_it_is_the_one_that_the_search_takes(ended: list[tuple[str, float, float]]) -> None:
    spec = Search.model_validate({"sampler": "random", "trials": len(ended)})
    search = CellSearch(InMemoryStorage(), "cell", spec=spec, space=learning_rates(1e-4, 1e-2), maximize=True)
    results = study(prompts=1, tunings=2, trials=len(ended))
    (cell,) = (cell for cell in results.cells if cell.trials)
    losses, trials = {}, []
    for (state, value, loss), trial in zip(ended, cell.trials, strict=True):
        asked = search.ask()
        assert asked is not None
        search.tell(asked.optuna.number, state, value if state == "complete" else None)  # type: ignore[arg-type]
        losses[asked.optuna.number] = loss
        made = {"state": state, "value": value if state == "complete" else math.nan}
        trials.append(replace(trial, **made, metrics={"validation/loss": loss}))
    found, wanted = best_trial(replace(cell, trials=tuple(trials)), results), search.best(losses)
    assert (found.index if found else None) == (wanted.trial if wanted else None)


def tied(winner: int | None) -> Results:
    """Return a study whose trials all score 0, of which one won."""
    plain = study(prompts=1, tunings=2, trials=4)

    def flat(cell: CellResult) -> CellResult:
        trials = tuple(replace(trial, value=0.0) for trial in cell.trials)
        own = next((trial.hyperparameters for trial in trials if trial.index == winner), Hyperparameters())
        return replace(cell, trials=trials, winner=winner if trials else None, hyperparameters=own)

    return replace(plain, cells=tuple(map(flat, plain.cells)))


def rings(chart: Chart) -> Iterator[tuple[float, float]]:
    for axes in draw_chart(chart).axes:
        for line in axes.get_lines():
            if str(line.get_gid()).endswith("-best"):
                yield float(line.get_xdata()[0]), float(line.get_ydata()[0])  # type: ignore[index, arg-type]


@pytest.mark.parametrize("winner", range(4))
def test_the_figure_marks_the_winner_of_equal_trials(winner: int) -> None:
    results = tied(winner)
    (cell,) = (cell for cell in results.cells if cell.trials)
    chart = over_rates(results)
    assert chart is not None
    assert list(rings(chart)) == [(pytest.approx(cell.learning_rate), 0.0)]
    assert f"full 0.0000 at {cell.learning_rate:.2g} (4 trials)" in chart.alt


def test_a_stopped_trial_is_not_the_best_so_far() -> None:
    record: Any = SimpleNamespace(objective="chrf", lead="chrf", maximize=True)
    ends = [("complete", 0.2), ("pruned", 0.9), ("complete", 0.3)]
    runs: list[Any] = [SimpleNamespace(tags={"outcome": end}, metrics={"objective": x}) for end, x in ends]
    assert _best(runs, record) == 0.3


def test_a_search_that_is_not_over_has_not_all_diverged() -> None:
    (cell,) = (cell for cell in tied(None).cells if cell.trials)
    assert not cell.hyperparameters
    assert not cell.all_diverged
    assert replace(cell, trials=tuple(replace(trial, state="diverged") for trial in cell.trials)).all_diverged


def test_a_study_that_is_not_finished_is_told_to_be_run_to_its_end() -> None:
    plain = study(prompts=2, tunings=2, trials=4)
    last = plain.cells[-1]
    cut = replace(last, trials=last.trials[:1], finals=(), hyperparameters=Hyperparameters())
    stopped = replace(plain, cells=(*plain.cells[:-1], cut))
    (told,) = (one for one in cautions(stopped, find(stopped)) if "unequal budgets" in one)
    assert "the study is not finished: run all of it to its end and they become equal" in told
    assert "--cells" not in told
    closed = replace(stopped, answers=None, settings={"final": {"seeds": [1, 2]}})
    assert "no final runs were scored on test, for the study is not finished; run it to its end" in find(closed).answer
    more = replace(last, trials=(*last.trials, replace(last.trials[0], index=4)))
    larger = replace(plain, cells=(*plain.cells[:-1], more))
    (told,) = (one for one in cautions(larger, find(larger)) if "unequal budgets" in one)
    assert "run the study without --cells" in told
