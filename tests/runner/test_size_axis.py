"""A study of several training sizes through its commands: what each says of them, and that it is one of each alone."""

from __future__ import annotations

import csv
import io
import json

import pytest

from harness.tracking.schema import HIDDEN, Tags
from tests.support.study_fixture import Place, Places
from tests.support.whole_way import Way, go, predict, stored_predictions

OPTIONS = (
    *("--set", "tuning=[none, head]", "--set", "search.trials=1", "--set", "search.metric=perplexity"),
    *("--set", "training.epochs=1", "--set", "final.models=cells", "--set", "final.store=delta"),
    *("--set", "generality=none", "--set", "prompts=[cue, bare]"),
)
SIZES = ("--set", "data.train=[6, 18]", "--set", "final.baseline={prompt: cue, tuning: head, train_size: 18}")
CELLS = [
    f"{prompt}/{tuning}/{size}" for prompt in ("cue", "bare") for tuning in ("none", "head") for size in ("6", "18")
]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(places: Places) -> Place:
    place = places()
    place.edit('{name: cue, text: "{{ source }}\\nTL;DR:", shorten: source}', "colon")
    place.study.write_text(place.study.read_text().replace("colon", "cue"), encoding="utf-8")
    (place.folder / "task.py").write_text((place.folder / "task.py").read_text().replace('"colon"', '"cue"'))
    return place


@pytest.fixture(scope="module")
def way(place: Place) -> Way:
    return go(place, *OPTIONS, *SIZES, part="cue/head/6")


def test_check_counts_cells_and_says_how_sizes_train(way: Way) -> None:
    assert "8 cells: 4 with 1 trial and 2 final runs, 4 zero-shot" in way.check
    assert "data.train compares 6, 18 rows, each a part of the next larger; equal epochs" in " ".join(way.check.split())


def test_runs_carry_their_size_and_its_rows(way: Way, place: Place) -> None:
    assert sorted(run.data.tags["cell"] for run in place.runs("cell")) == sorted(CELLS)
    digests = dict[str, set[str]]()
    for run in [*place.runs("search"), *place.runs("final")]:
        size = run.data.params["train_size"]
        assert run.data.tags["cell"].endswith(f"/{size}")
        assert run.data.params["data.train"] == size
        content = run.data.tags[HIDDEN + Tags.data_digest("train")]
        digests.setdefault(size, set()).add(content)
        if run.data.params["tuning"] == "head":
            assert run.inputs is not None
            assert content in {used.dataset.digest for used in run.inputs.dataset_inputs}
    assert [len(each) for each in digests.values()] == [1, 1]
    assert digests["6"] != digests["18"]


def test_a_size_alone_gives_the_same_numbers(way: Way, place: Place, places: Places) -> None:
    table = place.table()
    for size in ("6", "18"):
        alone = places()
        (alone.folder / "task.py").write_text((place.folder / "task.py").read_text())
        alone.study.write_text(place.study.read_text())
        alone.run(*OPTIONS, "--set", f"data.train={size}")
        for cell, row in alone.table().items():
            assert {**table[f"{cell}/{size}"], "cell": cell} == {**row, "train_size": size}, (cell, size)


def test_tables_and_verdicts_name_it(way: Way, place: Place) -> None:
    (header, *rows) = csv.reader(io.StringIO(place.results().decode()))
    assert header[:5] == ["cell", "prompt", "tuning", "train_size", "learning_rate"]
    assert [row[0] for row in rows] == CELLS == ["/".join(row[1:4]) for row in rows]
    verdicts = json.loads((place.folder / "reports" / "tiny" / "verdicts.json").read_text(encoding="utf-8"))
    assert verdicts["baseline"] == "cue/head/18"


def test_another_size_is_another_edition_and_runs_its_cells_alone(way: Way, place: Place, places: Places) -> None:
    copy = places.copy(place)
    before = {run.info.run_id for run in copy.runs()}
    edition = {run.data.tags[HIDDEN + Tags.EDITION] for run in copy.runs("final")}
    copy.run(*OPTIONS, "--set", "data.train=[6, 12, 18]", "--cells", "cue/head/*")
    made = [run for run in copy.runs() if run.info.run_id not in before]
    assert {run.data.tags["cell"] for run in made if "cell" in run.data.tags} == {"cue/head/12"}
    finals = [run for run in made if run.data.tags.get("phase") == "final"]
    assert {run.data.tags[HIDDEN + Tags.EDITION] for run in finals}.isdisjoint(edition)


def test_a_final_run_is_done_again_from_the_store(way: Way, place: Place) -> None:
    run = next(run for run in place.runs("final") if run.data.tags["cell"] == "cue/head/6")
    done = place.command("reproduce", run.info.run_id)
    assert done.status == 0, done.err
    assert "the same to the last bit" in done.out


def test_its_stored_models_answer_as_their_final_runs_did(way: Way, place: Place) -> None:
    models = place.client().search_logged_models([place.runs()[0].info.experiment_id])
    assert {model.tags["cell"] for model in models} == set(CELLS)
    model = next(model for model in models if model.tags["cell"] == "bare/head/6")
    assert predict(place, model.model_uri) == stored_predictions(place, str(model.source_run_id))


def test_a_plan_counts_steps_by_size(place: Place, way: Way) -> None:
    done = place.command("plan", "study.yaml", *OPTIONS, *SIZES, "--json")
    assert done.status == 0, done.err
    steps = {cell["cell"]: cell["steps"] for cell in json.loads(done.out)["cells"]}
    assert steps["cue/head/6"] < steps["cue/head/18"]
    assert steps["cue/none/18"] == 0


def test_what_is_no_size_is_refused_before_anything_runs(places: Places) -> None:
    place = places(store=False)
    before = place.files()
    for option, message in {
        "data.train=[6, 600]": "data.train is 600, but there are 24 rows; lower it",
        "data.train=[6, 6]": "names 6 more than once; each must be distinct",
        "final.baseline={prompt: bare, tuning: head, train_size: 7}": "final.baseline names train_size '7'",
    }.items():
        sizes = () if option.startswith("data") else ("--set", "data.train=[6, 18]")
        done = place.command("run", "study.yaml", *sizes, "--set", option)
        assert done.status == 2
        assert message in " ".join(done.err.split())
    assert place.files() == before
