"""What makes cells comparable: equal budgets, metrics that differ, an order that does not hang on the grid's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from harness.report.text.cautions import cautions
from harness.report.text.findings import find
from harness.results.cell_result import CellResult, Final, Trial
from harness.results.search_budget import Budget, constant_metrics, unequal_budgets
from tests.support.made_up_results import study
from tests.support.search_spaces import rate


def cell(name: str, finals: Sequence[Mapping[str, float]], trials: Sequence[Mapping[str, float]] = ()) -> CellResult:
    prompt, _, tuning = name.partition("/")
    tried = tuple(Trial(i, rate(0.01), "complete", 0.0, own, {}) for i, own in enumerate(trials))
    runs = tuple(Final(str(seed), own, {}) for seed, own in enumerate(finals))
    return CellResult(name, {"prompt": prompt, "tuning": tuning}, rate(0.01), tried, runs, {}, {})


def scored(score: float, loss: float) -> dict[str, float]:
    return {"validation/rougeL": score, "validation/loss": loss}


MADE_UP = study()

pairs = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3)), min_size=1, max_size=5)


@given(pairs)
def test_cells_that_score_alike_rank_by_their_loss(scores: list[tuple[int, int]]) -> None:
    cells = tuple(cell(f"p{i}/full", [scored(float(s), float(loss))]) for i, (s, loss) in enumerate(scores))
    for maximize in (True, False):
        ranked = [one.id for one in replace(MADE_UP, cells=cells, maximize=maximize).ranked()]
        order = sorted(range(len(scores)), key=lambda i: (-scores[i][0] if maximize else scores[i][0], scores[i][1], i))
        assert ranked == [f"p{i}/full" for i in order]


def test_nothing_is_first_where_nothing_has_a_score() -> None:
    nothing = cell("p0/full", [])
    assert replace(MADE_UP, cells=(nothing,)).first is None
    ranked = replace(MADE_UP, cells=(nothing, cell("p1/full", [scored(0.1, 2.0)])))
    assert ranked.first is not None
    assert ranked.first.id == "p1/full"


def test_unequal_numbers_of_trials_and_runs_are_told_with_their_cells() -> None:
    results = study(prompts=2, tunings=2, trials=4, seeds=2)
    assert unequal_budgets(results) == {}  # zero-shot cells are not searched
    first, last = (one for one in results.cells if one.tuning == "full")
    shorter = replace(last, trials=last.trials[:2])
    lost = replace(last, finals=last.finals[:1], diverged_finals=1)
    fewer = replace(last, finals=last.finals[:1])
    for other, budget in ((shorter, Budget(2, 2)), (fewer, Budget(4, 1))):
        unequal = replace(results, cells=(first, other))
        assert unequal_budgets(unequal) == {Budget(4, 2): [first.id], budget: [other.id]}
        assert any(text.startswith("Cells of unequal budgets") for text in cautions(unequal, find(results)))
    assert unequal_budgets(replace(results, cells=(first, lost))) == {}
    diverged = replace(shorter, trials=tuple(replace(t, state="diverged") for t in last.trials), finals=())
    assert unequal_budgets(replace(results, cells=(first, diverged))) == {}, "it has no rank, and no run is missing"


values = st.lists(st.dictionaries(st.sampled_from(["rougeL", "loss"]), st.integers(0, 2).map(float)), max_size=5)


@given(values, values)
def test_a_metric_is_constant_over_all_trials_or_it_is_not(
    one: list[dict[str, float]], two: list[dict[str, float]]
) -> None:
    named = [
        [{f"validation/{name}": value for name, value in own.items()} for own in own_cell] for own_cell in (one, two)
    ]
    results = replace(MADE_UP, cells=(cell("p0/full", [], named[0]), cell("p1/full", [], named[1])))
    for metric in ("rougeL", "loss"):
        seen = [own[metric] for own in [*one, *two] if metric in own]
        is_constant = len(seen) > 1 and min(seen) == max(seen)
        assert (metric in constant_metrics(results)) == is_constant
        if is_constant:
            assert constant_metrics(results)[metric] == (seen[0], len(seen))
