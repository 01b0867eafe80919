"""Stored models and studies that somebody else wrote: values that none of ours holds."""

from __future__ import annotations

import copy
import json
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from harness.tracking.mlflow.logged_models import remove_files
from harness.tracking.mlflow.run_files import text_digest
from tests.support.hostile_commands import Yard, cases, see
from tests.support.hostile_files import NO_FILES, instead_of
from tests.support.study_fixture import Place, Places, write_rows

SMALL = ("--set", "search.trials=1", "--set", "final.seeds=[11]", "--set", "prompts=[bare]", "--set", "tuning=[head]")

GONE = object()
"""In place of a value: its key is not there."""

ODD = (None, -1, 0.5, "x\x1b[2J", [1, "a"], {"a": 1}, GONE)

PARTS = {
    name: name
    for name in ("store", "decoding", "prompt", "limits", "tuning", "base", "precision", "weights", "files", "reading")
}


def changed(value: dict[str, Any], part: str) -> Iterator[dict[str, Any]]:
    """Yield an object with odd values in place of a part of it, and in place of each value inside."""
    for place in places_in(value[part], (part,)):
        for odd in ODD:
            yield replaced(value, place, odd)


def replaced(value: Any, place: Sequence[Any], odd: object) -> Any:
    """Return a copy of a value with another one at a place inside."""
    other = copy.deepcopy(value)
    above = other
    for key in place[:-1]:
        above = above[key]
    if odd is GONE:
        del above[place[-1]]
    else:
        above[place[-1]] = odd
    return other


def places_in(value: Any, place: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    yield place
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in inside:
        yield from places_in(inner, (*place, key))


@pytest.fixture(scope="module")
def trained(places: Places) -> Place:
    """A study that was run, with a stored model."""
    place = places()
    place.run(*SMALL)
    return place


@pytest.mark.parametrize("part", cases(PARTS))
def test_a_stored_model_s_settings(part: str, trained: Place, tmp_path: Path) -> None:
    yard = Yard(tmp_path, trained)
    (settings,) = yard.work.glob("mlruns/*/models/*/artifacts/artifacts/model/harness.json")
    folder = yard.work / ".harness" / "foreign"
    shutil.copytree(settings.parent, folder)
    write_rows(yard.work / ".harness" / "rows.jsonl", [{"source": "a note"}])
    output = yard.work / "reports" / "x.jsonl"
    for other in changed(json.loads(settings.read_text(encoding="utf-8")), PARTS[part]):
        (folder / "harness.json").write_text(json.dumps(other), encoding="utf-8")
        output.unlink(missing_ok=True)
        see(yard.run("predict", str(folder), "--input", ".harness/rows.jsonl", "--output", str(output)))


RECORDED = {
    place: place
    for place in (
        *("study", "question", "overrides", "file", "task_file", "space", "space/0", "space/0/low", "space/0/choices"),
        *("study/task", "study/prompts", "study/prompts/0", "study/data", "study/model", "study/training"),
        *("study/search", "study/search/sampler", "study/search/learning_rate", "study/final", "study/final/seeds"),
        *(
            "ranges",
            "ranges/head",
            "ranges/head/low",
            "forecast",
            "forecast/cells",
            "cells",
            "axes",
            "axes/0",
            "depths",
        ),
        *("prompts", "prompts/bare", "metrics", "metrics/0", "signatures", "signatures/chrf", "lead"),
        *("depths", "maximize", "objective", "baseline", "data", "leaks", "cautions", "provenance", "provenance/model"),
    )
}


@pytest.fixture(scope="module")
def planned(places: Places) -> Place:
    """A study that was planned, then run."""
    place = places()
    assert place.command("plan", "study.yaml", *SMALL).status == 0
    place.run(*SMALL)
    return place


@pytest.mark.parametrize("place", cases(RECORDED))
def test_a_stored_study_s_record(place: str, planned: Place, tmp_path: Path) -> None:
    yard = Yard(tmp_path, planned)
    (file,) = yard.work.glob("mlruns/**/study.json")
    final = planned.runs("final")[-1]
    record = json.loads(file.read_text(encoding="utf-8"))
    keys = [int(key) if key.isdigit() else key for key in RECORDED[place].split("/")]
    again = keys[0] in ("study", "overrides", "file", "task_file")
    for odd in (None, "x\x1b[2J", [1, "a"], GONE):
        rewrite(file, json.dumps(replaced(record, keys, odd)), yard.work / "mlflow.db")
        see(yard.run("report", "tiny"))
        if again:
            see(yard.run("reproduce", final.info.run_id), 0, 1, 2)


def rewrite(file: Path, text: str, store: Path) -> None:
    """Have a file of a run hold another text, and its run say that this is the one that was written."""
    file.write_text(text, encoding="utf-8")
    owner = next(part.name for part in file.parents if len(part.name) == 32)
    with closing(sqlite3.connect(store)) as database, database:
        change = "update tags set value = ? where run_uuid = ? and key like ?"
        found = database.execute(change, (text_digest(text.encode()), owner, f"%{file.name}%"))
        assert found.rowcount == 1


def test_a_run_may_be_called_like_anybody_s_folder(tmp_path: Path) -> None:
    for owner in ("victim", "..", "a" * 32 + "/..", "f" * 32):
        (tmp_path / owner / "artifacts").mkdir(parents=True)
    names = ("victim", "..", "a" * 32 + "/..")
    assert not any(remove_files(str(tmp_path / owner / "artifacts"), owner) for owner in names)
    assert (tmp_path / "victim" / "artifacts").is_dir()
    remove_files(str(tmp_path / ("f" * 32) / "artifacts"), "f" * 32)
    assert not (tmp_path / ("f" * 32)).exists()


def test_an_experiment_s_files_may_be_said_to_be_anywhere(trained: Place, tmp_path: Path) -> None:
    yard = Yard(tmp_path, trained)
    for name in (".letter.draft", ".artifact.uploading.letter"):
        (yard.folder / "home" / name).write_text("dear all", encoding="utf-8")
    with closing(sqlite3.connect(yard.work / "mlflow.db")) as database, database:
        database.execute("update experiments set artifact_location = ?", (str(yard.folder / "home"),))
    see(yard.run("run", "study.yaml", *SMALL))


def test_a_run_s_files_may_be_said_to_be_anywhere(trained: Place, tmp_path: Path) -> None:
    yard = Yard(tmp_path, trained)
    with closing(sqlite3.connect(yard.work / "mlflow.db")) as database, database:
        database.execute("update runs set artifact_uri = ?", (str(yard.folder / "home"),))
    see(yard.run("run", "study.yaml", *SMALL), 2)
    see(yard.run("run", "study.yaml", *SMALL, "--fresh"))


@pytest.mark.hostile
def test_a_row_of_some_mebibytes_is_answered_in_little_memory(trained: Place, tmp_path: Path) -> None:
    yard = Yard(tmp_path, trained)
    write_rows(yard.work / ".harness" / "rows.jsonl", [{"source": "a " * 3_500_000}])
    see(yard.run("predict", "tiny", "--input", ".harness/rows.jsonl", "--output", "reports/x.jsonl"), 0)


@pytest.mark.hostile
@pytest.mark.parametrize("kind", NO_FILES)
def test_what_is_no_file_in_place_of_a_plan_or_a_recording_s_manifest(
    kind: str, planned: Place, tmp_path: Path
) -> None:
    yard = Yard(tmp_path, planned)
    instead_of(yard.work / ".harness" / "tiny" / "plan.json", kind)
    for manifest in (yard.work / ".harness" / ".recordings").glob("*/manifest.json"):
        instead_of(manifest, kind)
        (manifest.parent / "pipe").unlink(missing_ok=True)
    see(yard.run("run", "study.yaml", *SMALL))
    see(yard.run("plan", "study.yaml", *SMALL))


EDITED = {
    f"{table}, {key}, {value}": (table, key, value)
    for table, key in (("params", "seed"), ("params", "prompt"), ("params", "tuning"), ("params", "parameters"))
    for value in ("x\x1b[2J", "9" * 400, None)
} | {f"tags, {key}, {value}": ("tags", key, value) for key in ("trial", "cell") for value in ("x\x1b[2J", None)}


@pytest.mark.hostile
@pytest.mark.parametrize("case", EDITED)
def test_a_run_that_somebody_edited_is_named(case: str, trained: Place, tmp_path: Path) -> None:
    table, key, value = EDITED[case]
    yard = Yard(tmp_path, trained)
    with closing(sqlite3.connect(yard.work / "mlflow.db")) as database, database:
        if value is None:
            database.execute(f"delete from {table} where key = ?", (key,))
        else:
            database.execute(f"update {table} set value = ? where key = ?", (value, key))
    see(yard.run("report", "tiny"))
