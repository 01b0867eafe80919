"""A store that a newer version wrote to is refused before anything is changed, and damage is not taken for that."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import urlparse

import pytest

from harness.tracking.mlflow.run_files import text_digest
from harness.tracking.schema import HIDDEN, RUN_FORMAT, Artifacts, Tags
from tests.support.study_fixture import Place, Places, rows, write_rows

SMALL = (
    *("--set", "prompts=[bare]", "--set", "tuning=[none, head]", "--set", "search.trials=1"),
    *("--set", "final.seeds=[11]", "--set", "final.store=delta", "--set", "training.epochs=1"),
)
NEWER = "was written by a newer version (format"


@pytest.fixture(scope="module")
def done(places: Places) -> Place:
    place = places()
    place.run(*SMALL)
    write_rows(place.folder / "asked.jsonl", rows("test"))
    return place


@pytest.fixture
def place(done: Place, places: Places) -> Place:
    return places.copy(done)


def state(place: Place) -> dict[str, str]:
    """Return what every file holds: of databases the rows, since reading one may tidy its file; locks hold nothing."""
    found = {}
    for file in sorted(path for path in place.folder.rglob("*") if path.is_file()):
        if file.suffix == ".db":
            with closing(sqlite3.connect(file)) as store:
                content = "\n".join(store.iterdump()).encode()
        elif file.name.endswith((".lock", "-wal", "-shm", ".pyc")):
            continue
        else:
            content = file.read_bytes()
        found[str(file.relative_to(place.folder))] = hashlib.sha256(content).hexdigest()
    return found


def rewrite_record(place: Place, version: object, *, told: bool = True) -> None:
    """Give the study's record another version, and the digest that tells of it."""
    (summary,) = place.runs("summary")
    file = Path(urlparse(summary.info.artifact_uri).path) / Artifacts.FACTS
    text = json.dumps({**json.loads(file.read_text(encoding="utf-8")), "format": version})
    file.write_text(text, encoding="utf-8")
    if told:
        tag = HIDDEN + Tags.file_digest(Artifacts.FACTS)
        place.client().set_tag(summary.info.run_id, tag, text_digest(text.encode()))


def tag_run(place: Place, version: str) -> None:
    place.client().set_tag(place.runs("final", cell="bare/head")[0].info.run_id, Tags.FORMAT, version)


def keep_plan(place: Place) -> None:
    (place.folder / ".harness" / "tiny").mkdir(parents=True, exist_ok=True)
    (place.folder / ".harness" / "tiny" / "plan.json").write_text('{"format": 2, "from": "later"}', encoding="utf-8")


def test_every_run_and_record_says_its_version(done: Place) -> None:
    assert {run.data.tags[Tags.FORMAT] for run in done.runs()} == {str(RUN_FORMAT)}
    (summary,) = done.runs("summary")
    file = Path(urlparse(summary.info.artifact_uri).path) / Artifacts.FACTS
    assert json.loads(file.read_text(encoding="utf-8"))["format"] == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [lambda place: rewrite_record(place, 2), lambda place: tag_run(place, str(RUN_FORMAT + 1))],
    ids=["record", "run"],
)
def test_a_newer_study_is_left_as_it_is(change: Callable[[Place], None], place: Place) -> None:
    change(place)
    before = state(place)
    final = place.runs("final", cell="bare/head")[0].info.run_id
    more = ("--set", "final.seeds=[11, 12]")
    for command in (["run", "study.yaml", *SMALL, *more], ["report", "tiny"], ["clean", "tiny"], ["reproduce", final]):
        refused = place.command(*command)
        assert refused.status == 2, (command, refused)
        assert NEWER in " ".join(refused.err.split()), command
        assert "damaged" not in refused.err
        assert state(place) == before, command


@pytest.mark.slow
def test_a_newer_plan_is_neither_read_nor_written_over(place: Place) -> None:
    keep_plan(place)
    before = state(place)
    for command in ("run", "plan"):
        refused = place.command(command, "study.yaml", *SMALL, "--set", "search.trials=2")
        assert refused.status == 2
        assert NEWER in " ".join(refused.err.split())
        assert state(place) == before, command


@pytest.mark.slow
def test_a_newer_model_does_not_answer(place: Place) -> None:
    (settings,) = [
        file for file in place.folder.rglob("harness.json") if "mlruns" in file.parts or "models" in file.parts
    ]
    assert json.loads(settings.read_text(encoding="utf-8"))["format"] == 1
    settings.write_text(json.dumps({"format": 2, "anything": "else"}), encoding="utf-8")
    refused = place.command("predict", "tiny", "--input", "asked.jsonl", "--output", "answers.jsonl")
    assert refused.status == 2
    assert NEWER in " ".join(refused.err.split())
    assert not (place.folder / "answers.jsonl").exists()


@pytest.mark.parametrize("version", ["two", 0, True, 1.5])
def test_what_is_no_version_is_damage(version: object, place: Place) -> None:
    rewrite_record(place, version)
    refused = place.command("report", "tiny")
    assert refused.status == 2
    assert "study.json" in refused.err
    assert "damaged" in refused.err
    assert "newer" not in refused.err


@pytest.mark.slow
def test_a_record_that_was_changed_is_damage_whatever_version_it_says(place: Place) -> None:
    rewrite_record(place, 9, told=False)
    refused = place.command("report", "tiny")
    assert "damaged" in refused.err
    assert "newer" not in refused.err
    assert "0 runs to do" in place.run(*SMALL).out, "and a run writes it again"


@pytest.mark.slow
def test_a_run_without_a_version_is_read(place: Place) -> None:
    for run in place.runs():
        place.client().delete_tag(run.info.run_id, Tags.FORMAT)
    assert "0 runs to do" in place.run(*SMALL).out


@pytest.mark.slow
def test_a_champion_of_a_newer_version_stays(place: Place) -> None:
    """Its study is another one, so this one runs; what that version's runs say is not for this one to judge."""
    for run in place.runs("final"):
        place.client().set_tag(run.info.run_id, Tags.FORMAT, str(RUN_FORMAT + 1))
    champion = place.client().get_model_version_by_alias("tiny", "champion").version
    done = place.command("run", "study.yaml", *SMALL, "--set", "name=other", "--set", "final.registered_as=tiny")
    assert done.status == 0, done.err
    assert f"is the challenger: not comparable with version {champion}: run" in " ".join(done.out.split())
    assert place.client().get_model_version_by_alias("tiny", "champion").version == champion


def test_a_store_of_a_newer_mlflow_is_told_as_such(place: Place) -> None:
    """MLflow calls it out of date, and advises to migrate it to what it is beyond."""
    with closing(sqlite3.connect(place.folder / "mlflow.db")) as store, store:
        store.execute("update alembic_version set version_num = 'ffffffffffff'")
    for command in (["report", "tiny"], ["run", "study.yaml", *SMALL]):
        refused = place.command(*command)
        assert refused.status == 2
        assert "was written by a newer MLflow (schema ffffffffffff): install that one" in " ".join(refused.err.split())
