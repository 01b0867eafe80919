"""A tiny study in a folder of its own, and the real command run on it: in this process, or in another one."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar, NamedTuple
from unittest import mock

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.tracking._tracking_service.utils import _artifact_repos_cache

from harness.cli import main as cli
from harness.testing import tiny_model

PARENT = "mlflow.parentRunId"

STUDY = """\
# Does a cue help a network that knows nothing?
# (Two lines make one question.)

name: tiny
task: ./task.py
model: {name: model}
data: {path: data}
prompts:
  - bare
  - {name: cue, text: "{{ source }}\\nTL;DR:", shorten: source}
tuning: [none, head, {last_blocks: 1}]
training: {epochs: 2, batch_size: 8, max_source_tokens: 48}
generation: {max_new_tokens: 6}
search:
  learning_rate: {low: 1.0e-3, high: 1.0e-1}
  trials: 2
  sampler: random
final: {seeds: [11, 12]}
"""

TASK = """\
from harness import Task, Template

task = Task(
    name="tiny_task",
    data="data",
    prompts=[
        Template("bare", "{{ source }}\\n", shorten="source"),
        Template("colon", "{{ source }}:", shorten="source"),
    ],
    metrics=["chrf", "perplexity", "length_ratio"],
    max_target_tokens=12,
    stop=["\\n"],
)
"""

QUICK = ("--set", "search.trials=1", "--set", "final.seeds=[11]", "--set", "training.epochs=1")
"""As little as makes a study whole."""

SIZES = {"train": 24, "validation": 8, "test": 8}
WORDS = ["short", "note", "about", "the", "meeting", "it", "moved", "to", "Tuesday", "and", "room", "is", "booked"]


def rows(split: str) -> list[dict[str, str]]:
    """Return rows whose target is the source's first words, different in every split."""
    shift = {"train": 0, "validation": 5, "test": 9}[split]
    made = []
    for number in range(SIZES[split]):
        words = [WORDS[(number * 7 + shift + i * (1 + number % 3)) % len(WORDS)] for i in range(4 + number % 4)]
        made.append({"id": f"{split}-{number}", "source": " ".join(words), "target": " ".join(words[:2])})
    return made


def write_rows(file: Path, content: Sequence[Mapping[str, Any]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in content), encoding="utf-8")


class Done(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str


class Place:
    """A folder with a study, in which the command can be run; see `Places`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.study = folder / "study.yaml"

    @property
    def uri(self) -> str:
        """The store by its absolute path: MLflow keeps one connection per URI, wherever a process goes."""
        return f"sqlite:///{self.folder / 'mlflow.db'}"

    def command(self, *arguments: str, env: Mapping[str, str] | None = None) -> Done:
        """Run ``harness`` in this process."""
        out, err = io.StringIO(), io.StringIO()
        argv = ["harness", *arguments]
        status = 0
        _artifact_repos_cache.clear()  # by run id alone, and a copied place has the runs of another
        with (
            contextlib.chdir(self.folder),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            mock.patch.object(sys, "argv", argv),
            mock.patch.dict(os.environ, {"MLFLOW_TRACKING_URI": self.uri, "COLUMNS": "200", **(env or {})}),
        ):
            try:
                cli.main()
            except SystemExit as stop:
                status = int(stop.code or 0)
        return Done(status, out.getvalue(), err.getvalue())

    def run(self, *arguments: str) -> Done:
        """Run the study in this process and see it succeed."""
        done = self.command("run", "study.yaml", *arguments)
        assert done.status == 0, done.err
        return done

    def process(
        self, *arguments: str, env: Mapping[str, str] | None = None, through: Sequence[str] = ()
    ) -> subprocess.Popen[str]:
        """Start ``harness`` as a process of its own, with the default stores, maybe through another program."""
        settings = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
        return subprocess.Popen(
            # As installed: nothing is imported from the working folder.
            [*through, sys.executable, "-P", "-m", "harness", *arguments],
            cwd=self.folder,
            env={**settings, "OMP_NUM_THREADS": "1", **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def client(self) -> MlflowClient:
        """Return a plain MLflow client."""
        return MlflowClient(self.uri)

    def experiment(self, name: str) -> str:
        """Make an experiment whose files lie here, and return its id."""
        return self.client().create_experiment(name, artifact_location=str(self.folder / "mlruns" / name))

    def runs(self, phase: str | None = None, *, cell: str | None = None) -> list[Run]:
        """Return all runs of the study, or those of a phase, or of a cell."""
        client = self.client()
        experiment = client.get_experiment_by_name("tiny")
        assert experiment is not None
        found = client.search_runs([experiment.experiment_id], max_results=5000, order_by=["attributes.start_time"])
        assert not found.token
        return [
            run
            for run in found
            if phase in (None, run.data.tags.get("phase")) and cell in (None, run.data.tags.get("cell"))
        ]

    def count(self, **phases: int) -> None:
        """Check how many runs there are of every phase; one that is not named must have none."""
        there: dict[str, int] = {}
        for run in self.runs():
            phase = run.data.tags.get("phase", "nothing")
            there[phase] = there.get(phase, 0) + 1
        assert there == phases

    def clean(self) -> None:
        """Check what holds of every store at rest: no run is left running, nameless or without a phase."""
        found = self.runs()
        assert all(run.info.status != "RUNNING" for run in found), [r.info.run_name for r in found]
        assert all(run.data.tags.get("phase") for run in found)
        names = [run.info.run_name for run in found]
        assert len(set(names)) == len(names)

    def results(self) -> bytes:
        """Return ``results.csv`` as it is."""
        return (self.folder / "reports" / "tiny" / "results.csv").read_bytes()

    def table(self) -> dict[str, dict[str, str]]:
        """Return ``results.csv`` by cell."""
        text = self.results().decode()
        return {row["cell"]: row for row in csv.DictReader(io.StringIO(text))}

    def edit(self, old: str, new: str) -> None:
        """Replace a passage of the study file that stands there once."""
        text = self.study.read_text(encoding="utf-8")
        assert text.count(old) == 1
        self.study.write_text(text.replace(old, new), encoding="utf-8")

    def files(self) -> set[str]:
        """Return the names of all files and folders."""
        return {str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if "__pycache__" not in str(path)}


class Places:
    """Makes places; models and the empty store are written once a session.

    Args:
        folder: Where new places go.
    """

    _written: ClassVar[dict[str, Path]] = {}

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0

    def __call__(self, family: str = "gpt2", *, store: bool = True) -> Place:
        """Return a new place with a model of a family, and with an empty MLflow store unless told otherwise."""
        place = Place(self._next())
        if family not in self._written:
            self._written[family] = tiny_model(family, self._folder / family)
        shutil.copytree(self._written[family], place.folder / "model")
        if store:
            shutil.copy(self._store(), place.folder / "mlflow.db")
        place.study.write_text(STUDY, encoding="utf-8")
        (place.folder / "task.py").write_text(TASK, encoding="utf-8")
        for split in SIZES:
            write_rows(place.folder / "data" / f"{split}.jsonl", rows(split))
        return place

    def copy(self, done: Place) -> Place:
        """Return a place that looks as if the study of another one had been run there."""
        place = Place(self._next())
        shutil.copytree(done.folder, place.folder)
        columns = {"experiments": "artifact_location", "runs": "artifact_uri", "logged_models": "artifact_location"}
        with closing(sqlite3.connect(place.folder / "mlflow.db")) as store, store:
            for table, column in columns.items():
                change = f"update {table} set {column} = replace({column}, ?, ?)"
                store.execute(change, (f"{done.folder}/", f"{place.folder}/"))
        return place

    def _next(self) -> Path:
        self._number += 1
        return self._folder / f"place{self._number}"

    def _store(self) -> Path:
        """Return an empty store; making one takes MLflow seconds."""
        if "store" not in self._written:
            file = self._folder / "empty.db"
            MlflowClient(f"sqlite:///{file}").search_experiments(max_results=1)
            self._written["store"] = file
        return self._written["store"]
