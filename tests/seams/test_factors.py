"""A third axis that only this test knows, through a whole study: one entry in the table, and no file touched."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator

import pytest

from tests.support.made_up_axes import Setting, added, training_axis
from tests.support.study_fixture import Place, Places
from tests.support.whole_way import Way, go, predict, stored_predictions

OPTIONS = (
    *("--set", "tuning=[none, head]", "--set", "search.trials=1", "--set", "search.metric=perplexity"),
    *("--set", "training.epochs=1", "--set", "search.warm_start=neighbor", "--set", "final.models=cells"),
    *("--set", "final.baseline={prompt: bare, tuning: head, decay: strong}", "--set", "final.store=delta"),
)
CELLS = [
    f"{prompt}/{tuning}/{decay}"
    for prompt in ("bare", "cue")
    for tuning in ("none", "head")
    for decay in ("no", "strong")
]
LEVELS = [Setting("no", 0.0), Setting("strong", 9.0)]


@pytest.fixture(scope="module", autouse=True)
def axes() -> Iterator[None]:
    single = training_axis("rise", "warmup", [Setting("half", 0.5)])
    with added(training_axis("decay", "weight_decay", LEVELS), single):
        yield


@pytest.fixture(scope="module")
def place(places: Places) -> Place:
    return places()


@pytest.fixture(scope="module")
def way(place: Place) -> Way:
    return go(place, *OPTIONS, part="bare/head/no")


def test_check_counts_its_cells(way: Way) -> None:
    assert "8 cells: 4 with 1 trial and 2 final runs, 4 zero-shot" in way.check


def test_runs_carry_their_level_and_train_by_it(way: Way, place: Place) -> None:
    place.count(cell=8, search=4, final=12, summary=1)
    assert sorted(run.data.tags["cell"] for run in place.runs("cell")) == sorted(CELLS)
    for phase in ("cell", "search", "final"):
        for run in place.runs(phase):
            params, cell = run.data.params, run.data.tags["cell"]
            assert f"{params['prompt']}/{params['tuning']}/{params['decay']}" == cell
            assert params["training.weight_decay"] == ("9.0" if params["decay"] == "strong" else "0.0")
            assert (params["training.warmup"], params.get("rise")) == ("0.5", None), "one level acts, and does not show"
    trials = {run.data.tags["cell"]: run.data for run in place.runs("search")}
    assert trials["bare/head/no"].params["learning_rate"] == trials["bare/head/strong"].params["learning_rate"]
    losses = [trials[f"bare/head/{decay}"].metrics["validation/loss"] for decay in ("no", "strong")]
    assert losses[0] != losses[1]


def test_searches_start_from_a_cell_that_differs_on_one_axis(way: Way, place: Place) -> None:
    starts = {run.data.tags["cell"]: run.data.tags.get("warm_start") for run in place.runs("search")}
    assert starts == {
        "bare/head/no": None,
        "bare/head/strong": "bare/head/no",
        "cue/head/no": "bare/head/no",
        "cue/head/strong": "bare/head/strong",
    }


def test_tables_for_programs_name_it(way: Way, place: Place) -> None:
    (header, *rows) = csv.reader(io.StringIO(place.results().decode()))
    assert header[:5] == ["cell", "prompt", "tuning", "decay", "learning_rate"]
    assert [row[0] for row in rows] == CELLS == ["/".join(row[1:4]) for row in rows]
    verdicts = json.loads((place.folder / "reports" / "tiny" / "verdicts.json").read_text(encoding="utf-8"))
    assert verdicts["baseline"] == "bare/head/strong"
    effects = {family: [(row["a"], row["b"]) for row in rows] for family, rows in verdicts["effects"].items()}
    assert effects == {
        "prompt": [("cue", "bare")],
        "tuning": [("none", "head")],
        "decay": [("no", "strong")],
        "interaction": [("cue/none", "bare/head")],
        "prompt:decay": [("cue/no", "bare/strong")],
        "tuning:decay": [("none/no", "head/strong")],
    }


def test_the_report_shows_it(way: Way, place: Place) -> None:
    folder = place.folder / "reports" / "tiny"
    page, text = ((folder / name).read_text(encoding="utf-8") for name in ("report.html", "report.md"))
    for row in ("bare/no", "bare/strong", "cue/no", "cue/strong"):
        assert f'<th scope="row">{row}</th>' in page, "the heat map has a row for each"
        assert f'a mark for each trial, the best ringed: {row}"' in page, (
            "the chart of learning rates has a panel for each"
        )
    for title in ("Decay, each against strong, averaged over prompts and what trains", "Prompt and decay together"):
        assert title in page
        assert title in text
    assert {"heat.svg", "depths.svg", "learning_rates.svg"} <= {file.name for file in (folder / "figures").iterdir()}


def test_views_compare_prompts_at_one_level(way: Way, place: Place) -> None:
    experiment = place.client().get_experiment_by_name("tiny")
    assert experiment is not None
    views = [value for key, value in experiment.tags.items() if "params.tuning" in value]
    assert views
    assert all("params.decay" in view for view in views), "of another level they would be other runs"
    assert "training.warmup" not in "".join(views)


def test_its_stored_models_answer_as_their_final_runs_did(way: Way, place: Place) -> None:
    models = place.client().search_logged_models([place.runs()[0].info.experiment_id])
    assert {model.tags["cell"] for model in models} == set(CELLS)
    model = next(model for model in models if model.tags["cell"] == "cue/head/strong")
    assert predict(place, model.model_uri) == stored_predictions(place, model.source_run_id)
