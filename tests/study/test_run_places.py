"""What a run writes to and connects with is tried before there is anything to lose, and the trial leaves nothing."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.core.errors import StoreError
from harness.study.run_places import nearest_folder, try_folder
from tests.support.study_fixture import Place, Places

LIMITED = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # every write to a file fails, as on a full disk
from harness.cli.main import main
main()
"""


@pytest.fixture
def place(places: Places) -> Place:
    return places(store=False)


def checked(place: Place, **env: str) -> str:
    """See that check refuses and leaves all as it was; return what it says."""
    before = place.files()
    done = place.command("check", "study.yaml", env={"MLFLOW_TRACKING_URI": "", **env})
    assert done.status == 2, done
    assert "ready to run" not in done.out
    assert place.files() == before
    return " ".join(done.err.split())


def a_file(name: str) -> Callable[[Place], object]:
    def change(place: Place) -> None:
        (place.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (place.folder / name).write_text("in the way")

    return change


def a_folder(name: str) -> Callable[[Place], object]:
    return lambda place: (place.folder / name).mkdir(parents=True)


def a_link_to_nowhere(name: str) -> Callable[[Place], object]:
    return lambda place: (place.folder / name).symlink_to(place.folder / "nowhere")


def test_a_study_that_is_ready_leaves_nothing_behind(place: Place) -> None:
    before = place.files()
    done = place.command("check", "study.yaml")
    assert done.status == 0, done.err
    assert "ready to run" in done.out
    assert place.files() == before


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (a_file(".harness"), ".harness is no folder"),
        (a_file(".harness/tiny"), "tiny is no folder"),
        (a_file(".harness/.recordings"), ".recordings is no folder"),
        (a_folder(".harness/.lock"), ".lock cannot be written to"),
        (a_folder(".harness/.tiny.lock"), ".tiny.lock cannot be written to"),
        (a_file("reports"), "reports is no folder"),
        (a_file("reports/tiny"), "tiny is no folder"),
        (a_file("reports/tiny/figures"), "figures is no folder"),
        (a_link_to_nowhere("reports"), "reports is no folder"),
        (a_file("mlruns"), "mlruns is no folder"),
        (a_folder("mlflow.db"), "MLflow store 'sqlite:"),
        (a_folder("optuna.db"), "search.storage 'sqlite:"),
        (a_file("optuna.db"), "search.storage 'sqlite:"),
    ],
)
def test_what_is_in_the_way_of_a_run_is_named(change: Callable[[Place], object], named: str, place: Place) -> None:
    change(place)
    assert named in checked(place)


@pytest.mark.parametrize("store", ["{folder}/optuna.db", "optuna.db"])
def test_one_database_for_both_libraries_is_refused(store: str, place: Place) -> None:
    store = store.format(folder=place.folder)
    said = checked(place, MLFLOW_TRACKING_URI=f"sqlite:///{store}")
    assert "search.storage 'sqlite:///optuna.db' is MLflow's store too" in said


def test_a_store_in_a_folder_that_is_not_there_is_refused(place: Place) -> None:
    said = checked(place, MLFLOW_TRACKING_URI=f"sqlite:///{place.folder}/nowhere/mlflow.db")
    assert "nowhere' does not exist" in said
    place.edit("search:\n", "search:\n  storage: sqlite:///nowhere/optuna.db\n")
    assert "study.yaml:15: search.storage" in checked(place)


@contextlib.contextmanager
def nobody() -> Iterator[None]:
    """Act as a user who owns nothing, as far as one may: the superuser writes everywhere."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("name", ["", ".harness", ".harness/.recordings", "reports", "mlruns"])
def test_folders_that_cannot_be_written_to_are_named(name: str) -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / name
        folder.mkdir(parents=True, exist_ok=True)
        for each in (folder, Path(made)):
            each.chmod(0o555)
        try:
            with (
                nobody(),
                pytest.raises(StoreError, match=f"^{folder}: this user may not do that .*; change its owner"),
            ):
                try_folder(nearest_folder(folder / "deeper" / "still"))
        finally:
            for each in (Path(made), folder):
                each.chmod(0o755)


def test_a_disk_without_room_is_told(place: Place) -> None:
    before = place.files()
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, "check", "study.yaml"],
        cwd=place.folder,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    told = " ".join(done.stderr.split())
    assert f"{place.folder}: no file may grow that large (File too large); raise the limit" in told
    assert place.files() == before


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_tracking_server_that_is_not_there_is_told_at_once(scheme: str, place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    start = time.perf_counter()
    said = checked(place, MLFLOW_TRACKING_URI=f"{scheme}://me:secret@127.0.0.1:{port}")
    assert f"MLflow store '{scheme}://me:***@127.0.0.1:{port}' cannot be reached: " in said
    assert time.perf_counter() - start < 5


def test_a_tracking_server_that_says_nothing_is_given_up(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.perf_counter()
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert "timed out" in checked(place, MLFLOW_TRACKING_URI=uri)
        assert time.perf_counter() - start < 10


@pytest.mark.parametrize(
    ("uri", "said"), [("postgresq://there/runs", "'postgresq' is no kind of database"), ("mysql://x/y", "pip install")]
)
def test_a_database_that_cannot_be_asked_is_told(uri: str, said: str, place: Place) -> None:
    assert said in checked(place, MLFLOW_TRACKING_URI=uri)
    place.edit("search:\n", f"search:\n  storage: {uri}\n")
    assert said in checked(place)


def test_all_is_told_at_once(place: Place) -> None:
    a_file("reports")(place)
    a_folder("optuna.db")(place)
    place.edit("- bare", "- bear")
    said = checked(place)
    assert "reports is no folder" in said
    assert "search.storage" in said
    assert "no prompt 'bear'" in said


def test_to_show_a_study_nothing_need_be_written(place: Place) -> None:
    a_file("reports")(place)
    assert place.command("show", "study.yaml").status == 0
