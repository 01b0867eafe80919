"""A tracking server behind HTTP: whether it answers, what its errors mean, and how records are told to it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from harness.core import interrupts
from harness.core.database_urls import reach, shown
from harness.core.errors import StoreAway, StoreError
from harness.core.passwords import masked
from harness.tracking.address import FOREIGN, REMEDY, is_server
from harness.tracking.mlflow.mlflow_compat import http_status, is_of_database, knock

__all__ = ["LONGEST", "answers", "ask", "backoff", "client_of", "is_absent", "reach_server", "reach_store"]


PATIENCE = 5
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
    with answers(uri):
        knock(uri, seconds=PATIENCE)


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
    except (MlflowException, requests.RequestException) as error:  # the latter from the artifacts' part of a server
        raise _error(uri, error) from error
    except StoreError as error:  # what a caller made of MLflow's
        if isinstance(error.__cause__, MlflowException):
            again = _error(uri, error.__cause__)
            raise (again if isinstance(again, StoreAway) else error) from error.__cause__
        raise


def _error(uri: str, error: MlflowException | requests.RequestException) -> StoreError:
    reason, passes = masked(_reason(error), uri), False
    if isinstance(error, MlflowException):
        status, passes = http_status(error), is_of_database(error)
    else:
        status = error.response.status_code if error.response is not None else 500
    if passes or status in (408, 429) or (status >= 500 and status != 501):
        return StoreAway(f"MLflow store {shown(uri)} cannot be reached: {reason}; {REMEDY}", reason)
    if status in (401, 403):
        return StoreError(
            f"MLflow store {shown(uri)} refuses these credentials (HTTP {status}): {reason}; {CREDENTIALS}"
        )
    return StoreError(f"MLflow store {shown(uri)} refuses (HTTP {status}): {reason}")


def is_absent(error: MlflowException | requests.RequestException) -> bool:
    """Return whether a server says that what was asked for is not there."""
    if isinstance(error, MlflowException):
        return http_status(error) == 404
    return error.response is not None and error.response.status_code == 404


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
            with interrupts.at_once():
                time.sleep(backoff(tries))


def _give_up(uri: str, trouble: StoreAway) -> None:
    try:
        reach_server(uri)
    except StoreAway:
        return
    raise StoreError(f"MLflow store {shown(uri)} answers, but not to this: {trouble.reason}") from trouble


LONGEST = 30.0
"""Seconds between two tries, at most."""


def backoff(tries: int) -> float:
    """Return the seconds to wait after so many failures in a row.

    >>> [backoff(tries) for tries in (1, 2, 3, 9)]
    [1.0, 2.0, 4.0, 30.0]
    """
    return float(min(2 ** min(tries - 1, 10), LONGEST))


def reach_store(uri: str) -> None:
    """See that a store answers, without writing to it.

    Raises:
        StoreError: It does not.
    """
    if is_server(uri):
        reach_server(uri)
    elif "://" in uri and not uri.startswith(FOREIGN):
        reach("MLflow store", uri, remedy=REMEDY)
