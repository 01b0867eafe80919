"""Private parts of libraries are reached from files that are named for it, and those of MLflow do what is said."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from benchmarks.proxy import proxy
from benchmarks.tracking_server import free_port
from harness.tracking.mlflow.mlflow_compat import EXISTS, UNKNOWN, http_status, is_of_database, knock

HARNESS = Path(__file__).parents[2] / "harness"
LIBRARIES = {"evaluate", "mlflow", "optuna", "sacrebleu", "torch", "transformers"}
INTERNAL = ("mlflow.protos", "mlflow.utils", "mlflow.store")
"""Parts of MLflow that have no underscore and no documentation."""
OWN = ("self.", "cls.", "super().")
NAMED_TUPLES = {"_asdict", "_fields", "_replace"}


def imported(node: ast.AST) -> list[str]:
    """Return what a piece of code imports from libraries."""
    names: list[str] = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        names = [f"{node.module}.{alias.name}" for alias in node.names]
    return [name for name in names if name.split(".")[0] in LIBRARIES]


def private(path: Path) -> set[str]:
    """Return the private names that a file imports from libraries, or reaches in what is not its own."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = [name for node in nodes for name in imported(node)]
    found = {part for name in names for part in name.split(".") if is_private(part)}
    found |= {name for name in names if name.startswith(INTERNAL)}
    attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
    return found | {node.attr for node in attributes if is_private(node.attr) and not ast.unparse(node).startswith(OWN)}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in NAMED_TUPLES


FILES = [path for path in sorted(HARNESS.rglob("*.py")) if not path.name.endswith("compat.py")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(HARNESS)))
def test_private_parts_of_libraries_are_reached_from_files_named_for_it(path: Path) -> None:
    assert sorted(private(path)) == [], "move it into a file such as torch_compat.py"


def test_what_is_reached_of_mlflow_is_there() -> None:
    tree = ast.parse((HARNESS / "tracking" / "mlflow" / "mlflow_compat.py").read_text(encoding="utf-8"))
    names = [name for node in ast.walk(tree) for name in imported(node)]
    assert names
    for name in names:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), f"MLflow has no {name} any more"


def test_codes_are_those_that_a_store_gives(tmp_path: Path) -> None:
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    client.create_registered_model("taken")
    with pytest.raises(MlflowException) as taken:
        client.create_registered_model("taken")
    assert taken.value.error_code == EXISTS
    assert http_status(taken.value) == 400
    assert not is_of_database(taken.value)
    for question in (lambda: client.get_run("0" * 32), lambda: client.get_model_version_by_alias("taken", "nobody")):
        with pytest.raises(MlflowException) as unknown:
            question()
        assert unknown.value.error_code in UNKNOWN


def test_a_knock_is_one_request_with_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret")
    with proxy(f"http://127.0.0.1:{free_port()}", authorization="Bearer secret") as guarded:
        with pytest.raises((MlflowException, requests.RequestException)):
            knock(guarded.uri, seconds=5)
        assert len(guarded.requests) == 1
