"""What MLflow holds of a study's models: which, with what beside them, and who finds them again."""

from __future__ import annotations

import json
import signal
import urllib.request
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow.entities import LoggedModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.core.example import Example, fingerprint
from tests.support.kill_moments import kill_at, running
from tests.support.study_fixture import Place, Places, rows, write_rows

QUICK = (
    *("--set", "prompts=[bare]", "--set", "tuning=[none, head, {last_blocks: 1}]", "--set", "search.trials=1"),
    *("--set", "search.metric=perplexity", "--set", "training.epochs=1"),
)
CELLS = ("bare/none", "bare/head", "bare/last_blocks-1")


@pytest.fixture(scope="module")
def done(places: Places) -> Place:
    place = places()
    place.run(*QUICK, "--set", "final.models=cells")
    return place


def models(place: Place) -> dict[str, LoggedModel]:
    found = place.client().search_logged_models([place.runs()[0].info.experiment_id])
    return {model.source_run_id: model for model in found}


def inside(model: LoggedModel) -> Path:
    return Path(model.artifact_location.removeprefix("file://"))


def predictions(place: Place, run: str, split: str = "test") -> list[str]:
    folder = place.folder / "fetched"
    folder.mkdir(exist_ok=True)
    table = json.loads(
        Path(place.client().download_artifacts(run, f"predictions/{split}.json", str(folder))).read_text()
    )
    return [row[table["columns"].index("prediction")] for row in table["data"]]


def asked(place: Place) -> str:
    file = place.folder / "asked.jsonl"
    file.write_text("".join(json.dumps({"id": row["id"], "source": row["source"]}) + "\n" for row in rows("test")))
    return file.name


def answered(place: Place, model: str) -> list[str]:
    (place.folder / "said.jsonl").unlink(missing_ok=True)
    shown = place.command("predict", model, "--input", asked(place), "--output", "said.jsonl")
    assert shown.status == 0, shown.err
    return [json.loads(line)["prediction"] for line in (place.folder / "said.jsonl").read_text().splitlines()]


def test_every_cell_keeps_its_middle_run(done: Place) -> None:
    """Of two runs that is the poorer one."""
    best = {}
    for cell in CELLS:
        finals = done.runs("final", cell=cell)
        best[max(finals, key=lambda run: run.data.metrics["validation/perplexity"]).info.run_id] = cell
    there = models(done)
    assert {run: model.tags["cell"] for run, model in there.items()} == best
    (summary,) = done.runs("summary")
    assert set(summary.data.tags["kept_runs"].split()) == set(best)
    assert summary.data.tags["best_model"] == there[summary.data.tags["best_run"]].model_uri
    assert not list((done.folder / ".harness" / "tiny").rglob("*.safetensors"))  # the store has them


def test_a_model_carries_its_cell_scores_and_data(done: Place) -> None:
    runs = {run.info.run_id: run for run in done.runs("final")}
    for run, model in models(done).items():
        data = runs[run].data
        assert str(model.status) == "READY"
        for name in ("prompt", "tuning", "learning_rate", "seed", "model", "task"):
            assert model.params[name] == data.params[name]
        assert model.tags["prompt_uri"] == data.tags["prompt_uri"]
        assert model.tags["weights_digest"] == data.tags["mlflow.harness.weights_digest"]
        scores = {metric.key: metric for metric in model.metrics}
        expected = {name: value for name, value in data.metrics.items() if name.startswith(("validation/", "test/"))}
        assert {name: metric.value for name, metric in scores.items()} == expected
        for split in ("validation", "test"):
            examples = [Example(row["id"], {"source": row["source"]}, row["target"]) for row in rows(split)]
            of_split = [metric for name, metric in scores.items() if name.startswith(split)]
            assert {metric.dataset_digest for metric in of_split} == {fingerprint(examples)}
            assert {metric.dataset_name for metric in of_split} == {f"data {split}"}
        for name in expected:  # the run's own history has no second point
            history = done.client().get_metric_history(run, name)
            assert len({point.step for point in history}) == len(history)
        outputs = done.client().get_run(run).outputs
        assert [output.model_id for output in outputs.model_outputs] == [model.model_id]


def test_a_model_is_whole(done: Place) -> None:
    for model in models(done).values():
        folder = inside(model)
        described = mlflow.models.Model.load(str(folder))
        columns = [(column.name, column.type.name, column.required) for column in described.signature.inputs]
        assert columns == [(0, "string", False), ("source", "string", False)]  # texts alone, or a table
        (name,) = described.load_input_example(str(folder)).columns
        assert name == "source"
        pinned = (folder / "requirements.txt").read_text().splitlines()
        assert {line.partition("==")[0] for line in pinned} >= {"mlflow", "transformers", "torch"}
        assert "prompt-depth-harness" not in "".join(pinned)  # no index has it
        assert all("==" in line for line in pinned)
        settings = json.loads((folder / "artifacts" / "model" / "harness.json").read_text())
        assert settings["prompt"]["text"] == "{{ source }}\n"
        assert settings["decoding"]["max_new_tokens"] == 6


def test_a_full_folder_is_from_pretrained(done: Place) -> None:
    for model in models(done).values():
        folder = inside(model) / "artifacts" / "model"
        assert (folder / "model.safetensors").exists() == (model.tags["cell"] != "bare/none")
        if model.tags["cell"] == "bare/none":  # the base, by reference
            continue
        plain = AutoModelForCausalLM.from_pretrained(folder, dtype="float32", use_safetensors=True)
        words = AutoTokenizer.from_pretrained(folder)
        row = rows("test")[0]
        prompt = words(f"{row['source']}\n", return_tensors="pt")
        said = plain.generate(**prompt, max_new_tokens=6, do_sample=False, pad_token_id=words.eos_token_id)
        text = words.decode(said[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True)
        expected = predictions(done, model.source_run_id)[0]
        assert text.partition("\n")[0].strip() == expected


def test_all_names_lead_to_the_model(done: Place) -> None:
    (summary,) = done.runs("summary")
    best = summary.data.tags["best_run"]
    expected = predictions(done, best)
    uri = summary.data.tags["best_model"]
    folder = str(inside(models(done)[best]))
    names = ("tiny", "study.yaml", best, best[:10], uri, "models:/tiny@champion", "models:/tiny/1", folder)
    for name in (*names, f"{folder}/artifacts/model"):
        assert answered(done, name) == expected, name
    for run in models(done):
        assert answered(done, run) == predictions(done, run)


@pytest.mark.parametrize("name", ["models:/none@champion", "models:/m-0123", "nobody", "0123456789abcdef", "data"])
def test_what_is_no_model_is_refused(name: str, done: Place) -> None:
    shown = done.command("predict", name, "--input", asked(done), "--output", "refused.jsonl")
    assert shown.status == 2
    assert name in shown.err
    assert not (done.folder / "refused.jsonl").exists()


def test_a_run_without_a_model_says_so(done: Place) -> None:
    other = next(run.info.run_id for run in done.runs("final") if run.info.run_id not in models(done))
    shown = done.command("predict", other, "--input", asked(done), "--output", "refused.jsonl")
    assert shown.status == 2
    assert "keeps no model" in shown.err


def test_malformed_rows_are_refused_by_number(done: Place) -> None:
    mlflow.set_tracking_uri(done.uri)
    model = mlflow.pyfunc.load_model(models(done)[done.runs("summary")[0].data.tags["best_run"]].model_uri)
    with pytest.raises(mlflow.exceptions.MlflowException, match=r"row 2: .*empty.*row 3: .*empty") as refused:
        model.predict(pd.DataFrame({"source": ["a", " ", None]}))
    assert refused.value.get_http_status_code() == 400


@pytest.mark.slow
def test_other_choices_keep_less(places: Places, done: Place) -> None:
    place = places.copy(done)
    kept = models(place)
    place.run(*QUICK)
    (summary,) = place.runs("summary")
    best = summary.data.tags["best_run"]
    assert list(models(place)) == [best]
    for run in kept.keys() - {best}:
        assert not inside(kept[run]).exists()
    place.run(*QUICK, "--set", "final.models=none", "--set", "final.registered_as=null")
    (summary,) = place.runs("summary")
    assert summary.data.tags["best_model"] == "none"
    assert list(models(place)) == [best]  # it is registered
    shown = place.command("predict", "tiny", "--input", asked(place), "--output", "refused.jsonl")
    assert (shown.status, "keeps no model" in shown.err) == (2, True)


@pytest.mark.slow
def test_deltas_are_small_and_say_the_same(places: Places, done: Place) -> None:
    place = places()
    place.run(*QUICK, "--set", "final.models=cells", "--set", "final.store=delta")
    there = models(place)
    assert {model.tags["cell"] for model in there.values()} == set(CELLS)
    parameters = {run.data.params["tuning"]: int(run.data.params["trainable_parameters"]) for run in place.runs("cell")}
    for run, model in there.items():
        folder = inside(model) / "artifacts" / "model"
        assert not (folder / "model.safetensors").exists()
        if model.params["tuning"] != "none":
            size = (folder / "delta.safetensors").stat().st_size
            assert size <= 1.1 * 4 * parameters[model.params["tuning"]]
        assert answered(place, run) == predictions(place, run)
    digests = {model.tags["weights_digest"] for model in models(done).values()}
    assert {model.tags["weights_digest"] for model in there.values()} == digests


@pytest.mark.slow
@pytest.mark.parametrize("registered", ["null", "tiny"])
def test_another_way_of_storing_is_heeded_or_declined(registered: str, places: Places) -> None:
    place, name = places(), f"final.registered_as={registered}"
    place.run(*QUICK, "--set", name)
    again = place.run(*QUICK, "--set", name, "--set", "final.store=delta")
    ((run, model),) = models(place).items()
    if registered == "null":
        assert model.params["store"] == "delta"
        assert (inside(model) / "artifacts" / "model" / "delta.safetensors").exists()
    else:
        assert model.params["store"] == "full"
        assert "is registered and stays as it is, full; final.store: delta holds for new ones" in again.out
    assert answered(place, run) == predictions(place, run)
    assert "stor" not in place.run(*QUICK, "--set", name, "--set", f"final.store={model.params['store']}").out


@pytest.mark.slow
def test_a_delta_finds_its_base_from_a_folder_that_has_another_one_of_that_name(places: Places) -> None:
    place, other = places(), places("t5", store=False)
    place.run(*QUICK, "--set", "final.store=delta")
    ((run, model),) = models(place).items()
    (other.folder / "asked.jsonl").write_text((place.folder / asked(place)).read_text())
    folder = str(inside(model) / "artifacts" / "model")
    shown = other.command("predict", folder, "--input", "asked.jsonl", "--output", "said.jsonl")
    assert shown.status == 0, shown.err
    said = [json.loads(line)["prediction"] for line in (other.folder / "said.jsonl").read_text().splitlines()]
    assert said == predictions(place, run)


@pytest.mark.slow
def test_lost_weights_are_trained_again(places: Places) -> None:
    place = places()
    stop = place.command("run", "study.yaml", *QUICK, "--set", "final.models=none")
    assert stop.status == 0, stop.err
    assert not models(place)
    again = place.run(*QUICK)
    assert "storing the model of" in again.out
    (summary,) = place.runs("summary")
    best = summary.data.tags["best_run"]
    assert answered(place, best) == predictions(place, best)


@pytest.mark.slow
def test_a_kill_loses_no_cell_s_weights(places: Places) -> None:
    place, cells = places(), (*QUICK, "--set", "final.models=cells")
    assert kill_at(place, running("final", 4), 0.0, cells)
    waiting = place.folder / ".harness" / "tiny" / "finals"
    for cell in ("bare--none", "bare--head"):
        (seed,) = (waiting / cell).iterdir()  # all but the middle one are gone
        (seed / "model" / "witness").write_text(cell)
    again = place.run(*cells)
    assert again.out.count("storing the model of") == 3
    for run, model in models(place).items():
        assert answered(place, run) == predictions(place, run)
        kept = (inside(model) / "artifacts" / "model" / "witness").exists()  # not trained again
        assert kept == (model.tags["cell"] != "bare/last_blocks-1")


@pytest.mark.slow
def test_a_folder_that_mlflow_never_saw_is_served(places: Places, done: Place) -> None:
    place = places.copy(done)
    (summary,) = place.runs("summary")
    best = summary.data.tags["best_run"]
    inside(models(place)[best]).joinpath("artifacts", "model").rename(place.folder / "loose")
    server = place.process("serve", "loose", env={"MLFLOW_TRACKING_URI": place.uri})
    try:
        assert server.stdout is not None
        address = server.stdout.readline().split()[-1]
        body = {"dataframe_records": [{"source": row["source"]} for row in rows("test")]}
        request = urllib.request.Request(address, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as answer:
            assert json.loads(answer.read())["predictions"] == predictions(place, best)
    finally:
        server.send_signal(signal.SIGINT)
        _, err = server.communicate(timeout=90)
    assert server.returncode == 130, err


@pytest.mark.parametrize(("choice", "cells"), [("best", 1), ("cells", 3), ("none", 0)], ids=lambda value: str(value))
def test_plan_states_the_disk_use(choice: str, cells: int, places: Places) -> None:
    place = places()
    shown = place.command("plan", "study.yaml", *QUICK, "--set", f"final.models={choice}")
    assert shown.status == 0, shown.err
    line: Any = next(line for line in shown.out.splitlines() if line.startswith("models"))
    if not cells:
        assert line == "models: none is kept"
        return
    config = json.loads((place.folder / "model" / "config.json").read_text())
    size = (place.folder / "model" / "model.safetensors").stat().st_size / 2**20
    head = 4 * config["n_embd"] * config["vocab_size"] / 2**20
    expected = {1: size + head, 3: 2 * size + head}[cells]  # head's copy is untied; zero-shot is kept by reference
    assert abs(float(line.split("at most ")[1].split(" MiB")[0]) - expected) < 0.1


@pytest.mark.slow
def test_a_model_of_mapped_columns_answers_the_rows_of_its_study(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the environment holds is not stored, so of such a column only the prompt's own name is known."""
    place = places()
    for split in ("train", "validation", "test"):
        renamed = [{"id": row["id"], "the ticket": row["source"], "reply": row["target"]} for row in rows(split)]
        write_rows(place.folder / "data" / f"{split}.jsonl", renamed)
    monkeypatch.setenv("REPLY", "reply")
    mapped = ("data.columns={source: the ticket, target: '${REPLY}'}", "tuning=[head]", "final.seeds=[11]")
    place.run(*QUICK, "--set", "final.models=cells", *(part for each in mapped for part in ("--set", each)))
    (run,) = place.runs("final", cell="bare/head")
    args = ("--input", "data/test.jsonl", "--output", "said.jsonl")
    done = place.command("predict", run.info.run_id, *args)
    assert done.status == 0, done.err
    said = [json.loads(line)["prediction"] for line in (place.folder / "said.jsonl").read_text().splitlines()]
    assert said == predictions(place, run.info.run_id)
    recipe = json.loads(next(place.folder.glob("**/artifacts/**/harness.json")).read_text())
    assert recipe["columns"] == {"source": "the ticket"}
