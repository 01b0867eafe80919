"""A search on loss: the best trials of each cell are scored on the metrics, and the report says how the two agree."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from optuna.storages import InMemoryStorage
from scipy import stats

from harness.report.text.search_sentences import agreement, searches
from harness.results.cell_result import CellResult, Trial
from harness.results.collect import Results
from harness.runner.search.optuna_search import CellSearch
from harness.study.spec import PROXIED, Search
from tests.support.fuse import TASK_WITH_FUSE
from tests.support.search_spaces import DEFAULT_SPACE, rate
from tests.support.study_fixture import Place, Places

LOSS = (
    *("--set", "search.metric=loss", "--set", "search.trials=6", "--set", "tuning=[none, head]"),
    *("--set", "training.epochs=1", "--set", "final.seeds=[11]"),
)

Points = Sequence[tuple[float, float]]
"""A cell's trials: loss and metric."""


def results(cells: Mapping[str, Points], *, maximize: bool = True, lead: str = "chrf") -> Results:
    return Results(
        study="s",
        question="",
        metrics=("chrf", "loss"),
        lead=lead,
        maximize=maximize,
        objective="loss",
        search=Search(metric="loss").model_dump(),
        baseline="p/head",
        cells=tuple(cell(name, points) for name, points in cells.items()),
        provenance={},
        data={},
        space=DEFAULT_SPACE,
    )


def cell(name: str, points: Points) -> CellResult:
    trials = tuple(
        Trial(index, rate(0.1), "complete", loss, {} if math.isnan(score) else {"validation/chrf": score}, {})
        for index, (loss, score) in enumerate(points)
    )
    factors = dict(zip(("prompt", "tuning"), name.split("/"), strict=True))
    return CellResult(name, factors, rate(0.1), trials, (), {}, {})


numbers = st.floats(-1e3, 1e3, allow_nan=False)
points = st.lists(st.tuples(numbers, numbers), min_size=3, max_size=3)


@given(points)
def test_one_cell_has_the_plain_rank_correlation(found: Points) -> None:
    losses, scores = zip(*found, strict=True)
    assume(len(set(losses)) > 1)
    assume(len(set(scores)) > 1)
    oracle = stats.spearmanr([-loss for loss in losses], scores).statistic
    assert agreement(results({"p/head": found})).correlation == pytest.approx(oracle, abs=1e-12)
    flipped = agreement(results({"p/head": found}, maximize=False))
    assert flipped.correlation == pytest.approx(-oracle, abs=1e-12)


@given(st.lists(points, min_size=1, max_size=5), st.lists(numbers, min_size=5, max_size=5))
def test_differences_between_cells_count_for_nothing(cells: list[Points], shifts: list[float]) -> None:
    before = agreement(results({f"p{number}/head": found for number, found in enumerate(cells)}))
    ordered = {
        f"p{number}/head": [
            (stats.rankdata([p[0] for p in found])[i] + shift, score) for i, (_, score) in enumerate(found)
        ]
        for number, (found, shift) in enumerate(zip(cells, shifts, strict=False))
    }
    assume(all(len({loss for loss, _ in found}) == 3 for found in ordered.values()))  # a shift may round ranks together
    after = agreement(results(ordered))
    assert after[1:] == before[1:] == (3 * len(cells), len(cells))
    assert after.correlation == pytest.approx(before.correlation, abs=1e-12, nan_ok=True)


def test_only_the_best_three_of_a_cell_count() -> None:
    best = [(1.0, 9.0), (2.0, 8.0), (3.0, 7.0)]
    worse = [(4.0, 99.0), (5.0, 100.0)]
    found = agreement(results({"p/head": [*worse, *best], "p/full": [(1.0, 5.0)], "p/none": []}))
    assert found == (pytest.approx(1.0), 3, 1)
    assert agreement(results({"p/head": [(1.0, 2.0), (2.0, 3.0)], "q/head": best})).correlation < 1.0
    nothing = agreement(results({"p/head": [(1.0, math.nan), (2.0, 3.0)]}))
    assert (math.isnan(nothing.correlation), nothing.points) == (True, 0)


def test_the_report_words_it() -> None:
    page = searches(results({"p/head": [(1.0, 9.0), (2.0, 8.0), (3.0, 7.0)]}))
    assert "low loss and good chrf" in page
    assert "(3 trials of 1 cell): 1.00" in page
    assert "too few trials differ" in searches(results({"p/head": [(1.0, 9.0), (2.0, 9.0)]}))
    assert "stood in" not in searches(results({"p/head": [(1.0, 9.0)]}, lead="loss"))


@given(values=st.lists(st.integers(0, 6), min_size=1, max_size=10), maximize=st.booleans())
def test_the_best_in_the_end_were_among_the_best_at_the_time(values: list[int], maximize: bool) -> None:
    spec = Search(sampler="random", trials=len(values))
    search = CellSearch(InMemoryStorage(), "cell", spec=spec, space=DEFAULT_SPACE, maximize=maximize)
    scored = []
    for value in values:
        trial = search.ask()
        assert trial is not None
        if search.among_best(value, PROXIED):
            scored.append(trial.optuna.number)
        search.tell(trial.optuna.number, "complete", value)
    order = sorted(range(len(values)), key=lambda i: (-values[i] if maximize else values[i], i))
    assert set(order[:PROXIED]) <= set(scored)
    assert scored[:PROXIED] == list(range(min(PROXIED, len(values))))


@pytest.fixture(scope="module")
def done(places: Places) -> Place:
    place = places()
    place.run(*LOSS)
    return place


def scored(place: Place, cell: str) -> dict[int, tuple[float, float]]:
    """Return loss and metric of a cell's scored trials by number."""
    return {
        int(run.data.tags["trial"]): (run.data.metrics["objective"], run.data.metrics["validation/chrf"])
        for run in place.runs("search", cell=cell)
        if "validation/chrf" in run.data.metrics
    }


def test_the_best_three_trials_of_a_cell_are_scored(done: Place) -> None:
    done.clean()
    losses, ranks = [], []
    for name in ("bare/head", "cue/head"):
        trials = {int(run.data.tags["trial"]): run.data.metrics["objective"] for run in done.runs("search", cell=name)}
        assert len(trials) == 6
        best = sorted(trials, key=lambda number: trials[number])[:3]
        found = scored(done, name)
        assert set(best) <= set(found)
        so_far = [n for n in trials if sum(trials[m] <= trials[n] for m in range(n)) < 3]
        assert sorted(found) == so_far
        losses += [-rank for rank in stats.rankdata([found[n][0] for n in best])]
        ranks += list(stats.rankdata([found[n][1] for n in best]))
        (winner,) = done.runs("cell", cell=name)
        assert winner.data.tags["best_trial"] == str(best[0])
    oracle = np.corrcoef(losses, ranks)[0, 1]  # both cells have three, so their mean ranks are the same
    page = (done.folder / "reports" / "tiny" / "report.md").read_text(encoding="utf-8")
    assert f"(6 trials of 2 cells): {oracle:.2f} (Spearman" in page


def test_without_final_runs_nothing_generates(places: Places) -> None:
    place = places()
    place.run(*LOSS, "--set", "final.seeds=[]", "--set", "search.trials=2", "--set", "prompts=[bare]")
    assert place.runs("search")
    for run in place.runs():
        assert not any(name.startswith("validation/") and name != "validation/loss" for name in run.data.metrics)
    page = (place.folder / "reports" / "tiny" / "report.md").read_text(encoding="utf-8")
    assert "stood in" not in page


@pytest.mark.slow
def test_a_kill_scores_the_same_trials(places: Places) -> None:
    whole, place = places(), places()
    for one in (whole, place):
        (one.folder / "task.py").write_text(TASK_WITH_FUSE.replace("perplexity", "chrf"), encoding="utf-8")
    whole.run(*LOSS)
    (place.folder / "fuse").write_text("20")  # of the third trial's 8 rows, which is the last that always generates
    ended = place.command("run", "study.yaml", *LOSS)
    assert (ended.status, "the fuse has burned down" in ended.err) == (2, True), ended.err
    place.run(*LOSS)
    place.clean()
    for name in ("bare/head", "cue/head"):
        assert scored(place, name) == scored(whole, name)
    (cut,) = place.runs("interrupted")
    assert cut.data.tags["trial"] == "2"
    assert place.results() == whole.results()
