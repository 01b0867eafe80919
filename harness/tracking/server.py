"""A tracking server behind HTTP: whether it answers, what its errors mean, and how records are told to it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import requests
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST, ErrorCode
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request, verify_rest_response

from harness.errors import StoreAway, StoreError
from harness.tracking.address import REMEDY
from harness.tracking.base import DataUse
from harness.tracking.datasets import log_inputs
from harness.tracking.sender import backoff

__all__ = ["MlflowServer", "answers", "ask", "client_of", "reach_server"]

KEY = "harness.record"
"""The tag by which a run is found whose start was not answered."""

PATIENCE = 10
"""Seconds that a server may take to answer the first question."""

ENOUGH = 5
"""Failures of one question to a server that answers others, after which it is given up."""

CREDENTIALS = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"

Answer = TypeVar("Answer")


def client_of(uri: str) -> MlflowClient:
    """Return a client that tries once: the patience is ours, and MLflow's own would start a run twice."""
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"  # it asks the server for the name that it prints
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    return MlflowClient(uri)


def reach_server(uri: str) -> None:
    """See that a server answers and takes the credentials that MLflow finds in its environment variables.

    Raises:
        StoreAway: It does not answer.
        StoreError: It refuses.
    """
    endpoint = "/api/2.0/mlflow/experiments/search"
    options = {"timeout": PATIENCE, "max_retries": 0, "raise_on_status": False}
    with answers(uri):
        creds: Any = get_default_host_creds(uri)  # type: ignore[no-untyped-call]
        answer = http_request(creds, endpoint, "GET", params={"max_results": 1}, **options)  # type: ignore[no-untyped-call]
        verify_rest_response(answer, endpoint)


@contextmanager
def answers(uri: str) -> Iterator[None]:
    """Tell what may pass from what will not, among all that MLflow raises about a server.

    MLflow says BAD_REQUEST for what its database driver raises, and no answer at all is its error 500.

    Raises:
        StoreAway: Trying again may help.
        StoreError: It will not.
    """
    try:
        yield
    except MlflowException as error:
        raise _error_of(uri, error) from error
    except StoreError as error:  # what a caller made of MLflow's
        if isinstance(error.__cause__, MlflowException):
            again = _error_of(uri, error.__cause__)
            raise (again if isinstance(again, StoreAway) else error) from error.__cause__
        raise
    except requests.RequestException as error:  # from the artifacts' part of a server
        status = error.response.status_code if error.response is not None else 500
        raise _error(uri, error, status, passes=False) from error


def _error_of(uri: str, error: MlflowException) -> StoreError:
    passes = error.error_code == ErrorCode.Name(BAD_REQUEST)
    status = error.get_http_status_code()  # type: ignore[no-untyped-call]
    return _error(uri, error, status, passes=passes)


def _error(uri: str, error: Exception, status: int, *, passes: bool) -> StoreError:
    reason = _reason(error)
    if passes or status in (408, 429) or (status >= 500 and status != 501):
        return StoreAway(f"MLflow store {uri!r} cannot be reached: {reason}; {REMEDY}", reason)
    if status in (401, 403):
        return StoreError(f"MLflow store {uri!r} refuses these credentials (HTTP {status}): {reason}; {CREDENTIALS}")
    return StoreError(f"MLflow store {uri!r} refuses (HTTP {status}): {reason}")


def _reason(error: BaseException) -> str:
    """Return the first line of what lies at the bottom of an error."""
    while (below := error.__cause__ or error.__context__) is not None:
        error = below
    return ((str(error).strip() or type(error).__name__).splitlines()[0])[:300]


def ask(uri: str, question: Callable[[], Answer], tell: Callable[[StoreAway], None]) -> Answer:
    """Return a server's answer, however long it takes until it gives one.

    Args:
        uri: The server.
        question: A call that may be made again.
        tell: Hears why it takes longer, once.

    Raises:
        StoreError: The server refuses, or answers everything but this.
    """
    tries = 0
    while True:
        try:
            with answers(uri):
                return question()
        except StoreAway as trouble:
            tries += 1
            if tries == 1:
                tell(trouble)
            if tries >= ENOUGH:
                _give_up(uri, trouble)
            time.sleep(backoff(tries))


def _give_up(uri: str, trouble: StoreAway) -> None:
    try:
        reach_server(uri)
    except StoreAway:
        return
    raise StoreError(f"MLflow store {uri!r} answers, but not to this: {trouble.reason}") from trouble


class MlflowServer:
    """Tells records to a study's experiment, one request each.

    Args:
        client: The server's; another thread's.
        experiment: The id of the study's experiment.
    """

    def __init__(self, client: MlflowClient, experiment: str) -> None:
        self._client = client
        self._experiment = experiment
        self._uri = str(client.tracking_uri)

    def start(self, key: str, content: Mapping[str, Any]) -> str:
        """Start a run that carries a key, and return the server's id of it."""
        tags = {**content["tags"], KEY: key}
        with answers(self._uri):
            run = self._client.create_run(self._experiment, content["time"], tags, content["name"])
        return str(run.info.run_id)

    def find(self, key: str) -> str | None:
        """Return the server's id of the run that carries a key."""
        with answers(self._uri):
            found = self._client.search_runs([self._experiment], f"tags.`{KEY}` = '{key}'", max_results=1)
        return found[0].info.run_id if found else None

    def log(self, run: str, content: Mapping[str, Any]) -> None:
        """Record params, tags and metric points."""
        params = [Param(key, value) for key, value in content["params"].items()]
        tags = [RunTag(key, value) for key, value in content["tags"].items()]
        metrics = [Metric(key, value, time, step) for key, value, step, time in content["metrics"]]
        with answers(self._uri):
            self._client.log_batch(run, metrics=metrics, params=params, tags=tags)

    def update(self, run: str, content: Mapping[str, Any]) -> None:
        """Set name or status."""
        with answers(self._uri):
            if "time" in content:
                self._client.set_terminated(run, content["status"], content["time"])
            else:
                self._client.update_run(run, status=content.get("status"), name=content.get("name"))

    def text(self, run: str, content: Mapping[str, Any]) -> None:
        """Store a text as an artifact."""
        with answers(self._uri):
            self._client.log_text(run, content["text"], content["file"])

    def inputs(self, run: str, content: Mapping[str, Any]) -> None:
        """Record what a run read."""
        with answers(self._uri):
            log_inputs(self._client, run, [DataUse(**used) for used in content["used"]])
