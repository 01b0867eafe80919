"""Studies against `mlflow server` with PostgreSQL and proxied artifacts: killed servers and killed studies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from sqlalchemy import create_engine, text

from benchmarks.proxy import proxy
from benchmarks.tracking_server import NoDatabase, TrackingServer, free_port, tracking_server
from harness.core.errors import StoreAway, StoreError
from harness.tracking.memory_names import CHECKPOINTING
from harness.tracking.mlflow.http import reach_server
from harness.tracking.schema import HIDDEN, Tags
from tests.support.study_fixture import PARENT, QUICK, Place, Places

CELLS = ("--set", "tuning=[none, head]", "--set", "final.seeds=[11, 12]")
"""Two cells that train, two that do not."""

OWN = {Tags.RECORD, Tags.SCORED, "study", "best_model", "best_run", "kept_runs", "mlflow.note.content"}
OWN |= {CHECKPOINTING}  # says how much memory was free
OWN |= {HIDDEN + name for name in ("search", "note_digest", "digest.study.json")}  # a forecast and places differ
"""Tags that name a run, a study or a moment."""

MEASURED = ("cost/", "energy/", "system/")
"""What the metrics begin with that a clock or a meter gave."""


@pytest.fixture(scope="module")
def only_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrackingServer]:
    pytest.importorskip("psycopg2")
    try:
        with tracking_server(tmp_path_factory.mktemp("server")) as running:
            yield running
    except NoDatabase as reason:
        pytest.skip(str(reason))


@pytest.fixture
def server(only_server: TrackingServer) -> TrackingServer:
    """The server, running, whatever the test before did to it."""
    only_server.start()
    return only_server


@pytest.fixture(scope="module")
def quiet(places: Places) -> Place:
    """The same study, undisturbed and on sqlite."""
    place = places()
    place.run(*CELLS)
    return place


def begin(place: Place, name: str, uri: str) -> subprocess.Popen[str]:
    return place.process("run", "study.yaml", *CELLS, "--set", f"name={name}", env={"MLFLOW_TRACKING_URI": uri})


def end(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=500)
    assert process.returncode == 0, out + err
    return out


def wait_for(what: str, reached: Callable[[], bool], running: Iterable[subprocess.Popen[str]] = ()) -> None:
    stop = time.monotonic() + 200
    while not reached():
        runs_on(running)
        assert time.monotonic() < stop, what
        time.sleep(0.02)


def runs_on(running: Iterable[subprocess.Popen[str]]) -> None:
    """See that no process has ended, and what one said that has."""
    for process in running:
        assert process.poll() is None, process.communicate()


def stored(server: TrackingServer, study: str, phase: str) -> int:
    """Return how many runs of a phase the database holds, whatever the server does."""
    query = """select count(*) from runs join experiments using (experiment_id) join tags using (run_uuid)
        where experiments.name = :study and tags.key = 'phase' and tags.value = :phase"""
    engine = create_engine(server.database)
    with engine.connect() as connection:
        found = connection.execute(text(query), {"study": study, "phase": phase}).scalar()
    engine.dispose()
    return int(found or 0)


def journal_of(place: Place, study: str) -> Path | None:
    return next((place.folder / ".harness" / ".journals").glob(f"{study}-*.jsonl"), None)


def waiting(place: Place, study: str) -> int:
    """Return how many records a journal holds that have not arrived."""
    file = journal_of(place, study)
    if file is None:
        return 0
    lines = [json.loads(line) for line in file.read_bytes().split(b"\n")[:-1]]
    return sum(len(line["done"]) * -1 if isinstance(line, dict) else 1 for line in lines)


def files(client: MlflowClient, run: Run, folder: str = "") -> dict[str, str]:
    """Return a run's artifacts; of the report only the names, since it names times and runs."""
    found = {}
    for file in client.list_artifacts(run.info.run_id, folder):
        if file.is_dir:
            found |= files(client, run, file.path)
        elif file.path.endswith((".jinja", "validation.json", "test.json")):
            with tempfile.TemporaryDirectory() as place:
                found[file.path] = Path(client.download_artifacts(run.info.run_id, file.path, place)).read_text()
        else:
            found[file.path] = ""
    return found


def history(client: MlflowClient, run: Run, key: str) -> list[tuple[int, float]]:
    points = client.get_metric_history(run.info.run_id, key)
    return sorted((point.step, 0.0 if key.startswith(MEASURED) else point.value) for point in points)


def tree(uri: str, study: str) -> list[dict[str, Any]]:
    """Return all runs of a study with everything in them, runs by name, but for those that a kill interrupted."""
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(study)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    names = {run.info.run_id: run.info.run_name for run in runs}
    return [
        {
            "name": run.info.run_name,
            "status": run.info.status,
            "parent": names.get(run.data.tags.get(PARENT, "")),
            "params": run.data.params,
            "tags": {key: value for key, value in run.data.tags.items() if key not in OWN | {PARENT}},
            "best": names.get(run.data.tags.get("best_run", "")),
            "histories": {key: history(client, run, key) for key in run.data.metrics},
            "inputs": sorted((one.dataset.name, one.dataset.digest) for one in run.inputs.dataset_inputs),
            "files": files(client, run),
        }
        for run in sorted(runs, key=lambda run: run.info.run_name)
        if run.data.tags["phase"] != "interrupted"
    ]


def same(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    """Compare fact by fact, so that a failure says where."""
    one, other = _facts(found), _facts(expected)
    differing = {fact: (one.get(fact), other.get(fact)) for fact in one | other if one.get(fact) != other.get(fact)}
    assert not differing, "\n".join(f"{fact}: {pair}" for fact, pair in differing.items())


def _facts(runs: list[dict[str, Any]]) -> dict[tuple[str, ...], Any]:
    facts: dict[tuple[str, ...], Any] = {}
    for run in runs:
        for part, value in run.items():
            whole = value if isinstance(value, dict) else {"": value}
            facts |= {(run["name"], part, key): one for key, one in whole.items()}
    return facts


def results(place: Place, study: str) -> bytes:
    return (place.folder / "reports" / study / "results.csv").read_bytes()


@pytest.mark.slow
def test_two_studies_outlive_a_server_that_is_killed_twice(
    server: TrackingServer, quiet: Place, places: Places
) -> None:
    studies = {name: places() for name in ("left", "right")}
    processes = {name: begin(place, name, server.uri) for name, place in studies.items()}
    try:
        # A server that is away before a study has begun is another matter: the study is refused.
        for phase, reached in (("search", all), ("final", any)):
            wait_for(
                f"a {phase} run",
                lambda phase=phase, reached=reached: reached(stored(server, name, phase) for name in studies),
                processes.values(),
            )
            server.kill()
            runs_on(processes.values())
            wait_for("one writes on", lambda: any(waiting(place, name) for name, place in studies.items()))
            time.sleep(2)
            server.start()
        for process in processes.values():
            assert "answers again" in end(process)
    finally:
        for process in processes.values():
            process.kill()
            process.communicate()
    expected = tree(quiet.uri, "tiny")
    for name, place in studies.items():
        assert results(place, name) == quiet.results()
        assert journal_of(place, name) is None
        found = tree(server.uri, name)
        assert {run["status"] for run in found} == {"FINISHED"}
        same(found, expected)


@pytest.mark.slow
def test_a_study_killed_while_the_server_is_away_goes_on(server: TrackingServer, quiet: Place, places: Places) -> None:
    place = places()
    process = begin(place, "killed", server.uri)
    try:
        wait_for("a trial", lambda: stored(server, "killed", "search") > 0)
        server.kill()
        wait_for("it writes on", lambda: waiting(place, "killed") > 0)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    refused = place.command("run", "study.yaml", *CELLS, env={"MLFLOW_TRACKING_URI": server.uri})
    assert refused.status == 2
    assert "cannot be reached" in refused.err
    server.start()
    end(begin(place, "killed", server.uri))
    assert journal_of(place, "killed") is None
    assert results(place, "killed") == quiet.results()
    found = tree(server.uri, "killed")
    assert {run["status"] for run in found} == {"FINISHED"}
    whole = tree(quiet.uri, "tiny")
    for run in (*found, *whole):
        run["histories"].pop("recordings_mib", None)  # what the killed command recorded, the second may not have needed
    same(found, whole)


CROWD = """
import sys
from harness.tracking.address import StudyAddress, store_uri
from harness.tracking.choose_store import opened

number = int(sys.argv[1])
with opened(StudyAddress("crowd", "crowd", store_uri()), print) as tracker:
    tracker.runs()
    above = tracker.start(f"{number}", phase="cell", parent=None, params={"number": number}, tags={})
    for trial in range(25):
        run = tracker.start(f"{number}.{trial}", phase="search", parent=above, params={"trial": trial}, tags={})
        for step in range(20):
            tracker.metrics(run, {"loss": number + trial / 7 + step / 77, "score": step / 3}, step)
        tracker.end(run, metrics={"objective": number * 100.0 + trial})
    tracker.end(above)
"""


@pytest.mark.slow
def test_a_crowd_of_processes_loses_and_misplaces_nothing(server: TrackingServer, tmp_path: Path) -> None:
    processes = []
    for number in range(8):
        place = tmp_path / str(number)
        place.mkdir()
        settings = {**os.environ, "MLFLOW_TRACKING_URI": server.uri}
        processes.append(subprocess.Popen([sys.executable, "-c", CROWD, str(number)], cwd=place, env=settings))
    assert [process.wait(timeout=300) for process in processes] == [0] * 8
    client = MlflowClient(server.uri)
    experiment = client.get_experiment_by_name("crowd")
    assert experiment is not None
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id], max_results=1000)}
    assert runs.keys() == {f"{n}" for n in range(8)} | {f"{n}.{trial}" for n in range(8) for trial in range(25)}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    for name, run in runs.items():
        number, _, trial = name.partition(".")
        if trial:
            assert run.data.tags[PARENT] == runs[number].info.run_id
            assert run.data.params == {"trial": trial}
            assert run.data.metrics["objective"] == int(number) * 100 + int(trial)
            losses = [int(number) + int(trial) / 7 + step / 77 for step in range(20)]
            assert history(client, run, "loss") == list(enumerate(losses))


@pytest.mark.slow
def test_a_server_that_asks_who_is_there(server: TrackingServer, quiet: Place, places: Places) -> None:
    place = places()
    with proxy(server.uri, authorization="Basic YW5uYTpsZW5h") as guarded:
        settings = {"MLFLOW_TRACKING_URI": guarded.uri}
        command = ("run", "study.yaml", *CELLS, "--set", "name=guarded")
        refused = place.command(*command, env=settings)
        assert refused.status == 2
        assert "refuses these credentials (HTTP 401)" in refused.err
        assert "MLFLOW_TRACKING_TOKEN" in refused.err
        known = {**settings, "MLFLOW_TRACKING_USERNAME": "anna", "MLFLOW_TRACKING_PASSWORD": "lena"}
        done = place.command(*command, env=known)
        assert done.status == 0, done.err
        assert place.command("report", "guarded", env=known).status == 0
        assert "superseded" not in place.command("clean", "guarded", "--dry-run", env=known).out
    same(tree(server.uri, "guarded"), tree(quiet.uri, "tiny"))


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({}, StoreError, r"refuses these credentials \(HTTP 401\)"),
        ({"MLFLOW_TRACKING_TOKEN": "wrong"}, StoreError, r"refuses these credentials \(HTTP 401\)"),
        ({"MLFLOW_TRACKING_TOKEN": "secret"}, StoreAway, r"cannot be reached"),
    ],
)
def test_credentials_are_mlflows_own(
    settings: Mapping[str, str], error: type[Exception], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("MLFLOW_TRACKING_")]:
        monkeypatch.delenv(name)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with proxy(f"http://127.0.0.1:{free_port()}", authorization="Bearer secret") as guarded:
        with pytest.raises(error, match=message):
            reach_server(guarded.uri)
        assert guarded.requests


@pytest.mark.slow
def test_a_study_names_its_server_and_an_experiment_by_a_path(server: TrackingServer, places: Places) -> None:
    place, path = places(), "/Users/me@example.org/on a server"
    options = ("--set", f"tracking.uri={server.uri}", "--set", f'tracking.experiment="{path}"', "--set", "name=pathed")
    done = place.command("run", "study.yaml", *QUICK, *options)
    assert done.status == 0, done.err
    assert place.client().get_experiment_by_name("pathed") is None, "the environment names another store"
    experiment = MlflowClient(server.uri).get_experiment_by_name(path)
    assert experiment is not None
    runs = MlflowClient(server.uri).search_runs([experiment.experiment_id])
    assert all(run.data.tags["mlflow.user"] == run.info.user_id != "unknown" for run in runs)
    for name in ("pathed", path):
        found = place.command("clean", name, "--dry-run", env={"MLFLOW_TRACKING_URI": server.uri})
        assert found.status == 0, found.err
