"""Warm start: a cell's first trial is the best learning rate of the cell that the grid puts before it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.entities import Run
from optuna.storages import InMemoryStorage

from harness.data.template import Template
from harness.runner.search.optuna_search import CellSearch
from harness.study.cell_digests import cell_digests
from harness.study.grid import Cell, expand, neighbor, select, with_neighbors
from harness.study.search_space import SearchSpace
from harness.study.spec import StudySpec
from tests.support.fuse import TASK_WITH_FUSE
from tests.support.search_spaces import learning_rates, rate
from tests.support.study_fixture import Place, Places

WARM = (
    *("--set", "search.warm_start=neighbor", "--set", "search.sampler=random", "--set", "search.metric=perplexity"),
    *("--set", "training.epochs=1", "--set", "final.seeds=[11]"),
)
SMALL = ("--set", "tuning=[none, head]")
TREE = {"bare/last_blocks-1": "bare/head", "cue/head": "bare/head", "cue/last_blocks-1": "bare/last_blocks-1"}

tunings = st.lists(
    st.sampled_from(["none", "head", "full", {"last_blocks": 1}, {"last_blocks": 2}]),
    min_size=1,
    max_size=5,
    unique_by=str,
)


def grid(prompts: int, tuning: list[Any], **search: object) -> tuple[StudySpec, list[Cell]]:
    names = [f"p{number}" for number in range(prompts)]
    content = {"name": "s", "task": "t", "prompts": names, "tuning": tuning, "search": search}
    study = StudySpec.model_validate(content)
    return study, expand(study, [Template(name, f"{name} {{{{ source }}}}", "source") for name in names])


@given(prompts=st.integers(1, 4), tuning=tunings)
def test_cells_that_train_form_one_tree_in_grid_order(prompts: int, tuning: list[Any]) -> None:
    study, cells = grid(prompts, tuning, warm_start="neighbor")
    trained = [cell for cell in cells if cell.tuning.trains]
    parents = {cell.id: neighbor(cell, study, cells) for cell in trained}
    assert [cell for cell, parent in parents.items() if parent is None] == [cell.id for cell in trained[:1]]
    for cell in trained[1:]:
        parent = parents[cell.id]
        assert parent is not None
        assert cells.index(parent) < cells.index(cell)  # so there is no cycle
        assert (parent.prompt == cell.prompt) != (parent.tuning == cell.tuning)
    assert all(neighbor(cell, study, cells) is None for cell in cells if not cell.tuning.trains)


@given(prompts=st.integers(1, 4), tuning=tunings, data=st.data())
def test_a_part_of_the_grid_brings_what_it_starts_from(prompts: int, tuning: list[Any], data: st.DataObject) -> None:
    study, cells = grid(prompts, tuning, warm_start="neighbor")
    chosen = data.draw(st.lists(st.sampled_from(cells), unique_by=lambda cell: cell.id))
    wanted = with_neighbors(chosen, study, cells)
    assert wanted == [cell for cell in cells if cell in wanted]
    assert {cell.id for cell in chosen} <= {cell.id for cell in wanted}
    for cell in wanted:
        parent = neighbor(cell, study, cells)
        assert parent is None or parent in wanted
        children = [other for other in wanted if neighbor(other, study, cells) == cell]
        assert cell in chosen or children  # no more than is needed
    cold, _ = grid(prompts, tuning)
    assert with_neighbors(chosen, cold, cells) == [cell for cell in cells if cell in chosen]


def digests(prompts: int = 2, **search: object) -> dict[str, str]:
    study, cells = grid(prompts, ["head", "full"], **search)
    return cell_digests(cells, study, {})


def test_a_cell_changes_with_what_it_starts_from() -> None:
    cold, warm = digests(), digests(warm_start="neighbor")
    assert warm["p0/head"] == cold["p0/head"]  # it draws all its own
    assert {cell for cell in cold if warm[cell] != cold[cell]} == {"p0/full", "p1/head", "p1/full"}
    assert all(warm[cell] == cold[cell] for cell in cold if cell.endswith("/none"))
    assert len(set(warm.values())) == len(warm)
    more = digests(warm_start="neighbor", trials=9)
    assert {cell for cell in warm if warm[cell] != more[cell]} == {"p0/full", "p1/head", "p1/full"}
    assert digests(trials=9) == cold
    study, cells = grid(2, ["head", "full"], warm_start="neighbor")
    edited = [
        Cell(Template("p0", "other {{ source }}", "source"), c.tuning) if c.prompt.name == "p0" else c for c in cells
    ]
    assert not set(cell_digests(edited, study, {}).values()) & {warm[cell] for cell in warm if cell != "p1/none"}


def draws(sampler: str, start: float | None, trials: int = 4) -> list[float]:
    study, _ = grid(1, ["head"], sampler=sampler, trials=trials, learning_rate={"low": 1e-4, "high": 1e-1})
    search = CellSearch(InMemoryStorage(), "cell", spec=study.search, space=SearchSpace.of(study), maximize=True)
    while (trial := search.ask(None if start is None else rate(start))) is not None:
        search.tell(trial.optuna.number, "complete", -abs(trial.hyperparameters.learning_rate - 0.01))
    return [trial.params["learning_rate"] for trial in search.finished()]


@pytest.mark.parametrize("sampler", ["grid", "random", "tpe", "gp"])
def test_the_start_counts_in_the_budget(sampler: str) -> None:
    warm, cold = draws(sampler, 0.0123), draws(sampler, None)
    assert warm[0] == 0.0123
    assert len(warm) == len(cold) == 4
    assert draws(sampler, 0.0123, trials=1) == [0.0123]
    if sampler == "grid":
        assert warm[1:] == [one.learning_rate for one in learning_rates(1e-4, 1e-1).grid(3)]
    if sampler == "random":
        assert warm[1:] == cold[1:]
    if sampler == "gp":  # 0.0123 is in the last third
        assert warm[1:3] == [drawn for drawn in cold[:3] if drawn < 1e-2]


@given(deaths=st.lists(st.integers(0, 2), min_size=4, max_size=4), sampler=st.sampled_from(["grid", "random", "gp"]))
@settings(max_examples=15, deadline=None)
def test_any_pattern_of_kills_leaves_the_draws(deaths: list[int], sampler: str) -> None:
    study, _ = grid(1, ["head"], sampler=sampler, trials=4, learning_rate={"low": 1e-4, "high": 1e-1})
    storage = InMemoryStorage()

    def opened() -> CellSearch:
        return CellSearch(storage, "cell", spec=study.search, space=SearchSpace.of(study), maximize=True)

    for count in deaths:
        for _ in range(count):
            opened().ask(rate(0.0123))
            opened().recover(lambda number: None)
        trial = opened().ask(rate(0.0123))
        assert trial is not None
        opened().tell(trial.optuna.number, "complete", -abs(trial.hyperparameters.learning_rate - 0.01))
    assert opened().ask(rate(0.0123)) is None
    assert [trial.params["learning_rate"] for trial in opened().finished()] == draws(sampler, 0.0123)


def first_trials(place: Place) -> dict[str, Run]:
    return {run.data.tags["cell"]: run for run in place.runs("search") if run.data.tags["trial"] == "0"}


@pytest.fixture(scope="module")
def whole(places: Places) -> Place:
    place = places()
    place.run(*WARM)
    return place


def test_first_trials_are_the_winners_of_their_neighbors(whole: Place) -> None:
    whole.clean()
    whole.count(cell=6, search=8, final=6, summary=1)
    winners = {run.data.tags["cell"]: run.data.params["learning_rate"] for run in whole.runs("cell")}
    found = first_trials(whole)
    assert {cell: run.data.tags.get("warm_start") for cell, run in found.items()} == {"bare/head": None, **TREE}
    for cell, parent in TREE.items():
        assert found[cell].data.params["learning_rate"] == winners[parent]
    others = [run for run in whole.runs("search") if run.data.tags["trial"] != "0"]
    assert not any("warm_start" in run.data.tags for run in others)
    page = (whole.folder / "reports" / "tiny" / "report.md").read_text(encoding="utf-8")
    for cell, parent in TREE.items():
        assert f"- {cell} from {parent}: {float(winners[parent]):.2g}\n" in page
    assert "not independent" in page


@pytest.mark.slow
def test_parts_and_their_order_do_not_matter(whole: Place, places: Places) -> None:
    place = places()
    place.run(*WARM, "--cells", "cue/last_blocks-1")
    # What it starts from was searched and no more: no final runs, nothing for the rest of the grid.
    place.count(cell=3, search=6, final=1, summary=1)
    place.clean()
    assert list(place.table()) == ["bare/head", "bare/last_blocks-1", "cue/last_blocks-1"]
    assert place.table()["bare/head"]["learning_rate"] == whole.table()["bare/head"]["learning_rate"]
    assert place.table()["cue/last_blocks-1"] == whole.table()["cue/last_blocks-1"]
    before = {run.info.run_id for run in place.runs("search")}
    place.run(*WARM)
    place.clean()
    assert before <= {run.info.run_id for run in place.runs("search")}
    place.count(cell=6, search=8, final=6, summary=1)
    assert place.results() == whole.results()


@pytest.mark.slow
def test_more_trials_end_as_if_there_had_always_been_so_many(places: Places) -> None:
    place, anew = places(), places()
    place.run(*WARM, *SMALL, "--set", "search.trials=1")
    for one in (place, anew):
        one.run(*WARM, *SMALL, "--set", "search.trials=3")
        one.clean()
    assert place.results() == anew.results()
    assert {run.data.tags["cell"] for run in place.runs("superseded") if "trial" in run.data.tags} == {"cue/head"}


@pytest.mark.slow
def test_a_kill_changes_nothing(places: Places) -> None:
    whole, place = places(), places()
    for one in (whole, place):
        (one.folder / "task.py").write_text(TASK_WITH_FUSE.replace("perplexity", "chrf"), encoding="utf-8")
    calm = (*WARM, *SMALL, "--set", "search.metric=calm")
    whole.run(*calm)
    rows_scored = 8  # a trial's only epoch
    (place.folder / "fuse").write_text(str(2 * rows_scored + 3))  # in the first trial of the cell that starts warm
    ended = place.command("run", "study.yaml", *calm)
    assert (ended.status, "the fuse has burned down" in ended.err) == (2, True), ended.err
    (cut,) = place.runs("interrupted")
    assert cut.data.tags["warm_start"] == "bare/head"
    place.run(*calm)
    place.clean()
    assert first_trials(place)["cue/head"].data.params == cut.data.params
    assert place.results() == whole.results()


def test_a_cell_whose_neighbor_only_diverged_draws_all_its_own(places: Places) -> None:
    place = places()
    changes = ["learning_rate={low: 1.0e+30, high: 1.0e+35}", "trials=1"]
    sets = [part for change in changes for part in ("--set", f"search.{change}")]
    done = place.run(*WARM, *sets, "--set", "prompts=[bare]")
    assert not any("warm_start" in run.data.tags for run in place.runs("search"))
    assert {run.data.tags["outcome"] for run in place.runs("search")} == {"diverged"}, done.out


def test_select_is_not_widened() -> None:
    _, cells = grid(2, ["head"], warm_start="neighbor")
    assert [cell.id for cell in select(cells, "p1/*")] == ["p1/none", "p1/head"]
