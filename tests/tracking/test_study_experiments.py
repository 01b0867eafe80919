"""``tracking.uri`` and ``tracking.experiment``: a study in a store, and an experiment, that it names."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlflow import MlflowClient

from harness.core.errors import StoreError
from harness.tracking.address import StudyAddress
from harness.tracking.mlflow.study_experiments import address_by_name, open_experiment
from tests.support.study_fixture import QUICK, Done, Place, Places

PATH = "/Users/me@example.org/my study"
NAMED = f'tracking.experiment="{PATH}"'


@pytest.fixture(scope="module")
def moved(finished: Place, places: Places) -> Place:
    """Return a finished study whose experiment has a path for a name, in the store and in the file."""
    place = places.copy(finished)
    client = place.client()
    client.rename_experiment(identity(client, "tiny"), PATH)
    place.edit("task: ./task.py", f'task: ./task.py\ntracking: {{experiment: "{PATH}"}}')
    return place


@pytest.fixture(params=["sqlite", "file"])
def store(request: pytest.FixtureRequest, places: Places, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    place = places()
    if request.param == "sqlite":
        return place.client()
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return MlflowClient((place.folder / "runs").as_uri())


def at(store: MlflowClient, study: str, experiment: str) -> StudyAddress:
    return StudyAddress(study, experiment, store.tracking_uri)


def identity(store: MlflowClient, experiment: str) -> str:
    found = store.get_experiment_by_name(experiment)
    assert found is not None
    return str(found.experiment_id)


def succeeded(done: Done) -> str:
    assert done.status == 0, done.err
    return done.out


@pytest.mark.parametrize("name", ["tiny", PATH, "study.yaml"])
def test_commands_find_it_by_study_experiment_and_file(moved: Place, name: str) -> None:
    succeeded(moved.command("compare", f"{name}:bare/head", f"{name}:bare/none"))
    succeeded(moved.command("clean", name, "--dry-run"))
    succeeded(moved.command("predict", name, "--input", "asked.jsonl", "--output", f"said-{len(name)}.jsonl"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny", PATH])
def test_its_report_is_written_again(moved: Place, name: str) -> None:
    succeeded(moved.command("report", name))
    assert (moved.folder / "reports" / "tiny" / "report.md").exists()


def test_a_run_s_id_leads_to_the_study_s_name(moved: Place) -> None:
    client = moved.client()
    one, other, *_ = client.search_runs([identity(client, PATH)], "tags.phase = 'final'")
    said = succeeded(moved.command("compare", one.info.run_id, other.info.run_id))
    assert "tiny:" in said
    assert PATH not in said


@pytest.mark.slow
def test_it_is_run_and_gone_on_with(places: Places) -> None:
    place = places()
    place.run(*QUICK, "--set", NAMED)
    (experiment,) = [each for each in place.client().search_experiments() if each.name != "Default"]
    assert (experiment.name, experiment.tags["harness.study"]) == (PATH, "tiny")
    assert (place.folder / "reports" / "tiny").is_dir()
    count = len(place.client().search_runs([experiment.experiment_id]))
    place.run(*QUICK, "--set", NAMED)
    assert len(place.client().search_runs([experiment.experiment_id])) == count


@pytest.mark.slow
def test_a_store_of_the_study_s_own_comes_before_that_of_the_environment(places: Places) -> None:
    place, uri = places(store=False), "tracking.uri=sqlite:///${STORES}/own.db"
    env = {"STORES": str(place.folder), "MLFLOW_TRACKING_URI": f"sqlite:///{place.folder}/other.db"}
    done = place.command("run", "study.yaml", *QUICK, "--set", uri, env=env)
    assert "next: harness ui study.yaml" in succeeded(done).replace("\n", " ")
    assert not (place.folder / "other.db").exists()
    place.edit("task: ./task.py", 'task: ./task.py\ntracking: {uri: "sqlite:///${STORES}/own.db"}')
    succeeded(place.command("report", "study.yaml", env=env))
    succeeded(place.command("predict", "study.yaml", "--input", "data/test.jsonl", "--output", "said.jsonl", env=env))
    client = MlflowClient(f"sqlite:///{place.folder}/own.db")
    experiment = identity(client, "tiny")
    (summary,) = client.search_runs([experiment], "tags.phase = 'summary'")
    stored = client.download_artifacts(summary.info.run_id, "study.json")
    assert "${STORES}/own.db" in Path(stored).read_text()
    (final, *_) = client.search_runs([experiment], "tags.phase = 'final'")
    succeeded(place.command("reproduce", final.info.run_id, env={"MLFLOW_TRACKING_URI": client.tracking_uri}))
    lost = place.command("report", "tiny", env=env)
    assert lost.status == 2
    assert "tracking.uri" in lost.err


def test_what_is_not_set_in_the_environment_is_a_problem_of_its_key(places: Places) -> None:
    done = places().command("check", "study.yaml", "--set", "tracking.uri=sqlite:///${NOWHERE_SET}/a.db")
    assert (done.status, "NOWHERE_SET" in done.err, "tracking.uri" in done.err) == (2, True, True)


@pytest.mark.parametrize("experiment", ["tiny", "me/tiny"])
def test_databricks_needs_a_path(places: Places, experiment: str) -> None:
    options = ("--set", "tracking.uri=databricks", "--set", f"tracking.experiment={experiment}")
    done = places().command("check", "study.yaml", *options)
    assert done.status == 2
    assert "tracking.experiment: /Users/" in " ".join(done.err.split())


def test_two_studies_in_one_experiment_are_refused(store: MlflowClient) -> None:
    open_experiment(store, at(store, "a", "/x"))
    with pytest.raises(StoreError, match=r"'/x'.*study 'a'.*tracking\.experiment"):
        open_experiment(store, at(store, "b", "/x"))
    assert open_experiment(store, at(store, "a", "/x")) == identity(store, "/x")


def test_an_experiment_of_an_earlier_version_is_its_study_s(store: MlflowClient) -> None:
    identity = store.create_experiment("old")
    store.create_run(identity, tags={"study": "old", "phase": "cell"})
    assert address_by_name(store, "old") == at(store, "old", "old")
    with pytest.raises(StoreError, match="study 'old'"):
        open_experiment(store, at(store, "new", "old"))
    assert open_experiment(store, at(store, "old", "old")) == identity


def test_one_made_by_hand_is_taken_and_one_of_another_program_is_no_study(store: MlflowClient) -> None:
    made, foreign = store.create_experiment("/made/by/hand"), store.create_experiment("/of/others")
    store.create_run(foreign)
    assert open_experiment(store, at(store, "mine", "/made/by/hand")) == made
    assert address_by_name(store, "mine") == at(store, "mine", "/made/by/hand")
    assert address_by_name(store, "/of/others") is None


def test_a_study_in_two_experiments_is_told_apart_by_its_file_alone(store: MlflowClient) -> None:
    for experiment in ("twice", "/twice"):
        open_experiment(store, at(store, "twice", experiment))
    with pytest.raises(StoreError, match=r"several experiments.*'/twice'.*file"):
        address_by_name(store, "twice")
    store.delete_experiment(identity(store, "twice"))
    assert address_by_name(store, "twice") == at(store, "twice", "/twice")


def test_what_a_store_calls_a_study_is_no_path(store: MlflowClient) -> None:
    store.create_experiment("/hostile", tags={"harness.study": "../../etc"})
    assert address_by_name(store, "/hostile") is None


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(min_size=1, max_size=30))
def test_no_name_is_misread(store: MlflowClient, name: str) -> None:
    assert address_by_name(store, name) is None or name == "Default"
