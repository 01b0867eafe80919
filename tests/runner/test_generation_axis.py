"""Settings of generation as an axis: what each answers, added later, cut short, elsewhere, and in the report."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mlflow.entities import Run
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.metrics.base import Metric
from harness.results.collect import collect
from harness.serving.generator import Generator
from harness.stats import resample
from harness.stats.answers import score_answers
from harness.stats.scored_runs import prepared_runs
from harness.study.find_study import known_study
from harness.tracking.schema import HIDDEN, Tags
from tests.support.kill_moments import kill_at, look
from tests.support.plain_decoding import decode_plainly
from tests.support.study_fixture import Place, Places, rows

OWN = {"max_new_tokens": 6, "stop": []}
"""Of every setting: no text ends an answer, so that plain ``generate`` says the same."""
GREEDY = {"name": "greedy", **OWN}
BEAMS = {"name": "beams", "num_beams": 3, "length_penalty": 2.0, **OWN}
DRAWN = {"name": "drawn", "sample": True, "temperature": 1.5, **OWN}
STUDY = (
    *("prompts=[bare]", "tuning=[none, head]", "training.epochs=1", "final.models=cells", "generality=none"),
    "search.trials=1",
)


def options(*settings: dict[str, Any]) -> tuple[str, ...]:
    return *STUDY, f"generation={json.dumps(settings if len(settings) > 1 else settings[0])}"


THREE = options(GREEDY, BEAMS, DRAWN)
CELLS = [f"bare/{tuning}/{setting}" for tuning in ("none", "head") for setting in ("greedy", "beams", "drawn")]


@pytest.fixture(scope="module")
def done(places: Places) -> Place:
    place = places()
    place.run(*THREE)
    return place


def told(place: Place, run: Run) -> list[str]:
    """Return the test predictions of a run."""
    file = place.client().download_artifacts(run.info.run_id, "predictions/test.json", str(place.folder))
    table = json.loads(Path(file).read_text())
    return [row[table["columns"].index("prediction")] for row in table["data"]]


def models(place: Place) -> list[tuple[Run, Path]]:
    """Return the runs whose models are stored, and their folders."""
    found = place.client().search_logged_models([place.runs()[0].info.experiment_id])
    folders = [Path(model.artifact_location.removeprefix("file://")) / "artifacts" / "model" for model in found]
    return [(place.client().get_run(model.source_run_id), one) for model, one in zip(found, folders, strict=True)]


def trained_seconds(place: Place, cell: str) -> list[float]:
    return [run.data.metrics["cost/train_seconds"] for run in place.runs("final", cell=cell)]


@pytest.mark.slow
def test_one_search_and_one_training_answer_for_all_settings(done: Place) -> None:
    done.count(summary=1, cell=6, search=1, final=9)
    assert [row["cell"] for row in done.table().values()] == CELLS
    assert {run.data.tags["cell"] for run in done.runs("search")} == {"bare/head/greedy"}
    weights = [
        [run.data.tags[HIDDEN + Tags.WEIGHTS_DIGEST] for run in done.runs("final", cell=f"bare/head/{setting}")]
        for setting in ("greedy", "beams", "drawn")
    ]
    assert weights[0] == weights[1] == weights[2]
    assert len({*weights[0]}) == 2
    assert all(seconds > 0 for seconds in trained_seconds(done, "bare/head/greedy"))
    assert trained_seconds(done, "bare/head/beams") == trained_seconds(done, "bare/head/drawn") == [0.0, 0.0]
    for run in done.runs("final", cell="bare/head/beams"):
        assert run.data.metrics["cost/test_seconds"] > 0
        assert run.data.params["generation"] == "beams"


@pytest.mark.slow
def test_each_setting_took_its_own_answers_time_and_all_together_the_whole(done: Place) -> None:
    for seed in ("11", "12"):
        runs = [run for run in done.runs("final") if run.data.params["seed"] == seed]
        own = {run.data.params["generation"]: float(run.data.tags["own_seconds"]) for run in runs}
        (first,) = [run for run in runs if run.data.params["generation"] == "greedy"]
        whole = (first.info.end_time - first.info.start_time) / 1000
        assert 0.5 * whole < sum(own.values()) <= whole + 0.01
        for run in runs:
            costs = run.data.metrics
            scored = costs["cost/validation_seconds"] + costs["cost/test_seconds"]
            assert own[run.data.params["generation"]] >= scored + costs["cost/train_seconds"]
        assert own["beams"] < whole - first.data.metrics["cost/train_seconds"]
    for row in csv.DictReader((done.folder / "reports" / "tiny" / "costs.csv").read_text().splitlines()):
        own = [float(run.data.tags["own_seconds"]) for run in done.runs("final", cell=row["cell"])]
        searched = [(run.info.end_time - run.info.start_time) / 1000 for run in done.runs("search", cell=row["cell"])]
        assert float(row["seconds"]) == pytest.approx(sum(own) + sum(searched), abs=0.06)


@pytest.mark.slow
def test_the_verdicts_pair_the_seeds_of_settings(done: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(done.folder)
    results = collect(known_study("tiny")[1], "tiny")
    assert results.answers is not None
    assert isinstance(results.metric, Metric)
    prepared = prepared_runs(results.answers, score_answers(results.answers, results.metric), results.metric)
    cells = resample(prepared, generator=np.random.default_rng(0), resamples=200)
    shared = [cells[f"bare/head/{setting}"].shared for setting in ("greedy", "beams", "drawn")]
    assert shared[0] is not None
    assert shared[0] is shared[1] is shared[2]
    assert cells["bare/none/greedy"].shared is None


@pytest.mark.slow
def test_each_setting_says_what_plain_transformers_says_on_the_stored_model(done: Place) -> None:
    differ = set[str]()
    for run, folder in models(done):
        said = told(done, run)
        assert Generator(folder)([{"source": row["source"]} for row in rows("test")]) == said
        decoding = json.loads((folder / "harness.json").read_text())["decoding"]
        setting = run.data.params["generation"]
        assert decoding["num_beams"] == (3 if setting == "beams" else 1)
        assert decoding.get("sample", False) == (setting == "drawn")
        if setting == "drawn":
            continue  # what is drawn by is the harness's own, and shown above
        if run.data.params["tuning"] == "head":  # the untrained one is stored as a delta of nothing
            assert [plain(folder, f"{row['source']}\n", setting) for row in rows("test")] == said
            differ.add(" ".join(said))
    assert len(models(done)) == 6
    assert len(differ) == 2  # or beams would show nothing


def plain(folder: Path, prompt: str, setting: str) -> str:
    """Return what the stored model generates behind a prompt, by nothing but transformers."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    ids = torch.tensor([tokenizer(prompt).input_ids])
    beams = {"num_beams": 3, "length_penalty": 2.0} if setting == "beams" else {"num_beams": 1}
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    said = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False, **beams, **ends)
    return decode_plainly(tokenizer, said[0, ids.size(1) :].tolist()).strip()


@pytest.mark.slow
def test_one_setting_is_the_study_without_a_list(done: Place, places: Places) -> None:
    mapping, alone = places(), places()
    mapping.run(*options({key: value for key, value in GREEDY.items() if key != "name"}))
    alone.run(*STUDY, f"generation={json.dumps([GREEDY])}")
    assert alone.results() == mapping.results()
    digests = [{run.data.tags[HIDDEN + Tags.CELL_DIGEST] for run in place.runs("cell")} for place in (mapping, alone)]
    assert digests[0] == digests[1]
    for cell, row in mapping.table().items():
        own = done.table()[f"{cell}/greedy"]
        assert {**own, "cell": cell} == {**row, "generation": "greedy"}


@pytest.mark.slow
@pytest.mark.parametrize(("store", "kept"), [("full", "best"), ("delta", "cells")])
def test_a_setting_added_later_is_answered_by_stored_models(done: Place, places: Places, store: str, kept: str) -> None:
    place, ways = places(), (f"final.store={store}", f"final.models={kept}")
    place.run(*options(GREEDY, DRAWN), *ways)
    stored = {run.data.params["seed"] for run, _ in models(place) if run.data.params["tuning"] == "head"}
    said = place.run(*options(GREEDY, DRAWN, BEAMS), *ways)
    assert place.table() == done.table()
    added = place.runs("final", cell="bare/head/beams")
    assert {run.data.params["seed"] for run in added if run.data.metrics["cost/train_seconds"] == 0} == stored
    lost = {"11", "12"} - stored
    lines = " ".join((said.err + said.out).split())
    assert ("again, since no stored model holds the weights that train" in lines) == bool(lost)
    assert all(f"bare/head/beams: the final run of seed {seed} trains again" in lines for seed in lost)
    assert stored
    assert kept == "cells" or lost
    place.clean()
    for run, folder in models(place):
        assert Generator(folder)([{"source": row["source"]} for row in rows("test")]) == told(place, run)


@pytest.mark.slow
@pytest.mark.parametrize("store", ["full", "delta"])
def test_an_adapter_answers_under_a_further_setting_unless_it_became_part_of_the_weights(
    places: Places, store: str
) -> None:
    place, ways = places(), (f"final.store={store}", "final.seeds=[11]", "tuning=[lora]")
    place.run(*options(GREEDY, DRAWN), *ways)
    said = place.run(*options(GREEDY, DRAWN, BEAMS), *ways)
    told = "bare/lora-8/beams: the final run of seed 11 trains again, since no stored model holds the weights"
    assert (told in " ".join((said.err + said.out).split())) == (store == "full")
    (seconds,) = trained_seconds(place, "bare/lora-8/beams")
    assert (seconds > 0) == (store == "full")


@pytest.mark.slow
def test_a_stored_model_that_is_damaged_is_trained_again(places: Places, done: Place) -> None:
    place = places()
    place.run(*options(GREEDY, DRAWN), "final.seeds=[11]")
    for run, folder in models(place):
        if run.data.params["tuning"] == "head":
            shutil.copy(folder / "config.json", folder / "model.safetensors")
    place.run(*options(GREEDY, DRAWN, BEAMS), "final.seeds=[11]")
    (seconds,) = trained_seconds(place, "bare/head/beams")
    assert seconds > 0
    first = {run.data.params["seed"]: told(done, run) for run in done.runs("final", cell="bare/head/beams")}
    (run,) = place.runs("final", cell="bare/head/beams")
    assert told(place, run) == first["11"]


@pytest.mark.slow
def test_the_model_of_a_later_setting_that_is_damaged_is_stored_anew(places: Places, done: Place) -> None:
    place = places.copy(done)

    def model() -> tuple[Run, Path]:
        (found,) = [(run, folder) for run, folder in models(place) if run.data.tags["cell"] == "bare/head/beams"]
        return found

    run, folder = model()
    (folder / "model.safetensors").write_bytes(b"")
    assert "is damaged, so that run is done again for it" in place.run(*THREE).out
    again, folder = model()
    assert again.info.run_id == run.info.run_id
    assert Generator(folder)([{"source": row["source"]} for row in rows("test")]) == told(place, run)
    assert place.results() == done.results()


@pytest.mark.slow
def test_one_setting_by_itself_and_then_the_rest_is_the_same(done: Place, places: Places) -> None:
    place = places()
    place.run(*THREE, "--cells", "*/beams")
    assert {run.data.tags["cell"] for run in place.runs("final")} == {"bare/none/beams", "bare/head/beams"}
    place.run(*THREE)
    assert place.results() == done.results()
    place.clean()


@pytest.mark.slow
def test_killed_between_two_settings_it_goes_on_to_the_same_tables(done: Place, places: Places) -> None:
    place = places()
    arguments = tuple(part for option in THREE for part in ("--set", option))

    def first_is_answered(one: Place) -> bool:
        query = "select r.run_uuid from runs r join tags t using (run_uuid) where t.key like ? and r.name like ?"
        return bool(look(one.folder / "mlflow.db", query, "%test_scored", "bare/head/greedy seed%"))

    assert kill_at(place, first_is_answered, 0.0, arguments)
    place.run(*THREE)
    assert place.results() == done.results()
    place.clean()


@pytest.mark.slow
def test_workers_answer_the_same(done: Place, places: Places) -> None:
    place = places()
    place.run(*THREE, "--workers", "2")
    assert place.results() == done.results()


@pytest.mark.slow
def test_the_report_says_of_each_setting_how_long_its_weights_trained(done: Place) -> None:
    rows = [line.split(" | ") for line in (done.folder / "reports" / "tiny" / "report.md").read_text().splitlines()]
    (header,) = (row for row in rows if row[0] == "| rank")
    place = header.index("one training (s) |")
    shown = {row[1].removesuffix(" ●"): row[place].removesuffix(" |") for row in rows if len(row) == len(header)}
    assert float(shown["bare/head/greedy"]) > 0
    assert shown["bare/head/beams"] == shown["bare/head/drawn"] == shown["bare/head/greedy"]


@pytest.mark.slow
def test_the_report_estimates_what_the_setting_does(done: Place) -> None:
    folder = done.folder / "reports" / "tiny"
    text = " ".join((folder / "report.md").read_text().split())
    assert "Does the way of generating matter?" in text
    assert "unequal budgets" not in text
    verdicts = json.loads((folder / "verdicts.json").read_text())
    assert verdicts["baseline"] == "bare/head/greedy"
    header = next(csv.reader((folder / "results.csv").read_text().splitlines()))
    assert header[:4] == ["cell", "prompt", "tuning", "generation"]
    status = done.command("status", "tiny").out
    assert "6 of 6 cells done" in status
    check = " ".join(done.command("check", "study.yaml", *THREE).out.split())
    assert "6 cells: 1 with 1 trial and 2 final runs, 2 with 2 final runs of the same weights, 3 zero-shot" in check
    assert "generation compares greedy, beams, drawn" in check
