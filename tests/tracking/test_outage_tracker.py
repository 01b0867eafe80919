"""A journaled tracker on a real MLflow store: whatever fails, it ends and says what one without a journal does."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from mlflow import MlflowClient

from harness.core.errors import StoreError
from harness.data.template import Template
from harness.tracking.mlflow.mlflow_tracker import MlflowTracker
from harness.tracking.mlflow.write_run import RunWriter
from harness.tracking.schema import Tags
from harness.tracking.server_outage.delivery import Delivery
from harness.tracking.server_outage.journal import Journal
from harness.tracking.server_outage.outage_tracker import OutageTracker
from harness.tracking.server_outage.sender import Sender
from harness.tracking.store_link import Link
from harness.tracking.store_protocols import DataUse
from harness.tracking.stored_run import Run
from tests.support.faulty_store import FAULTS, Faulty, Store, deeds, killed_in_silence
from tests.support.study_fixture import Place, Places

pytestmark = pytest.mark.usefixtures(killed_in_silence.__name__)

USED = DataUse("notes", "train", "0" * 36, "data/notes", "local", 3, ("source", "target"))


Act = Callable[[Any, list[str], int], None]
"""Does something to a tracker and its runs, in which process, counted from 0."""


def acts(plan: Sequence[Any]) -> list[Act | None]:
    """Return what a plan does to a tracker and its runs; ``None`` where the process is killed."""
    made: list[Act | None] = []
    for number, (deed, *rest) in enumerate(plan):
        made.append(None if deed == "kill" else _act(deed, rest, number))
    return made


def _act(deed: str, rest: Sequence[Any], number: int) -> Act:
    def act(tracker: Any, ids: list[str], life: int) -> None:
        if deed == "start":
            parent = ids[rest[0] % len(ids)] if ids and rest[0] >= 0 else None
            run = tracker.start(f"r{number}", phase="search", parent=parent, params={"n": number}, tags={"a": "b"})
            ids.append(run)
            return
        run = ids[rest[0] % len(ids)]
        if deed == "points":
            values = {"loss": float(number), "other": number / 3, "none": float("nan")}
            tracker.metrics(run, values, rest[1] + 1000 * life)  # a later process goes on where one was killed
        elif deed == "params":
            tracker.params(run, {f"{rest[1]}{number}": number})
        elif deed == "tags":
            tracker.tags(run, {rest[1]: str(number), "best": ids[0]})
        elif deed == "text":
            tracker.text(run, f"{number}", f"{rest[1]}.txt")
            tracker.table(run, {"x": [1, None], "y": ["ä", str(number)]}, f"tables/{number}.json")
        elif deed == "inputs":
            tracker.inputs(run, [USED])
        elif deed == "rename":
            tracker.mark(run, phase="superseded", name=f"r{number}")
        else:
            tracker.end(run, tags={"end": str(number)}, metrics={"end": float(number)})

    return act


def found(tracker: MlflowTracker, client: MlflowClient) -> list[dict[str, Any]]:
    """Return all that a store holds of a study, with runs by name."""
    held = [client.get_run(run.id) for run in tracker.runs()]
    names = {run.info.run_id: run.info.run_name for run in held}
    content = []
    for run in sorted(held, key=lambda run: run.info.run_name):
        files = {}
        for folder in ("", "tables"):
            for file in client.list_artifacts(run.info.run_id, folder):
                if not file.is_dir:
                    files[file.path] = tracker.fetch(run.info.run_id, file.path)
        points = {
            key: [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, key)]
            for key in run.data.metrics
        }
        content.append(
            {
                "name": run.info.run_name,
                "status": run.info.status,
                "ended": run.info.end_time is not None,
                "params": run.data.params,
                "metrics": run.data.metrics,
                "points": {key: sorted(value) for key, value in points.items()},
                "tags": {key: names.get(value, value) for key, value in run.data.tags.items() if key != Tags.RECORD},
                "inputs": [(one.dataset.name, one.dataset.digest) for one in run.inputs.dataset_inputs],
                "files": files,
            }
        )
    return content


def plain_run(run: Run, names: Mapping[str, str]) -> Run:
    """Return a run without what differs from one store to another."""
    tags = {
        key: names.get(value, value) for key, value in run.tags.items() if key not in (Tags.RECORD, "mlflow.runName")
    }
    parent = names[run.parent] if run.parent else None
    return replace(run, id="", parent=parent, tags=tags, started=0.0, seconds=0.0)


class Study:
    """A study's tracker on a real MLflow store behind faults, opened again after every kill."""

    def __init__(self, uri: str, experiment: str, file: Path, faults: Iterator[str]) -> None:
        self._options = (uri, experiment, file, faults)
        self.life = 0
        self.open()

    def open(self) -> None:
        """Start, deliver what is left and read what is there, as a command does."""
        uri, experiment, file, faults = self._options
        while True:
            self.journal = Journal(file)
            server = Faulty(RunWriter(MlflowClient(uri), experiment), faults)
            self.sender = Sender(uri, self.journal, server, linger=0.02, pause=lambda tries: 0.0)
            delivery = Delivery(self.journal, self.sender, lambda line: None)
            self.tracker = OutageTracker(MlflowClient(uri), uri, experiment, delivery)
            try:
                self.tracker.runs()
            except StoreError:
                self._die()
            else:
                return

    def _die(self) -> None:
        self.sender.close()
        self.journal._owner.release()

    def kill(self, ids: list[str]) -> None:
        """End as SIGKILL does, start again, and find the runs by their names."""
        names = {run.id: run.name for run in self.tracker.runs()}
        self._die()
        self.life += 1
        self.open()
        there = {run.name: run.id for run in self.tracker.runs()}
        ids[:] = [there[names[run]] for run in ids]

    def revive(self, ids: list[str]) -> None:
        """Start again if the process is dead."""
        if not self.sender._thread.is_alive():
            self.kill(ids)

    def drain(self, ids: list[str]) -> None:
        while True:
            try:
                if self.sender.drain(lambda trouble: None):
                    return
            except StoreError:
                self.kill(ids)


@settings(max_examples=4, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(plan=st.lists(deeds, min_size=3, max_size=14), faults=st.lists(st.sampled_from(FAULTS), max_size=20))
def test_on_a_real_store_it_ends_as_written_directly(
    plan: list[Any], faults: list[str], places: Places, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = places()
    client = MlflowClient(place.uri)
    one, two = (
        client.create_experiment(name, artifact_location=str(tmp_path_factory.mktemp(name))) for name in ("one", "two")
    )
    direct = MlflowTracker(client, place.uri, one)
    study = Study(place.uri, two, place.folder / "j.jsonl", iter(faults))
    ids: list[str] = []
    own: list[str] = []
    for act in acts([("start", -1), *plan]):
        if act is None:
            study.kill(own)
        else:
            study.revive(own)
            act(direct, ids, study.life)
            act(study.tracker, own, study.life)
    study.drain(own)
    assert found(MlflowTracker(client, place.uri, two), client) == found(direct, client)
    known = {run.id: run.name for run in study.tracker.runs()}
    stored = {run.id: run.name for run in direct.runs()}
    image = sorted((plain_run(run, known) for run in study.tracker.runs()), key=lambda run: run.name)
    assert image == sorted((plain_run(run, stored) for run in direct.runs()), key=lambda run: run.name)
    assert study.tracker.close()


@pytest.mark.filterwarnings("ignore:For backward compatibility, 'str' dtypes")  # MLflow's log_table under pandas 3
def test_a_table_is_what_mlflow_makes_of_it_and_bears_being_written_twice(places: Places) -> None:
    place = places()
    client = MlflowClient(place.uri)
    tracker = MlflowTracker(client, place.uri, place.experiment("study"))
    columns = {"x": [1, None], "y": ["ä/b", ""], "z": [0.1234567890123, float("nan")], "n": [1, 2]}
    ours, theirs = (tracker.start("r", phase="final", parent=None, params={}, tags={}) for _ in range(2))
    for _ in range(2):
        tracker.table(ours, columns, "tables/one.json")
    tracker.table(ours, columns, "two.json")
    for file in ("tables/one.json", "two.json"):
        client.log_table(theirs, columns, file)
        assert tracker.fetch(ours, file) == tracker.fetch(theirs, file)
    assert tracker.run(ours).tags[Tags.TABLES] == tracker.run(theirs).tags[Tags.TABLES]


class Twice(Link):
    """A way to a server on which the answer to each first question is lost."""

    def ask(self, question: Callable[[], Any]) -> Any:
        question()
        return question()


def test_prompts_and_models_are_registered_once_though_an_answer_is_lost(places: Places) -> None:
    place = places()
    client = MlflowClient(place.uri)
    experiment = place.experiment("study")
    tracker = MlflowTracker(client, place.uri, experiment, Twice())
    prompt = tracker.prompts.register(Template("cue", "{{ source }}"), task="t", study="study")
    assert [version.version for version in client.search_prompt_versions(prompt.name)] == [1]
    run = tracker.start("r", phase="final", parent=None, params={}, tags={})
    model = client.create_logged_model(experiment, source_run_id=run)
    version = tracker.models.registry.register("best", run, model.model_uri)
    assert [made.version for made in client.search_model_versions("name='best'")] == [int(version.number)]
    assert [made.run for made in tracker.models.registry.made_by(run)] == [run]


def tracker_on(place: Place, server: Any, said: list[str]) -> OutageTracker:
    """Return a tracker of an empty study, with a server of its own for what is written."""
    experiment = place.experiment("study")
    journal = Journal(place.folder / "j.jsonl")
    sender = Sender(place.uri, journal, server, linger=0.0, pause=lambda tries: 0.1)
    delivery = Delivery(journal, sender, said.append)
    return OutageTracker(MlflowClient(place.uri), place.uri, experiment, delivery)


def write_until(tracker: OutageTracker, run: str, reached: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.02)
        tracker.tags(run, {"tag": "value"})


def test_the_user_hears_when_a_server_goes_and_comes_back(places: Places) -> None:
    said: list[str] = []
    store = Store()
    tracker = tracker_on(places(), Faulty(store, itertools.repeat("unheard", 5)), said)
    run = tracker.start("run", phase="cell", parent=None, params={"p": 1}, tags={})
    write_until(tracker, run, lambda: len(said) == 2)
    assert "does not answer: unheard; records wait in " in said[0]
    assert said[1].endswith("answers again")
    assert tracker.close()
    assert store.said()[0]["params"] == {"p": "1"}
    assert len(said) == 2


def test_what_a_server_did_not_take_is_kept_and_said(places: Places) -> None:
    said: list[str] = []
    place = places()
    tracker = tracker_on(place, Faulty(Store(), itertools.repeat("unheard")), said)
    tracker.start("run", phase="cell", parent=None, params={"p": 1}, tags={})
    assert not tracker.close(seconds=0.5)
    assert said[-1].startswith("2 records wait in ")
    assert said[-1].endswith("the same command delivers them")
    journal = Journal(place.folder / "j.jsonl")
    assert [record.kind for record in journal.waiting()] == ["start", "log"]
    journal.close()


def test_a_refusal_is_raised_once_and_what_follows_is_kept(places: Places) -> None:
    class Refusing(Store):
        def log(self, run: str, content: Mapping[str, Any]) -> None:
            raise StoreError("no such run")

    said: list[str] = []
    tracker = tracker_on(places(), Refusing(), said)
    run = tracker.start("run", phase="cell", parent=None, params={}, tags={})
    with pytest.raises(StoreError, match="no such run"):
        write_until(tracker, run, lambda: False)
    tracker.mark(run, phase="interrupted", name="run (interrupted)")
    assert not tracker.close(seconds=0.5)
    assert "records wait in " in said[-1]
