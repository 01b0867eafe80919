"""A password of a store is in no message, no stored byte, on no screen and in no process list."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from benchmarks.tracking_server import NoDatabase, database
from harness.core.errors import StoreError
from harness.runner.search.optuna_storage import reach_storage
from tests.support.canary import stored
from tests.support.first_of_kind import first_of_kind
from tests.support.study_fixture import Place, Places

PASSWORD = "s3cr3t%2Fof%40ours"
RAW = "s3cr3t/of@ours"
SHORT = ("search.trials=1", "final.seeds=[11]", "prompts=[bare]", "tuning=[none, head]", "final.models=none")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A PostgreSQL of its own, by an address with a password (which it takes without asking)."""
    pytest.importorskip("psycopg2")
    try:
        with database() as address:
            yield address.replace("mlflow@", f"mlflow:{PASSWORD}@")
    except NoDatabase as reason:
        pytest.skip(str(reason))


def new_database(server: str, name: str) -> str:
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"create database {name}"))
    engine.dispose()
    return make_url(server).set(database=name).render_as_string(hide_password=False)


def sets(*settings: str) -> tuple[str, ...]:
    return tuple(part for each in settings for part in ("--set", each))


def said_by(content: bytes) -> bool:
    """Return whether bytes hold the password, in any of its spellings or parts."""
    return any(part.encode() in content for part in (PASSWORD, RAW, "s3cr3t", "@ours", "%40ours"))


def written(place: Place) -> Iterator[tuple[str, bytes]]:
    """Yield all files of a place but those that a person wrote."""
    for file in place.folder.rglob("*"):
        if file.is_file() and file != place.study:
            yield str(file.relative_to(place.folder)), file.read_bytes()


@pytest.mark.parametrize("how", first_of_kind(["in the file", "by --set", "by name"]))
def test_a_storage_s_password_is_in_no_byte(
    how: str, server: str, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, address = places(), new_database(server, f"search_{how.replace(' ', '_').replace('-', '')}")
    more: tuple[str, ...] = ()
    if how == "in the file":
        place.edit("search:\n", f"search:\n  storage: {address}\n")
    if how == "by --set":
        more = ("--set", f"search.storage={address}")
    if how == "by name":
        monkeypatch.setenv("THE_DB", address)
        place.edit("search:\n", "search:\n  storage: ${THE_DB}\n")
    done = place.run(*sets(*SHORT), *more)
    assert not said_by((done.out + done.err).encode())
    for what, content in [*written(place), *stored(place)]:
        assert not said_by(content), what
    facts = json.loads(next((place.folder / "mlruns").rglob("study.json")).read_text())
    named = "${THE_DB}" if how == "by name" else address.replace(PASSWORD, "***")
    assert facts["study"]["search"]["storage"] == named
    again = place.run(*sets(*SHORT), *more)
    assert "0 runs to do" in again.out
    run = place.runs("final", cell="bare/head")[0].info.run_id
    assert place.command("reproduce", run).status == 0
    assert place.command("report", "tiny").status == 0


@pytest.mark.slow
def test_a_tracking_database_s_password_is_in_no_byte_and_on_no_screen(server: str, places: Places) -> None:
    place = places(store=False)
    address = new_database(server, "tracking")
    env = {"MLFLOW_TRACKING_URI": address}
    done = place.command("run", "study.yaml", *sets(*SHORT), env=env)
    assert done.status == 0, done.err
    told = [done]
    told += [
        place.command(*asked, env=env)
        for asked in (
            ("report", "tiny"),
            ("report", "no-such"),
            ("predict", "no-such", "--input", "a", "--output", "b"),
        )
    ]
    for shown in told:
        assert not said_by((shown.out + shown.err).encode()), shown
    for what, content in written(place):
        assert not said_by(content), what
    dumped = create_engine(address)
    with dumped.connect() as connection:
        names = [
            row[0] for row in connection.execute(text("select tablename from pg_tables where schemaname='public'"))
        ]
        for name in names:
            rows = connection.execute(text(f'select * from "{name}"')).fetchall()
            assert not said_by(repr(rows).encode()), name
    dumped.dispose()
    pages = place.process("ui", "tiny", env=env)
    try:
        assert pages.stdout is not None
        line = pages.stdout.readline()
        assert "MLflow UI on postgresql" in line
        assert not said_by(line.encode())
        assert not said_by(subprocess.run(["ps", "-eo", "args", "-ww"], capture_output=True, check=True).stdout)
    finally:
        pages.send_signal(signal.SIGINT)
        out, err = pages.communicate(timeout=60)
    assert not said_by((out + err).encode())


BAD = {
    "port": "postgresql+psycopg2://mlflow:{password}@127.0.0.1:1/runs",
    "host": "postgresql+psycopg2://mlflow:{password}@no-such-host.invalid/runs",
    "driver": "postgresql+nosuch://mlflow:{password}@127.0.0.1/runs",
    "dialect": "nosuch://mlflow:{password}@127.0.0.1/runs",
    "number": "postgresql+psycopg2://mlflow:{password}@127.0.0.1:port/runs",
    "option": "postgresql+psycopg2://mlflow:{password}@127.0.0.1:1/runs?nosuch={password}",
    "parameter": "postgresql+psycopg2://127.0.0.1:1/runs?user=mlflow&password={password}",
    "server": "http://mlflow:{password}@127.0.0.1:1",
    "token": "http://{password}@127.0.0.1:1",
    "server's name": "https://mlflow:{password}@no-such-host.invalid",
}


@pytest.mark.parametrize("password", ["s3cr3tofours", PASSWORD, "s3cr3t:it's @ours"])
@pytest.mark.parametrize("wrong", BAD)
def test_no_message_quotes_it(wrong: str, password: str, unused: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    address = BAD[wrong].format(password=password.replace(":", "") if wrong == "token" else password)
    shown = unused.command("report", "tiny", env={"MLFLOW_TRACKING_URI": address})
    assert shown.status == 2, shown
    assert not said_by((shown.out + shown.err).encode())
    if not address.startswith("http"):
        monkeypatch.setenv("THE_DB", address)
        for storage in (address, "${THE_DB}"):
            with pytest.raises(StoreError) as refused:
                reach_storage(storage)
            assert not said_by(repr(refused.value).encode())


KEYS = {
    "tracking.uri": ("{name: model}", "{name: model}\ntracking: {uri: ADDRESS}"),
    "search.storage": ("  sampler: random", "  sampler: random\n  storage: ADDRESS"),
    "model": ("{name: model}", "{name: ADDRESS}"),
    "data.hub": ("{path: data}", "{hub: ADDRESS}"),
    "data.path": ("{path: data}", "{path: ADDRESS}"),
    "data.splits": ("{path: data}", "{splits: {train: ADDRESS, validation: ADDRESS}}"),
    "generality.text": ("{name: model}", "{name: model}\ngenerality: {text: ADDRESS}"),
}


@pytest.mark.parametrize("by_name", [False, True])
@pytest.mark.parametrize("password", ["s3cr3tofours", "s3cr3t of ours", "s3cr3t:it's @ours", "s3cr3t/of?#ours"])
@pytest.mark.parametrize("key", first_of_kind(["data.path", *(key for key in KEYS if key != "data.path")]))
def test_no_key_of_a_study_file_has_it_quoted(key: str, password: str, by_name: bool, places: Places) -> None:
    """Whatever a message makes of an address: a path has one slash where that has two."""
    place = places(store=False)
    old, new = KEYS[key]
    for kind in ("server", "port", "token"):
        address = BAD[kind].format(password=password.replace(":", "") if kind == "token" else password)
        said = "${THE_ADDRESS}" if by_name else json.dumps(address)
        text = place.study.read_text(encoding="utf-8")
        place.study.write_text(text.replace(old, new.replace("ADDRESS", said)), encoding="utf-8")
        for command in ("check", "run"):
            done = place.command(command, "study.yaml", env={"THE_ADDRESS": address, "HF_HUB_OFFLINE": "1"})
            assert done.status == 2, done
            assert not said_by((done.out + done.err).encode()), done
        place.study.write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def unused(places: Places) -> Place:
    return places()


def test_a_traceback_quotes_none(places: Places) -> None:
    place = places(store=False)
    script = (
        "import os, harness.cli.main as m\n@m.app.command()\ndef fail():\n    raise RuntimeError(os.environ['A'])\n"
    )
    address = {"A": "mysql://a:s3cr3t@h/d"}
    done = subprocess.run(
        [sys.executable, "-c", f"{script}m.main()", "fail"],
        cwd=place.folder,
        env={**os.environ, **address},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "RuntimeError: mysql://a:***@h/d" in done.stderr
    assert "s3cr3t" not in done.stderr


def test_a_name_that_is_not_set_is_one_clear_error(unused: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("search.storage", "model.name", "data.path", "data.columns.source"):
        monkeypatch.delenv("NOT_SET", raising=False)
        shown = unused.command("check", "study.yaml", "--set", f"{key}=x${{NOT_SET}}")
        assert shown.status == 2
        assert shown.err.strip().splitlines() == [
            f"override {key}=x${{NOT_SET}}: {key} reads ${{NOT_SET}}, which the environment does not have; "
            "set it: export NOT_SET=..."
        ]


@pytest.mark.slow
def test_model_and_data_by_name_are_stored_by_name(
    places: Places, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place = places()
    hidden = tmp_path / "hiddenplace"
    hidden.mkdir()
    for name in ("model", "data"):
        (place.folder / name).rename(hidden / name)
    monkeypatch.setenv("PLACE", str(hidden))
    place.edit("model: {name: model}", 'model: {name: "${PLACE}/model"}')
    place.edit("data: {path: data}", 'data: {path: "${PLACE}/data"}')
    place.run(*sets(*SHORT[:-1], "final.store=delta"))
    for what, content in stored(place):
        if not what.endswith("harness.json"):  # where a base was is found again by its place
            assert b"hiddenplace" not in content, what
    (run, *_) = place.runs("final", cell="bare/head")
    assert run.data.params["model"] == "${PLACE}/model"
    assert place.command("reproduce", run.info.run_id).status == 0
    (place.folder / "in.jsonl").write_text(json.dumps({"source": "a note"}) + "\n")
    assert place.command("predict", "tiny", "--input", "in.jsonl", "--output", "out.jsonl").status == 0
    monkeypatch.delenv("PLACE")
    assert place.command("report", "tiny").status == 0
    refused = place.command("reproduce", run.info.run_id)
    assert refused.status == 2
    assert "reads ${PLACE}, which the environment does not have" in refused.err
