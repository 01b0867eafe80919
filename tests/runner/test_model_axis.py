"""A study of two models through its commands: one is there at a time, and each is what a study of it alone gives."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from harness.core.progress import Progress
from harness.runner.executors import resident_model
from harness.runner.study import Study
from harness.serving.recipe import Recipe
from harness.tracking.schema import HIDDEN, Tags
from tests.support.study_fixture import Place, Places
from tests.support.two_models import MODELS, with_models
from tests.support.whole_way import Way, go, predict, stored_predictions

KEYS = (
    *("tuning=[none, head]", "search.trials=1", "search.metric=chrf", "training.epochs=1", "generality=none"),
    *("final.models=cells", "final.store=delta", "search.warm_start=neighbor", "final.seeds=[11]"),
)
OPTIONS = tuple(part for key in KEYS for part in ("--set", key))
BASELINE = ("--set", "final.baseline={prompt: cue, tuning: head, model: small}")
CELLS = [f"{prompt}/{tuning}/{model}" for prompt in ("bare", "cue") for tuning in ("none", "head") for model in MODELS]
ALONE = {"model": "./model", "small": "./models/other"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(places: Places) -> Place:
    return with_models(places)


@pytest.fixture(scope="module")
def way(place: Place) -> Way:
    return go(place, *OPTIONS, *BASELINE, part="bare/head/*")


def test_check_and_show_tell_of_each(way: Way) -> None:
    assert "8 cells: 4 with 1 trial and 1 final run, 4 zero-shot" in way.check
    assert "cue of small" in way.check
    for name in MODELS:
        assert f"model {name}" in way.show


def test_runs_carry_their_model(way: Way, place: Place) -> None:
    assert sorted(run.data.tags["cell"] for run in place.runs("cell")) == sorted(CELLS)
    digests = dict[str, set[str]]()
    for phase in ("cell", "search", "final"):
        for run in place.runs(phase):
            model = run.data.params["model"]
            assert run.data.tags["cell"].endswith(f"/{model}")
            assert run.data.params["model.name"] == ALONE[model]
            digests.setdefault(model, set()).add(run.data.tags[HIDDEN + Tags.MODEL_DIGEST])
    assert [len(each) for each in digests.values()] == [1, 1]
    assert digests["model"] != digests["small"]
    starts = {run.data.tags["cell"]: run.data.tags.get(Tags.WARM_START) for run in place.runs("search")}
    assert starts == {
        "bare/head/model": None,
        "bare/head/small": None,
        "cue/head/model": "bare/head/model",
        "cue/head/small": "bare/head/small",
    }


def test_a_model_alone_gives_the_same_numbers(way: Way, place: Place, places: Places) -> None:
    table = place.table()
    for model, folder in ALONE.items():
        alone = with_models(places)
        alone.edit("models: [./model, {name: ./models/other, as: small}]", f"model: {{name: {folder}}}")
        alone.run(*OPTIONS)
        for cell, row in alone.table().items():
            assert {**table[f"{cell}/{model}"], "cell": cell} == {**row, "model": model}, (cell, model)


def test_tables_verdicts_and_status_name_it(way: Way, place: Place) -> None:
    (header, *rows) = csv.reader(io.StringIO(place.results().decode()))
    assert header[:5] == ["cell", "prompt", "tuning", "model", "learning_rate"]
    assert [row[0] for row in rows] == CELLS == ["/".join(row[1:4]) for row in rows]
    verdicts = json.loads((place.folder / "reports" / "tiny" / "verdicts.json").read_text(encoding="utf-8"))
    assert verdicts["baseline"] == "cue/head/small"
    text = (place.folder / "reports" / "tiny" / "report.md").read_text(encoding="utf-8")
    assert "./model, ./models/other as small" in text
    written = text[text.index("name: tiny") :]
    assert "models:" in written
    assert "\nmodel:" not in written, "which would name one beside several"
    status = place.command("status", "tiny")
    assert status.status == 0, status.err
    assert place.command("list").status == 0


def test_stored_models_stand_on_their_own_base(way: Way, place: Place) -> None:
    models = place.client().search_logged_models([place.runs()[0].info.experiment_id])
    assert {model.tags["cell"] for model in models} == set(CELLS)
    for name in MODELS:
        model = next(model for model in models if model.tags["cell"] == f"cue/head/{name}")
        (settings,) = Path(str(model.artifact_location).removeprefix("file://")).rglob("harness.json")
        recipe = Recipe.read(settings.parent)
        assert recipe.base.name == ALONE[name]
        assert recipe.base.weights == model.tags[Tags.MODEL_DIGEST]
        assert predict(place, model.model_uri) == stored_predictions(place, str(model.source_run_id))


def test_a_final_run_of_either_is_done_again_from_the_store(way: Way, place: Place) -> None:
    for name in MODELS:
        run = next(run for run in place.runs("final") if run.data.tags["cell"] == f"cue/head/{name}")
        done = place.command("reproduce", run.info.run_id)
        assert done.status == 0, done.err
        assert "the same to the last bit" in done.out


def test_one_model_is_there_at_a_time(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is loaded for what is said of it, once for all trials, once for all final runs; never beside another."""
    place = with_models(places)
    monkeypatch.chdir(place.folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place.uri)
    events: list[str] = []
    own = resident_model.Resident

    class Seen(own):  # type: ignore[misc, valid-type]
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments)
            events.append(self.model)

        def let_go(self) -> None:
            events.append(f"-{self.model}")
            super().let_go()

    monkeypatch.setattr(resident_model, "Resident", Seen)
    Study.load("study.yaml", [*KEYS[:4], "final.models=none", "generality=none"]).run(progress=Progress())
    assert events[0::2] == [event.removeprefix("-") for event in events[1::2]] + events[-1:]
    assert len(events[0::2]) <= 4, "facts of both, then trials and final runs of each in turn"


def test_workers_give_the_same_table(way: Way, place: Place, places: Places) -> None:
    other = with_models(places)
    process = other.process("run", "study.yaml", *OPTIONS, *BASELINE, "--workers", "2")
    out, err = process.communicate(timeout=500)
    assert process.returncode == 0, out + err
    assert other.results() == place.results()


def test_a_plan_has_all_cells_and_no_frozen_part_of_two(way: Way, place: Place) -> None:
    done = place.command("plan", "study.yaml", *OPTIONS, "--json")
    assert done.status == 0, done.err
    made = json.loads(done.out)
    assert [cell["cell"] for cell in made["cells"]] == CELLS
    assert made["seconds"] > 0
