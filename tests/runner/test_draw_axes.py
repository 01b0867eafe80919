"""A study of rows of each label and of data seeds through its commands: each cell is what its draw alone gives."""

from __future__ import annotations

import csv
import io
import json

import pytest
from mlflow.entities import Run

from harness.tracking.schema import HIDDEN, Tags
from tests.support.labelled_study import LABELS, labelled_place
from tests.support.study_fixture import Place, Places
from tests.support.whole_way import stored_predictions

OPTIONS = tuple(
    part
    for key in (
        "prompts=[bare]",
        "tuning=[none, head]",
        "search.trials=1",
        "training.epochs=1",
        "final.seeds=[11]",
        "generality=none",
    )
    for part in ("--set", key)
)
DRAWS = ("--set", "data.per_label=[1, 2]", "--set", "data.seed=[0, 1]")
CELLS = [f"bare/{tuning}/{count}/{seed}" for tuning in ("none", "head") for count in "12" for seed in "01"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(places: Places) -> Place:
    place = labelled_place(places)
    place.run(*OPTIONS, *DRAWS)
    return place


def test_cells_are_named_by_their_draws_and_say_them(place: Place) -> None:
    (header, *rows) = csv.reader(io.StringIO(place.results().decode()))
    assert header[:5] == ["cell", "prompt", "tuning", "per_label", "data_seed"]
    assert [row[0] for row in rows] == CELLS
    digests = dict[str, set[str]]()
    for run in [*place.runs("search"), *place.runs("final")]:
        params, cell = run.data.params, run.data.tags["cell"]
        assert cell.endswith(f"/{params['per_label']}/{params['data_seed']}")
        assert int(params["data.train"]) == len(LABELS) * int(params["per_label"])
        content = run.data.tags[HIDDEN + Tags.data_digest("train")]
        digests.setdefault(cell.partition("/head")[2] or cell.partition("/none")[2], set()).add(content)
    assert [len(each) for each in digests.values()] == [1] * 4
    assert len(set.union(*digests.values())) == 4, "other rows in each"
    verdicts = json.loads((place.folder / "reports" / "tiny" / "verdicts.json").read_text(encoding="utf-8"))
    assert verdicts["baseline"] == "bare/head/1/0"


def test_a_draw_alone_gives_the_same_numbers(place: Place, places: Places) -> None:
    alone, table = labelled_place(places), place.table()
    alone.run(*OPTIONS, "--set", "data.per_label=2", "--set", "data.seed=1")
    for cell, row in alone.table().items():
        assert {**table[f"{cell}/2/1"], "cell": cell} == {**row, "per_label": "2", "data_seed": "1"}


def untrained(place: Place) -> dict[str, Run]:
    """Return the final runs of cells in which nothing trains, by cell."""
    return {run.data.tags["cell"]: run for run in place.runs("final") if run.data.params["tuning"] == "none"}


def scored(run: Run) -> str:
    """Return ``yes`` of a run that was scored on test, else whose answers it took over."""
    said: str = run.data.tags[Tags.SCORED]
    return said


def test_the_untrained_model_is_asked_once(place: Place) -> None:
    finals = untrained(place)
    first, *others = (finals[cell] for cell in CELLS[:4])
    assert scored(first) == "yes"
    assert [scored(run) for run in others] == [first.info.run_id] * 3
    for other in others:
        assert stored_predictions(place, other.info.run_id) == stored_predictions(place, first.info.run_id)
        costs = {name: value for name, value in other.data.metrics.items() if name.startswith("cost/")}
        assert costs
        assert not any(costs.values())
        scores = {
            name: value for name, value in first.data.metrics.items() if name.startswith(("test/", "validation/"))
        }
        assert scores.items() <= other.data.metrics.items()
    table = place.table()
    assert len({(table[cell]["test_accuracy"], table[cell]["validation_accuracy"]) for cell in CELLS[:4]}) == 1
    report = (place.folder / "reports" / "tiny" / "report.md").read_text(encoding="utf-8")
    assert "one run of the untrained model stands at each number of training examples of each label and each" in report


def test_another_seed_runs_its_cells_alone(place: Place, places: Places) -> None:
    copy = places.copy(place)
    before = {run.info.run_id for run in copy.runs()}
    copy.run(*OPTIONS, "--set", "data.per_label=[1, 2]", "--set", "data.seed=[0, 1, 7]", "--cells", "*/7")
    made = [run for run in copy.runs() if run.info.run_id not in before and "cell" in run.data.tags]
    cells = {f"bare/{tuning}/{count}/7" for tuning in ("none", "head") for count in "12"}
    assert {run.data.tags["cell"] for run in made} == cells
    asked = {run.data.tags["cell"] for run in untrained(copy).values() if scored(run) == "yes"}
    assert asked == {"bare/none/1/0"}, "one of an earlier command answers for those of the new seed"


def test_a_final_run_is_done_again_from_the_store(place: Place) -> None:
    run = next(run for run in place.runs("final") if run.data.tags["cell"] == "bare/head/2/1")
    done = place.command("reproduce", run.info.run_id)
    assert done.status == 0, done.err
    assert "the same to the last bit" in done.out
