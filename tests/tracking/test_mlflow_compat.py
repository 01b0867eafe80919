"""Undocumented parts of MLflow are reached from one file, are there, and do what is said."""

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
COMPAT = HARNESS / "tracking" / "mlflow" / "mlflow_compat.py"
UNDOCUMENTED = ("mlflow.protos.", "mlflow.store.", "mlflow.utils.")
"""Names with an underscore are a matter of `tests.test_imports`."""


def imported(path: Path) -> list[str]:
    """Return the names that a file imports from modules."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.ImportFrom)]
    return [f"{node.module}.{alias.name}" for node in nodes for alias in node.names]


def test_undocumented_parts_are_reached_from_one_file() -> None:
    files = [path for path in HARNESS.rglob("*.py") if any(name.startswith(UNDOCUMENTED) for name in imported(path))]
    assert files == [COMPAT]


@pytest.mark.parametrize("name", [name for name in imported(COMPAT) if name.startswith("mlflow.")])
def test_what_is_reached_is_there(name: str) -> None:
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
