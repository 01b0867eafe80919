"""Final runs done again from what the store holds: the same to the last bit, or exactly what is in the way."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import torch
from mlflow.entities import Run
from safetensors.torch import load_file, save_file

from harness.testing import tiny_model
from tests.support.first_of_kind import first_of_kind
from tests.support.study_fixture import Place, Places, rows, write_rows

TUNINGS = ("none", "head", "last_blocks-1", "full")
QUICK = (
    *("--set", "tuning=[none, head, {last_blocks: 1}, full]", "--set", "search.trials=1"),
    *("--set", "final.seeds=[11]", "--set", "search.learning_rate={low: 1.0e-3, high: 1.0e-2}"),
)


@pytest.fixture(scope="module")
def done(places: Places) -> Place:
    place = places()
    place.run(*QUICK)
    return place


def final(place: Place, cell: str) -> Run:
    (run,) = place.runs("final", cell=cell)
    return run


def contents(place: Place) -> dict[str, list[tuple[object, ...]]]:
    """Return all that the store holds."""
    with closing(sqlite3.connect(place.folder / "mlflow.db")) as store:
        tables = [name for (name,) in store.execute("select name from sqlite_master where type = 'table'")]
        return {table: sorted(store.execute(f"select * from {table}"), key=repr) for table in tables}


@pytest.mark.parametrize("prompt", first_of_kind(["bare", "cue"]))
@pytest.mark.parametrize("tuning", TUNINGS)
def test_every_tuning_comes_out_the_same(tuning: str, prompt: str, done: Place) -> None:
    run, before = final(done, f"{prompt}/{tuning}"), contents(done)
    digest = run.data.tags["mlflow.harness.weights_digest"]
    assert re.fullmatch("[0-9a-f]{16}", digest)
    assert (digest == run.data.tags["mlflow.harness.model_digest"]) == (tuning == "none")
    shown = done.command("reproduce", run.info.run_id)
    assert shown.status == 0, shown.out + shown.err
    scores = [name for name in run.data.metrics if name.startswith(("validation/", "test/"))]
    assert f"{len(scores) + 1} results, weights among them, are the same to the last bit" in shown.out
    assert "different" not in shown.out
    assert contents(done) == before


def test_the_start_of_an_id_is_enough(done: Place) -> None:
    assert done.command("reproduce", final(done, "bare/none").info.run_id[:12]).status == 0


@pytest.mark.slow
def test_dropout_and_the_best_epoch_come_out_the_same(places: Places) -> None:
    place = places()
    tiny_model("gpt2", place.folder / "model", resid_pdrop=0.2, embd_pdrop=0.2, attn_pdrop=0.2)
    sets = ("training.epochs=5", "training.keep=best", "training.patience=2", "prompts=[bare]", "tuning=[full]")
    place.run(*QUICK, *(part for each in sets for part in ("--set", each)))
    shown = place.command("reproduce", final(place, "bare/full").info.run_id)
    assert shown.status == 0, shown.out + shown.err


def test_the_task_s_own_data_are_found(places: Places) -> None:
    place = places()
    place.edit("data: {path: data}\n", "")
    place.run(*QUICK, "--set", "tuning=[none]", "--set", "prompts=[bare]")
    shown = place.command("reproduce", final(place, "bare/none").info.run_id)
    assert shown.status == 0, shown.out + shown.err


def _data(split: str) -> Callable[[Place], None]:
    def change(place: Place) -> None:
        changed = rows(split)
        changed[3]["target"] += " again"
        write_rows(place.folder / "data" / f"{split}.jsonl", changed)

    return change


def _edit(file: str, old: str, new: str) -> Callable[[Place], None]:
    def change(place: Place) -> None:
        text = (place.folder / file).read_text()
        assert old in text
        (place.folder / file).write_text(text.replace(old, new))

    return change


def _weights(place: Place) -> None:
    file = place.folder / "model" / "model.safetensors"
    tensors = load_file(file)
    with torch.no_grad():
        tensors[sorted(tensors)[0]].view(-1)[0] += 1e-3
    save_file(tensors, file, metadata={"format": "pt"})


STOPS: dict[str, tuple[Callable[[Place], None], str]] = {
    "train data": (_data("train"), r"train data in data: digest \w{16}, now digest \w{16}"),
    "validation data": (_data("validation"), r"validation data in data: digest \w{16}, now digest \w{16}"),
    "test data": (_data("test"), r"test data in data: digest \w{16}, now digest \w{16}"),
    "prompt of the study file": (
        _edit("study.yaml", "TL;DR:", "In short:"),
        r"prompt cue: then '{{ source }}\\nTL;DR:', now '{{ source }}\\nIn short:'",
    ),
    "weights": (_weights, r"weights of model model: digest \w{16}, now digest \w{16}"),
    "configuration": (
        _edit("model/config.json", '"layer_norm_epsilon": 1e-05', '"layer_norm_epsilon": 1e-04'),
        r"configuration of model model: digest \w{16}, now digest \w{16}",
    ),
}


@pytest.mark.parametrize("what", first_of_kind(STOPS))
def test_what_changed_is_named_and_nothing_else(what: str, done: Place, places: Places) -> None:
    place, (change, says) = places.copy(done), STOPS[what]
    change(place)
    shown = place.command("reproduce", final(place, "cue/none").info.run_id)
    assert shown.status == 2
    first, *named = shown.err.strip().splitlines()
    assert first == "run cue/none zero-shot cannot be done again:"
    assert len(named) == 1
    assert re.fullmatch(says.replace(": digest", ": then digest"), named[0]), named[0]


def test_a_prompt_of_the_task_is_named(done: Place, places: Places) -> None:
    place = places.copy(done)
    _edit("task.py", '"bare", "{{ source }}\\n"', '"bare", "{{ source }}?\\n"')(place)
    shown = place.command("reproduce", final(place, "bare/none").info.run_id)
    assert shown.status == 2
    assert r"prompt bare: then '{{ source }}\n', now '{{ source }}?\n'" in shown.err
    again = place.command("reproduce", final(place, "cue/none").info.run_id)  # has nothing to do with it
    assert again.status == 0
    assert "changed: task ./task.py: then as the store holds it, now another text" in again.out


def test_data_that_are_gone_are_named(done: Place, places: Places) -> None:
    place = places.copy(done)
    (place.folder / "data" / "train.jsonl").unlink()
    shown = place.command("reproduce", final(place, "bare/none").info.run_id)
    assert shown.status == 2
    assert "cannot be done again" in shown.err
    assert "no train file" in shown.err


@pytest.mark.parametrize("tag", first_of_kind(["version.torch", "commit", "python"]))
def test_another_version_is_named_and_the_run_done(tag: str, done: Place, places: Places) -> None:
    place = places.copy(done)
    run = final(place, "bare/none")
    now = run.data.tags[tag]
    place.client().set_tag(run.info.run_id, tag, "0.0.1")
    shown = place.command("reproduce", run.info.run_id)
    assert shown.status == 0, shown.err
    lines = [line for line in shown.out.splitlines() if line.startswith("changed:")]
    assert [line for line in lines if "uncommitted" not in line] == [f"changed: {tag}: then 0.0.1, now {now}"]


def test_differences_are_stated(done: Place, places: Places) -> None:
    place = places.copy(done)
    run = final(place, "bare/head")
    with closing(sqlite3.connect(place.folder / "mlflow.db")) as store, store:
        store.execute(
            "update params set value = ? where key = 'learning_rate' and run_uuid = ?", ("0.005", run.info.run_id)
        )
    shown = place.command("reproduce", run.info.run_id)
    assert shown.status == 1
    then = run.data.metrics["validation/loss"]
    (line,) = [line for line in shown.out.splitlines() if "validation/loss" in line]
    found = re.fullmatch(r"different: validation/loss: then (\S+), now (\S+), by (\S+)", line)
    assert found is not None
    assert float(found[1]) == then != float(found[2])
    assert float(found[3]) == pytest.approx(float(found[2]) - then, rel=1e-2)
    assert f"different: weights: then {run.data.tags['mlflow.harness.weights_digest']}, now " in shown.out
    assert "results differ" in shown.out


@pytest.mark.parametrize("phase", ["cell", "search", "summary"])
def test_only_final_runs_are_done_again(phase: str, done: Place) -> None:
    run = done.runs(phase)[0]
    shown = done.command("reproduce", run.info.run_id)
    assert shown.status == 2
    assert phase in shown.err


def test_an_unknown_run_is_refused(done: Place) -> None:
    shown = done.command("reproduce", "0" * 32)
    assert shown.status == 2
    assert "no such run" in shown.err


@pytest.mark.slow
def test_a_superseded_run_is_refused(done: Place, places: Places) -> None:
    place = places.copy(done)
    place.edit("TL;DR:", "In short:")
    old = final(place, "cue/none").info.run_id
    place.run(*QUICK, "--cells", "cue/none")
    shown = place.command("reproduce", old)
    assert shown.status == 2
    assert "superseded" in shown.err
    assert Path(place.folder / "study.yaml").is_file()
