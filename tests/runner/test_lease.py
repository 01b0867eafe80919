"""One process at a time on a study of a store, wherever it runs; a killed one is followed at once."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mlflow import MlflowClient

from harness.core.errors import StoreError
from harness.core.workspace import HERE
from harness.runner.only_one import only_one
from harness.tracking.address import store_uri
from harness.tracking.mlflow import study_lease
from harness.tracking.mlflow.study_lease import leased
from harness.tracking.schema import PageTags
from tests.support.kill_moments import running
from tests.support.study_fixture import Place, Places

STUDY = ("--set", "prompts=[bare]", "--set", "tuning=[none, head]")


@contextmanager
def at_work(place: Place, store: str) -> Iterator[subprocess.Popen[str]]:
    """Run a study in a process of its own, and stop it in the middle of a trial."""
    process = place.process("run", "study.yaml", *STUDY, env={"MLFLOW_TRACKING_URI": store})
    try:
        end = time.monotonic() + 120
        while not running("search", 1)(place):
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.005)
        process.send_signal(signal.SIGSTOP)
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()


def test_a_second_folder_is_refused_while_the_first_one_runs_and_goes_on_when_it_was_killed(places: Places) -> None:
    first, second, whole = places(), places(store=False), places()
    with at_work(first, first.uri):
        refused = second.command("run", "study.yaml", *STUDY, env={"MLFLOW_TRACKING_URI": first.uri})
        assert refused.status == 2
        assert "'tiny' is being run by another process on the same store; wait for it or end it" in refused.err
        assert len(refused.err.splitlines()) == 1
        assert not first.runs("interrupted")
    began = time.monotonic()
    done = second.command("run", "study.yaml", *STUDY, env={"MLFLOW_TRACKING_URI": first.uri})
    assert done.status == 0, done.err
    assert time.monotonic() - began < study_lease.SILENCE / 2
    assert "waiting" not in done.out
    whole.run(*STUDY)
    assert second.results() == whole.results()


@pytest.fixture
def store(places: Places, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """A store and a study's experiment in it."""
    place = places()
    monkeypatch.setattr(study_lease, "BEAT", 0.05)
    monkeypatch.setattr(study_lease, "SILENCE", 2.0)
    return place.uri, place.experiment("tiny")


def test_a_study_that_another_machine_runs_is_refused(store: tuple[str, str]) -> None:
    with (
        leased(*store, "machine-a", print),
        pytest.raises(StoreError, match=r"being run by process \d+ on "),
        leased(*store, "machine-b", print),
    ):
        raise AssertionError


def test_a_machine_that_gives_no_sign_any_more_is_followed(store: tuple[str, str]) -> None:
    uri, experiment = store
    MlflowClient(uri).set_experiment_tag(experiment, PageTags.LEASE, "machine-a process 7 on elsewhere, 3")
    said, began = list[str](), time.monotonic()
    with leased(*store, "machine-b", said.append):
        assert time.monotonic() - began >= study_lease.SILENCE
    assert said == ["process 7 on elsewhere has this study and did not say that it ended; waiting 2 s for a sign of it"]


def test_a_lease_ends_with_its_block_and_the_next_one_waits_for_nobody(store: tuple[str, str]) -> None:
    said: list[str] = []
    for machine in ("machine-a", "machine-b", "machine-a"):
        with leased(*store, machine, said.append):
            pass
    assert not said


@pytest.mark.slow
def test_two_folders_that_make_one_store_at_once(places: Places, tmp_path: Path) -> None:
    both, names = (places(store=False), places(store=False)), ("one", "two")
    settings = (*STUDY, "--set", f"search.storage=sqlite:///{tmp_path}/optuna.db")
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    begun = [
        place.process("run", "study.yaml", *settings, "--set", f"name={name}", env=store)
        for place, name in zip(both, names, strict=True)
    ]
    ended = [(*process.communicate(timeout=300), process.returncode) for process in begun]
    assert [status for _, _, status in ended] == [0, 0], ended
    tables = [place.folder / "reports" / name / "results.csv" for place, name in zip(both, names, strict=True)]
    assert tables[0].read_bytes() == tables[1].read_bytes()


def test_two_studies_of_one_store_do_not_meet(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    place = places()
    monkeypatch.chdir(place.folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    with only_one("a", store_uri(), HERE) as one, only_one("b", store_uri(), HERE) as other:
        assert one != other
    with only_one("a", store_uri(), HERE) as again:
        assert again == one
