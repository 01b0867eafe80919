"""What MLflow's pages show of a run: who made it, from what, at which commit; and what they do not show: digests."""

from __future__ import annotations

import getpass
import math
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils import mlflow_tags

from harness.tracking.mlflow.hidden_tags import as_read, as_stored
from harness.tracking.mlflow.write_run import RunWriter
from harness.tracking.schema import RUN_FORMAT, Tags
from harness.tracking.server_outage.delivery import Delivery
from harness.tracking.server_outage.journal import Journal
from harness.tracking.server_outage.outage_tracker import OutageTracker
from harness.tracking.server_outage.sender import Sender
from tests.support.study_fixture import QUICK, Place, Places

SHOWN = ("phase", "cell", "verdict", "outcome", "trunk", "study")
"""What people look for."""


def test_every_run_says_who_made_it_and_from_which_study_file(finished: Place) -> None:
    runs = finished.runs()
    assert {run.data.tags["phase"] for run in runs} == {"cell", "search", "final", "summary"}
    for run in runs:
        tags = run.data.tags
        assert tags[mlflow_tags.MLFLOW_USER] == run.info.user_id == getpass.getuser()
        assert tags[mlflow_tags.MLFLOW_SOURCE_NAME] == "study.yaml"
        assert tags[mlflow_tags.MLFLOW_SOURCE_TYPE] == "LOCAL"
        assert mlflow_tags.MLFLOW_GIT_COMMIT not in tags, "the study is in no repository"


def test_so_does_the_stored_model(finished: Place) -> None:
    (model,) = finished.client().search_logged_models([finished.runs()[0].info.experiment_id])
    assert model.tags[mlflow_tags.MLFLOW_USER] == getpass.getuser()
    assert model.tags[mlflow_tags.MLFLOW_SOURCE_NAME] == "study.yaml"


def test_no_digest_is_among_the_tags_that_pages_show(finished: Place) -> None:
    for run in finished.runs():
        shown = {name for name in run.data.tags if not name.startswith("mlflow.")}
        assert not {name for name in shown if "digest" in name or name in ("edition", "search")}
        assert run.data.tags["format"] == str(RUN_FORMAT)
        assert "mlflow.harness.digest.study.json" in run.data.tags or run.data.tags["phase"] != "summary"
    for run in finished.runs("cell"):
        shown = [name for name in run.data.tags if not name.startswith("mlflow.")]  # as the pages list them
        assert set(shown[:4]) >= {"phase", "verdict", "cell"}
        assert run.data.tags["verdict"] != "none as yet"


def test_learning_rates_are_there_as_logarithms(finished: Place) -> None:
    for run in finished.runs():
        rate = run.data.params.get("learning_rate", "none")
        logged = run.data.metrics.get("log10_learning_rate")
        assert logged == (None if rate == "none" else pytest.approx(math.log10(float(rate))))
    assert any("log10_learning_rate" in run.data.metrics for run in finished.runs("cell"))


@pytest.mark.slow
@pytest.mark.parametrize("changed", [False, True])
def test_the_commit_is_that_of_the_study_s_repository(places: Places, changed: bool) -> None:
    place = places()
    git = ("git", "-c", "user.name=x", "-c", "user.email=x@example.org")
    for command in (("init", "-q"), ("add", "study.yaml"), ("commit", "-qm", "x")):
        subprocess.run([*git, *command], cwd=place.folder, check=True)
    asked = subprocess.run(["git", "rev-parse", "HEAD"], cwd=place.folder, check=True, capture_output=True, text=True)
    if changed:
        place.edit("# Does a cue", "# Why does a cue")
    place.run(*QUICK, "--set", "tuning=[none]", "--set", "prompts=[bare]")
    for run in place.runs():
        assert run.data.tags[mlflow_tags.MLFLOW_GIT_COMMIT] == asked.stdout.strip()
        assert run.data.tags[mlflow_tags.MLFLOW_GIT_DIRTY] == str(changed).lower()


def test_records_that_waited_for_a_server_say_it_as_well(places: Places, tmp_path: Path) -> None:
    place = places()
    client, journal = place.client(), Journal(tmp_path / "journal.jsonl")
    experiment = place.experiment("waited")
    sender = Sender(place.uri, journal, RunWriter(client, experiment), linger=0.0)
    tracker = OutageTracker(client, place.uri, experiment, Delivery(journal, sender, print))
    run = tracker.start("one", phase="final", parent=None, params={}, tags={"cell_digest": "0", "cell": "a/b"})
    waiting = tracker.run(run).tags
    tracker.close()
    (there,) = client.search_runs([experiment])
    assert there.data.tags["mlflow.user"] == waiting["mlflow.user"] == getpass.getuser()
    assert there.data.tags["mlflow.harness.cell_digest"] == waiting["cell_digest"] == "0"
    assert "cell_digest" not in there.data.tags


names = st.sampled_from([*SHOWN, "cell_digest", "digest.a/b.json", "edition", "search", Tags.data_digest("train")])


@given(tags=st.dictionaries(names, st.text()))
def test_hidden_tags_are_read_by_their_own_names(tags: dict[str, str]) -> None:
    assert as_read(as_stored(tags)) == tags
    assert as_read(tags) == tags, "as format 1 has them"


@given(old=st.dictionaries(names, st.text()), new=st.dictionaries(names, st.text()))
def test_of_a_run_that_is_gone_on_with_the_newer_tag_counts(old: dict[str, str], new: dict[str, str]) -> None:
    assert as_read({**old, **as_stored(new)}) == {**old, **new}
