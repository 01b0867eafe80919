"""A stored model carries its own code: MLflow serves it where the harness is not installed, from published packages."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from importlib.metadata import packages_distributions
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from packaging.requirements import Requirement

from harness.core.errors import ModelError
from harness.data.template import Template
from harness.models.load import Loaded
from harness.serving.carried_code import carried_files
from harness.serving.recipe import Recipe
from harness.serving.stored_files import SERVED, model_folder
from harness.tracking.address import StudyAddress
from harness.tracking.mlflow.logged_models import MlflowModels
from harness.tracking.mlflow.mlflow_tracker import find_experiment
from harness.tracking.store_protocols import ModelCard
from tests.support.model_folders import folder_of
from tests.support.study_fixture import Place, Places

TEXTS = ["short note about the meeting", "it moved"]

ALONE = """
import importlib.util, json, sys
sys.path[:] = [each for each in sys.path if "site-packages" in each or "python3" in each]
elsewhere = importlib.util.find_spec("harness")
assert elsewhere is None or elsewhere.origin is None, "it would be imported from elsewhere"
import mlflow
folder, texts = sys.argv[1], json.loads(sys.argv[2])
said = mlflow.pyfunc.load_model(folder).predict(texts)
import harness
assert harness.__file__.startswith(folder), harness.__file__
print(json.dumps(said))
"""


def stored(place: Place) -> Path:
    """Return the folder of the only stored model."""
    (model,) = place.client().search_logged_models([place.runs()[0].info.experiment_id])
    return Path(model.artifact_location.removeprefix("file://"))


@pytest.fixture(scope="module")
def folder(finished: Place) -> Path:
    return stored(finished)


def of_fields(tiny: Callable[..., Loaded], place: Place, *fields: str) -> Path:
    """Store a model whose prompt has some fields."""
    text = " ".join(f"{{{{ {field} }}}}" for field in fields)
    made = folder_of(tiny("gpt2"), place.folder / "made", Template("p", text, shorten=fields[0]))
    client = place.client()
    experiment = place.experiment("of fields")
    run = client.create_run(experiment).info.run_id
    example, package = dict.fromkeys(fields, "some text"), carried_files(Recipe.read(made))
    card = ModelCard(name="m", code=SERVED, package=package, example=example, params={}, tags={})
    uri = MlflowModels(client, experiment).store(run, made, card)
    found = MlflowModels(client, experiment).folder(uri)
    assert found is not None
    return found


def test_it_needs_nothing_that_is_not_published(folder: Path) -> None:
    wanted = [Requirement(line) for line in (folder / "requirements.txt").read_text().splitlines()]
    names = {each.name for each in wanted}
    assert not any("harness" in name for name in names)
    assert all(str(each.specifier).startswith("==") and "+" not in str(each.specifier) for each in wanted)
    conda = (folder / "conda.yaml").read_text()
    assert "harness" not in conda.replace("mlflow.harness", "")
    owners, imported = packages_distributions(), set[str]()
    for file in (folder / "code").rglob("*.py"):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                module = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
                imported.add(str(module).split(".")[0])
    needed = {owners[name][0].lower().replace("_", "-") for name in imported if name in owners} - {
        "prompt-depth-harness"
    }
    assert needed - {"pydantic-core"} <= {name.lower() for name in names}, "pydantic pins its core"


def test_it_carries_what_answering_takes_and_no_more(folder: Path) -> None:
    files = {file.relative_to(folder / "code").as_posix() for file in (folder / "code").rglob("*") if file.is_file()}
    assert all(file.endswith(".py") for file in files)
    packages = {file.split("/")[1] for file in files if file.count("/") > 1}
    assert packages <= {"core", "data", "metrics", "models", "serving", "study", "training"}
    assert {"harness/serving/generator.py", "harness/__init__.py", "harness/models/__init__.py"} <= files
    assert sum((folder / "code" / file).stat().st_size for file in files) < 900_000


def test_only_a_model_by_reference_carries_the_embedded_one(folder: Path) -> None:
    recipe = Recipe.read(model_folder(folder))
    base = recipe.base._replace(name="embedded")
    weights = {"harness/tasks/base_model/model.safetensors"}
    for store, name, carries in (("delta", "embedded", True), ("full", "embedded", False), ("delta", "gpt2", False)):
        made = Recipe(**{**vars(recipe), "base": base._replace(name=name), "store": store})
        assert (weights <= carried_files(made).keys()) == carries


def test_changed_code_is_a_changed_model(finished: Place, places: Places) -> None:
    place = places.copy(finished)
    file = stored(place) / "code" / "harness" / "serving" / "generator.py"
    file.write_text(file.read_text() + "\n")
    tracker = find_experiment(StudyAddress("tiny", "tiny", place.uri))
    assert tracker is not None
    (uri,) = tracker.models.stored().values()
    with pytest.raises(ModelError, match="not as it was stored: code"):
        tracker.models.folder(uri)


def test_the_harness_runs_none_of_it(finished: Place, places: Places) -> None:
    place = places.copy(finished)
    for file in stored(place).rglob("*.py"):
        file.write_text("raise SystemExit('it ran')\n")
    done = place.command("predict", str(stored(place)), "--input", "asked.jsonl", "--output", "said.jsonl")
    assert done.status == 0, done.err


def test_texts_tables_and_records_are_answered_alike(folder: Path) -> None:
    model = mlflow.pyfunc.load_model(str(folder))
    said = model.predict(TEXTS)
    assert len(said) == len(TEXTS)
    table = pd.DataFrame({"id": [1, 2], "source": TEXTS})
    for asked in (table, table[["source"]], [{"source": text} for text in TEXTS], pd.Series(TEXTS)):
        assert model.predict(asked) == said
    assert model.predict(TEXTS[0]) == said[:1]
    with pytest.raises(MlflowException, match="source"):
        model.predict(pd.DataFrame({"text": TEXTS}))
    assert "source" in model.metadata.signature.inputs.input_names()


@pytest.mark.filterwarnings("ignore:Operation with range:DeprecationWarning")  # in MLflow's own reading of an example
def test_texts_alone_do_not_fill_two_fields(tiny: Callable[..., Loaded], places: Places) -> None:
    model = mlflow.pyfunc.load_model(str(of_fields(tiny, places(), "question", "context")))
    with pytest.raises(MlflowException, match="question.*context|context.*question"):
        model.predict(TEXTS)
    assert len(model.predict(pd.DataFrame({"context": TEXTS, "question": TEXTS}))) == 2


@pytest.mark.slow
def test_it_answers_where_the_harness_is_not_installed(folder: Path, tmp_path: Path) -> None:
    here = mlflow.pyfunc.load_model(str(folder)).predict(TEXTS)
    arguments = [sys.executable, "-P", "-c", ALONE, str(folder), json.dumps(TEXTS)]
    settings = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(arguments, cwd=tmp_path, env=settings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == here


@pytest.mark.slow
def test_mlflow_serves_it(folder: Path, tmp_path: Path) -> None:
    from benchmarks.tracking_server import free_port

    here, port = mlflow.pyfunc.load_model(str(folder)).predict(TEXTS), free_port()
    command = ["-m", "mlflow", "models", "serve", "-m", str(folder), "--env-manager", "local", "-p", str(port)]
    settings = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    server = subprocess.Popen([sys.executable, "-P", *command], cwd=tmp_path, env=settings, start_new_session=True)
    try:
        for body in ({"inputs": TEXTS}, {"dataframe_records": [{"source": text} for text in TEXTS]}):
            assert asked(f"http://127.0.0.1:{port}", body)["predictions"] == here
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=60)


def asked(address: str, body: object) -> dict[str, object]:
    """Return what a server says, once it is there."""
    for _ in range(120):
        try:
            urllib.request.urlopen(f"{address}/ping", timeout=5).close()
            break
        except OSError:
            time.sleep(1.0)
    request = urllib.request.Request(
        f"{address}/invocations", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        said: dict[str, object] = json.loads(answer.read())
    return said
