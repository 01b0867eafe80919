"""What MLflow does not promise to keep: its way to a server, what it says of who runs it, the codes of its errors.

Tested with MLflow 3.17. Where a later one has moved them, this is the file to mend.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    BAD_REQUEST,
    INVALID_PARAMETER_VALUE,
    RESOURCE_ALREADY_EXISTS,
    RESOURCE_DOES_NOT_EXIST,
    ErrorCode,
)
from mlflow.tracking import fluent
from mlflow.tracking._tracking_service import utils as service
from mlflow.tracking.context.git_context import GitRunContext
from mlflow.tracking.context.registry import resolve_tags
from mlflow.types import ColSpec, Schema
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request, verify_rest_response

__all__ = ["EXISTS", "UNKNOWN", "http_status", "in_store", "is_of_database", "knock", "one_column", "origin_tags"]

EXISTS = ErrorCode.Name(RESOURCE_ALREADY_EXISTS)
"""The code where a name is taken."""

UNKNOWN = {ErrorCode.Name(code) for code in (RESOURCE_DOES_NOT_EXIST, INVALID_PARAMETER_VALUE)}
"""The codes by which stores say that a model, an alias or a run is not there."""

SEARCH = "/api/2.0/mlflow/experiments/search"


def knock(uri: str, *, seconds: int) -> None:
    """Ask a server for next to nothing, once, with the credentials that MLflow finds in its environment variables.

    Raises:
        MlflowException: It refuses, or does not answer.
        requests.RequestException: Likewise.
    """
    credentials: Any = get_default_host_creds(uri)  # type: ignore[no-untyped-call]
    options: dict[str, Any] = {"timeout": seconds, "max_retries": 0, "raise_on_status": False}
    one = {"max_results": 1}
    answer = http_request(credentials, SEARCH, "GET", params=one, **options)  # type: ignore[no-untyped-call]
    verify_rest_response(answer, SEARCH)


def one_column(name: str, kind: Any) -> Schema:
    """Return the schema of a table with this column, or of a plain list of its values.

    Of a list MLflow makes a table whose column is called 0, and holds that against the schema. Only its first column
    may be called so, and the one that is left out must be optional.
    """
    return Schema([ColSpec(kind, each, required=False) for each in (0, name)])  # type: ignore[arg-type]


@contextmanager
def in_store(uri: str, experiment: str | None = None) -> Iterator[None]:
    """Make a store, and an experiment of it, MLflow's own for some calls that ask for no other; then put both back.

    The process may be a notebook, in which MLflow, or the next study, has another store.
    """
    said = {name: os.environ.get(name) for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID")}
    own, active = service._tracking_uri, fluent._active_experiment_id
    mlflow.set_tracking_uri(uri)
    try:
        if experiment:
            mlflow.set_experiment(experiment_id=experiment)
        yield
    finally:
        mlflow.set_tracking_uri(said["MLFLOW_TRACKING_URI"])  # type: ignore[arg-type]  # None: none
        service._tracking_uri, fluent._active_experiment_id = own, active
        for name, value in said.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


@cache
def origin_tags() -> dict[str, str]:
    """Return what MLflow says of a run by itself where it is asked to start one: its user, its source, its notebook.

    The commit is left to `harness.core.git_commit`: MLflow asks git about the repository of whatever Python runs.
    """
    said: dict[str, str] = resolve_tags(ignore=[GitRunContext])  # type: ignore[list-item]
    return said


def http_status(error: MlflowException) -> int:
    """Return the HTTP status that an error stands for."""
    return int(error.get_http_status_code())  # type: ignore[no-untyped-call]


def is_of_database(error: MlflowException) -> bool:
    """Return whether a server's database failed, which MLflow calls a bad request."""
    return bool(error.error_code == ErrorCode.Name(BAD_REQUEST))
