"""Stored files that were cut, emptied, changed or deleted: ``report`` names them, ``run`` makes them again."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlflow.entities import Run

from harness.core.errors import DamagedError
from harness.runner.finals.checkpoints import Checkpoint
from harness.tracking.mlflow.mlflow_tracker import find_run
from harness.tracking.prediction_table import is_whole, read_predictions
from tests.support.first_of_kind import first_of_kind
from tests.support.study_fixture import Place, Places

SMALL = ("--set", "tuning=[none, head]", "--set", "prompts=[bare]")


@pytest.fixture(scope="module")
def done(places: Places) -> Place:
    """A small study, run once; tests change copies of it."""
    place = places()
    place.run(*SMALL)
    return place


@pytest.fixture
def place(done: Place, places: Places) -> Place:
    return places.copy(done)


def file_of(run: Run, name: str) -> Path:
    return Path(run.info.artifact_uri.removeprefix("file://")) / name


def other_columns(file: Path) -> None:
    table = json.loads(file.read_text())
    file.write_text(json.dumps({"columns": ["text"], "data": [["a"] for _ in table["data"]]}))


def a_row_less(file: Path) -> None:
    table = json.loads(file.read_text())
    file.write_text(json.dumps({**table, "data": table["data"][1:]}))


def another_answer(file: Path) -> None:
    table = json.loads(file.read_text())
    table["data"][0][table["columns"].index("prediction")] = "another"
    file.write_text(json.dumps(table))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "cut": lambda file: os.truncate(file, file.stat().st_size // 2),
    "empty": lambda file: os.truncate(file, 0),
    "no JSON": lambda file: file.write_bytes(b"\xff\x00 no table"),
    "missing": Path.unlink,
    "other columns": other_columns,
    "a row less": a_row_less,
    "another answer": another_answer,
    "no facts": lambda file: file.write_text("{}"),
}


@pytest.mark.parametrize("damage", first_of_kind(["cut", "missing", "other columns", "another answer"]))
def test_a_final_run_with_a_damaged_table_is_named_and_done_again(damage: str, done: Place, place: Place) -> None:
    run = place.runs("final", cell="bare/head")[0]
    DAMAGE[damage](file_of(run, "predictions/test.json"))
    shown = place.command("report", "tiny")
    assert shown.status == 0, shown.err
    text = (place.folder / "reports" / "tiny" / "report.md").read_text()
    assert f"predictions/test.json of run {run.info.run_name} ({run.info.run_id}) is damaged" in text
    again = place.run(*SMALL)
    assert f"stored predictions are damaged, so these runs are done again: {run.info.run_name}" in again.out
    assert {found.info.run_id for found in place.runs("superseded")} == {run.info.run_id}
    assert place.results() == done.results()
    assert "damaged" not in (place.folder / "reports" / "tiny" / "report.md").read_text()
    place.clean()
    assert "2 cells, 0 runs to do" in place.run(*SMALL).out


def other_rows(file: Path) -> None:
    file.write_text(file.read_text().replace("test-3", "test-x"))


def no_numbers(file: Path) -> None:
    table = json.loads(file.read_text())
    place = table["columns"].index("nll")
    file.write_text(json.dumps({**table, "data": [[*row[:place], "x", *row[place + 1 :]] for row in table["data"]]}))


@pytest.mark.parametrize("damage", first_of_kind([a_row_less, other_rows, no_numbers]))
def test_a_table_of_other_rows_is_damaged_in_a_store_without_digests(
    damage: Callable[[Path], None], done: Place, place: Place
) -> None:
    """As an earlier version wrote it."""
    run = place.runs("final", cell="bare/head")[0]
    place.client().delete_tag(run.info.run_id, "mlflow.harness.digest.predictions/test.json")
    damage(file_of(run, "predictions/test.json"))
    assert place.command("report", "tiny").status == 0
    text = (place.folder / "reports" / "tiny" / "report.md").read_text()
    assert f"predictions/test.json of run {run.info.run_name} ({run.info.run_id}) is damaged" in text
    assert f"so these runs are done again: {run.info.run_name}" in place.run(*SMALL).out
    assert place.results() == done.results()


@pytest.mark.slow
def test_tables_of_zero_shot_references_and_validation_are_done_again(done: Place, place: Place) -> None:
    (zero,), references = place.runs("final", cell="bare/none"), place.runs("reference")
    other = place.runs("final", cell="bare/head")[1]
    lost = {zero.info.run_id, other.info.run_id, *(run.info.run_id for run in references)}
    file_of(zero, "predictions/test.json").unlink()
    file_of(other, "predictions/validation.json").write_text("{}")
    for run in references:
        os.truncate(file_of(run, "predictions/test.json"), 10)
    assert place.command("report", "tiny").status == 0
    place.run(*SMALL)
    assert {run.info.run_id for run in place.runs("superseded")} == lost
    assert place.results() == done.results()


def test_a_report_without_any_table_says_so(place: Place) -> None:
    for run in place.runs("final"):
        file_of(run, "predictions/test.json").unlink()
    shown = place.command("report", "tiny")
    assert shown.status == 0, shown.err
    assert "all tables of test predictions are damaged" in shown.out


@pytest.mark.parametrize(
    ("name", "damage"),
    first_of_kind(
        [
            ("study.json", "cut"),
            ("study.json", "no facts"),
            ("study.yaml", "cut"),
            ("task/task.py", "no JSON"),
            ("prompt.jinja", "empty"),
        ]
    ),
)
def test_files_of_a_study_are_written_again(name: str, damage: str, done: Place, place: Place) -> None:
    phase = "cell" if name == "prompt.jinja" else "summary"
    run = place.runs(phase, cell="bare/head" if phase == "cell" else None)[0]
    final = place.runs("final", cell="bare/head")[0]
    DAMAGE[damage](file_of(run, name))
    command = ("report", "tiny") if name == "study.json" else ("reproduce", final.info.run_id)
    shown = place.command(*command)
    assert shown.status == 2
    assert f"{name} of run {run.info.run_name} ({run.info.run_id}) is damaged" in shown.err
    place.run(*SMALL)
    assert place.command("report", "tiny").status == 0
    assert place.results() == done.results()


def test_a_damaged_side_is_not_compared(place: Place) -> None:
    run = place.runs("final", cell="bare/head")[0]
    os.truncate(file_of(run, "predictions/test.json"), 100)
    shown = place.command("compare", "tiny:bare/head", "tiny:bare/none")
    assert shown.status == 2
    assert f"of run {run.info.run_name} ({run.info.run_id}) is damaged" in shown.err


@pytest.mark.parametrize("damage", DAMAGE)
def test_any_damage_is_seen(damage: str, place: Place) -> None:
    run = place.runs("final", cell="bare/none")[0]
    with mock.patch.dict(os.environ, {"MLFLOW_TRACKING_URI": place.uri}):
        ((_, tracker, ours),) = find_run(run.info.run_id, place.uri)
    assert is_whole(tracker, ours, "validation")
    DAMAGE[damage](file_of(run, "predictions/validation.json"))
    assert not is_whole(tracker, ours, "validation")


@pytest.mark.parametrize("old", [False, True], ids=["with a digest", "of an older version"])
def test_a_cut_at_any_byte_is_seen(old: bool, place: Place) -> None:
    run = place.runs("final", cell="bare/head")[0]
    if old:
        place.client().delete_tag(run.info.run_id, "mlflow.harness.digest.predictions/test.json")
    file = file_of(run, "predictions/test.json")
    whole = file.read_bytes()
    with mock.patch.dict(os.environ, {"MLFLOW_TRACKING_URI": place.uri}):
        ((_, tracker, ours),) = find_run(run.info.run_id, place.uri)
    assert is_whole(tracker, ours, "test")

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(end=st.integers(0, len(whole) - 1))
    def cut(end: int) -> None:
        file.write_bytes(whole[:end])
        with pytest.raises(
            DamagedError, match=f"of run .* \\({run.info.run_id}\\) is damaged: .*; `harness run` makes"
        ):
            read_predictions(tracker, ours, "test")

    cut()


@pytest.mark.parametrize("left", [b"\xff", b"", b"another key", None], ids=["no text", "empty", "another", "missing"])
def test_a_damaged_key_of_kept_weights_vouches_for_nothing(left: bytes | None, tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "11")
    checkpoint.offered()
    checkpoint.adopt("a key")
    assert checkpoint.holds("a key")
    (key,) = (file for file in checkpoint.folder.iterdir() if file.is_file())
    key.unlink() if left is None else key.write_bytes(left)
    assert not checkpoint.holds("a key")


def model_of(place: Place) -> tuple[str, Path]:
    """Return the URI of the champion's model, and its folder."""
    client = place.client()
    version = client.get_model_version_by_alias("tiny", "champion")
    model = client.get_logged_model(str(version.source).rpartition("/")[2])
    return model.model_uri, Path(model.artifact_location.removeprefix("file://"))


def every_file(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


MODEL_DAMAGE: dict[str, Callable[[Path], object]] = {
    "all of it": shutil.rmtree,
    "weights gone": lambda folder: next(folder.glob("artifacts/model/*.safetensors")).unlink(),
    "weights cut": lambda folder: DAMAGE["cut"](next(folder.glob("artifacts/model/*.safetensors"))),
    "settings gone": lambda folder: (folder / "artifacts" / "model" / "harness.json").unlink(),
    "settings edited": lambda folder: edited(folder / "artifacts" / "model" / "harness.json", "max_new_tokens"),
    "description cut": lambda folder: DAMAGE["cut"](folder / "MLmodel"),
    "code gone": lambda folder: (folder / "pyfunc.py").unlink(),
}


def edited(file: Path, key: str) -> None:
    text = file.read_text()
    assert key in text
    file.write_text(re.sub(rf'"{key}": \d+', f'"{key}": 1', text))


@pytest.mark.parametrize("damage", first_of_kind(MODEL_DAMAGE))
def test_a_damaged_model_is_stored_again_under_its_names(damage: str, done: Place, place: Place) -> None:
    uri, folder = model_of(place)
    whole = every_file(folder)
    MODEL_DAMAGE[damage](folder)
    folder_was_there = folder.exists()  # else it counts as one that was not stored yet
    again = place.run(*SMALL)
    assert ("is damaged, so that run is done again for it" in again.out) == folder_was_there
    assert "storing the model of" in again.out
    assert "another model" not in again.out
    assert model_of(place) == (uri, folder)
    weights = [name for name in whole if name.endswith(".safetensors")]
    assert [every_file(folder)[name] for name in weights] == [whole[name] for name in weights]
    assert every_file(folder).keys() == whole.keys()
    assert place.results() == done.results()
    place.clean()
    assert "damaged" not in place.run(*SMALL).out


def test_a_model_that_was_deleted_is_stored_and_registered_again(place: Place) -> None:
    uri, _ = model_of(place)
    place.client().delete_logged_model(uri.rpartition("/")[2])
    place.run(*SMALL)
    assert model_of(place)[0] != uri
    (place.folder / "in.jsonl").write_text('{"id": "1", "source": "a short note"}\n')
    answered = place.command("predict", "models:/tiny@champion", "--input", "in.jsonl", "--output", "out.jsonl")
    assert answered.status == 0, answered.err
